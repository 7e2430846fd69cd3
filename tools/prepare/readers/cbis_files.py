"""Where the DICOM files of CBIS-DDSM lie, and which of them is a mask.

The tables name CASE/STUDY_UID/SERIES_UID/000000.dcm. On disk NBIA's retriever names the same
folders by UID or by date and description, and the files 1-1.dcm; and the tables swap crop and mask.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from mammosono.appliance.intake.decoder_stderr import listen
from mammosono.appliance.intake.dicom_header import HEADER_KEYWORDS, read_header
from mammosono.appliance.intake.dicom_parse import parse
from mammosono.appliance.intake.dicom_pixels import LONG_KEYWORDS, PIXEL_KEYWORDS, decode_grey
from mammosono.appliance.intake.transfer_syntax import require_readable_transfer_syntax
from mammosono.appliance.values import Modality
from mammosono.tools.data.truth import set_pixels
from mammosono.tools.prepare.files import require_mask
from mammosono.tools.prepare.item import Mask, Unreadable

_SHAPE_TOLERANCE = 0.02
"""Relative difference of the sides' ratio up to which a mask is taken for a resized one."""


class Folder:
    """The DICOM files below a folder, found by any name the table has for them."""

    def __init__(self, root: Path) -> None:
        self._files = sorted(root.rglob("*.dcm"))
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in self._files:
            for parent in path.relative_to(root).parts[:-1]:
                self._by_name[parent].append(path)

    def find(self, stated: str) -> list[Path]:
        """Files of a path of the table: by its series, its study or its case; by the headers'
        words only if no folder has one of these names."""
        case, *uids = stated.split("/")[:-1] or [stated]
        names = [*reversed(uids), case]
        for known in (self._by_name, self._by_header):
            for name in names:
                if name in known:
                    return known[name]
        return []

    @cached_property
    def _by_header(self) -> dict[str, list[Path]]:
        """By PatientID, which holds the case, and by SeriesInstanceUID."""
        found: dict[str, list[Path]] = defaultdict(list)
        for path in self._files:
            try:
                header = pydicom.dcmread(
                    path, stop_before_pixels=True, specific_tags=["PatientID", "SeriesInstanceUID"]
                )
            except (InvalidDicomError, OSError, ValueError):
                continue
            for keyword in ("PatientID", "SeriesInstanceUID"):
                found[str(header.get(keyword, ""))].append(path)
        return found


def read_roi(candidates: list[Path], shape: tuple[int, int], what: str) -> tuple[Mask, bool]:
    """The mask among an abnormality's files, and whether it was resized to the film's `shape`.

    It is the file of the film's size; else, or if there are two, the one with two grey levels.
    The mask is bool [height, width]. Raises Unreadable.
    """
    if not candidates:
        raise Unreadable("the mask is missing", what)
    stored = [_pixels(path, what) for path in candidates]
    full = [one for one in stored if one.shape == shape]
    masks = full if len(full) == 1 else [one for one in full or stored if _two_levels(one)]
    if not masks:
        raise Unreadable("the mask is missing", what)
    mask = max(masks, key=lambda one: one.size)
    if mask.shape == shape:
        return require_mask(set_pixels(mask), what), False
    ratio = (mask.shape[0] / mask.shape[1]) / (shape[0] / shape[1])
    if abs(ratio - 1) > _SHAPE_TOLERANCE:
        raise Unreadable("the mask is of another size than the picture", what)
    resized = cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST)
    return require_mask(set_pixels(resized), what), True


def _two_levels(pixels: NDArray[Any]) -> bool:
    return bool(((pixels == pixels.min()) | (pixels == pixels.max())).all())


def _pixels(path: Path, what: str) -> NDArray[Any]:
    """As stored. Not through read_image, which refuses a small mask as a picture of nothing."""
    data = path.read_bytes()
    try:
        require_readable_transfer_syntax(data)
        header = read_header(parse(data, HEADER_KEYWORDS), Modality.MG)
        dataset = parse(data, PIXEL_KEYWORDS, LONG_KEYWORDS)
        (pixels, _), _ = listen(lambda: decode_grey(dataset, header))
    except Exception:  # a damaged file fails in every way, see mammosono.appliance.intake
        raise Unreadable("the mask is damaged", what) from None
    return np.asarray(pixels)
