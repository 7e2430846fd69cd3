"""CBIS-DDSM as downloaded from TCIA: four case tables, full films and ROI masks as DICOM.

A row of a table is an abnormality, a film may have several. Column names come with spaces or
underscores, and paths with line ends inside their quotes. The tables name
CASE/STUDY_UID/SERIES_UID/000000.dcm; on disk NBIA's retriever names the same folders by UID or by
date and description, and the files 1-1.dcm; and the tables swap crop and mask.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from mammosono.appliance.intake.decoder_stderr import capture_stderr
from mammosono.appliance.intake.dicom_grey import as_stored
from mammosono.appliance.intake.dicom_header import HEADER_KEYWORDS, read_header
from mammosono.appliance.intake.dicom_parse import parse
from mammosono.appliance.intake.dicom_pixels import LONG_KEYWORDS, PIXEL_KEYWORDS, decode_grey
from mammosono.appliance.values import BoolMask, Label, Modality
from mammosono.tools.data.truth import set_pixels
from mammosono.tools.prepare.files import read_picture, require_mask, safe_name, stamp_of
from mammosono.tools.prepare.item import (
    Item,
    Loaded,
    Offer,
    Remark,
    SourceLesion,
    Unreadable,
    worst,
)

PATTERN = "*_case_description_*_set.csv"
_PATHOLOGIES = {
    "BENIGN": "benign",
    "BENIGN_WITHOUT_CALLBACK": "benign",
    "MALIGNANT": "malignant",
}
_COLUMNS = (
    "patient_id",
    "left_or_right_breast",
    "image_view",
    "pathology",
    "image_file_path",
    "cropped_image_file_path",
    "roi_mask_file_path",
)


@dataclass(frozen=True, slots=True)
class Abnormality:
    """film, crop, mask: paths as the table gives them. label: None for an unknown pathology."""

    patient: str
    side: str
    view: str
    label: str | None
    split: str
    film: str
    crop: str
    mask: str

    @property
    def name(self) -> str:
        return f"{self.patient}_{self.side}_{self.view}"


def find(root: Path) -> list[Path]:
    return sorted(root.rglob(PATTERN))


def read_films(tables: list[Path]) -> dict[str, list[Abnormality]]:
    """Abnormalities by film: masses and calcifications of one view stand in one record.

    Raises ValueError if a table lacks a column; OSError.
    """
    films: dict[str, list[Abnormality]] = defaultdict(list)
    for table in tables:
        for one in _rows(table):
            films[one.name].append(one)
    return dict(films)


def _rows(table: Path) -> Iterator[Abnormality]:
    split = "test" if "_test_" in table.name else "train"
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        names = ["_".join(name.split()).lower() for name in next(reader, [])]
        lacking = [name for name in _COLUMNS if name not in names]
        if lacking:
            raise ValueError(f"{table.name} has no column {', '.join(lacking)}")
        places = [names.index(name) for name in _COLUMNS]
        for row in reader:
            if len(row) <= max(places):
                continue
            patient, side, view, pathology, *paths = ("".join(row[k].split()) for k in places)
            yield Abnormality(
                patient, side, view, _PATHOLOGIES.get(pathology.upper()), split, *paths
            )


_SHAPE_TOLERANCE = 0.02
"""Relative difference of the sides' ratio up to which a mask is taken for a resized one."""


class CbisFolder:
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


def read_roi(candidates: list[Path], shape: tuple[int, int], what: str) -> tuple[BoolMask, bool]:
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
        header = read_header(parse(data, HEADER_KEYWORDS), Modality.MG)
        dataset = parse(data, PIXEL_KEYWORDS, LONG_KEYWORDS)
        decoded, _ = capture_stderr(
            lambda: decode_grey(data, dataset, header, as_stored(header), Modality.MG)
        )
    except Exception:  # a damaged file fails in every way, see mammosono.appliance.intake
        raise Unreadable("the mask is damaged", what) from None
    return decoded.pixels


_Rois = list[tuple[Label, list[Path]]]


def offer(root: Path) -> Offer:
    """Raises ValueError if the case tables are missing or lack a column; OSError."""
    tables = find(root)
    if not tables:
        raise ValueError(f"no case table ({PATTERN}) is there; put TCIA's tables beside the films")
    films = read_films(tables)
    return Offer(len(films), _items(CbisFolder(root), films))


def _items(folder: CbisFolder, films: dict[str, list[Abnormality]]) -> Iterator[Item | Remark]:
    for name, rows in films.items():
        labels = [row.label for row in rows if row.label]
        if len(labels) < len(rows):
            yield Remark("a pathology other than benign or malignant", name)
            continue
        found = [path for row in rows for path in folder.find(row.film)]
        if not found:
            yield Remark("the film is missing", name)
            continue
        # The film's folder holds one file; should a crop have come into it, that one is smaller.
        film = max(found, key=lambda path: (path.stat().st_size, str(path)))
        rois = [
            (Label(label), _candidates(folder, row))
            for row, label in zip(rows, labels, strict=True)
        ]
        yield Item(
            name=safe_name(f"cbis-ddsm/{name}"),
            modality=Modality.MG,
            label=worst(labels),
            case=rows[0].patient,
            source="CBIS-DDSM",
            licence="CC BY 3.0",
            split="test" if any(row.split == "test" for row in rows) else "train",
            stamp=stamp_of(film, *(path for _, paths in rois for path in paths)),
            load=partial(_load, film, rois, name),
        )


def _candidates(folder: CbisFolder, row: Abnormality) -> list[Path]:
    """Mask and crop, in whichever of the two places."""
    return sorted({*folder.find(row.mask), *folder.find(row.crop)})


def _load(film: Path, rois: _Rois, name: str) -> Loaded:
    picture = read_picture(film, Modality.MG)
    height, width = picture.pixels.shape
    lesions, remarks = [], []
    for number, (label, candidates) in enumerate(rois, 1):
        what = f"{name} abnormality {number}"
        mask, resized = read_roi(candidates, (height, width), what)
        lesions.append(SourceLesion(label, mask))
        if resized:
            remarks.append(Remark("a mask of another size than its film was resized", what))
    return Loaded(picture, tuple(lesions), tuple(remarks))
