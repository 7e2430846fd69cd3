"""Reading pictures and masks from files, writing files so that they are whole or absent."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import cv2
from numpy.typing import NDArray

from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.histogram import cumulative_histogram, require_content
from mammosono.appliance.intake.limits import Limits
from mammosono.appliance.intake.sniff import Format, sniff
from mammosono.appliance.values import BoolMask, Modality
from mammosono.tools.data.truth import BadTruth, read_mask
from mammosono.tools.prepare.item import DecodedPicture, Unreadable

_KEPT = {Format.PNG: ".png", Format.JPEG: ".jpg"}
_PNG_LEVEL = 3
"""A film of 20 million pixels in a second; level 9 takes ten for a few per cent."""


def stamp_of(*paths: Path) -> str:
    """Name, size and time of each file; a missing one shows as such."""
    parts = []
    for path in paths:
        try:
            status = path.stat()
            parts.append(f"{path.name}:{status.st_size}:{status.st_mtime_ns}")
        except OSError:
            parts.append(f"{path.name}:missing")
    return "|".join(parts)


def read_picture(path: Path, modality: Modality) -> DecodedPicture:
    """A PNG or JPEG to be kept as it is, or a TIFF or DICOM file to become a PNG of its depth.

    Raises IntakeError or OSError.
    """
    Limits().admit_file(path.stat().st_size)
    data = path.read_bytes()
    image = read_image(data, modality)
    suffix = _KEPT.get(sniff(data))
    encoded = None if suffix is None else data
    return DecodedPicture(image.pixels, image.bits, image.sha256, encoded, suffix or ".png")


def picture_of(pixels: NDArray[Any], data: bytes) -> DecodedPicture:
    """Pixels uint8 [height, width] that a reader decoded itself from `data`. Raises NoContent."""
    require_content(cumulative_histogram(pixels))
    return DecodedPicture(pixels, 8, hashlib.sha256(data).hexdigest())


def read_lesion_mask(path: Path, shape: tuple[int, ...], what: str) -> BoolMask:
    """One lesion's mask, see tools.data.truth. Raises Unreadable if missing, damaged, empty or of
    another size."""
    try:
        return require_mask(read_mask(path, shape), what)
    except BadTruth as error:
        raise Unreadable(str(error), what) from None


def require_mask(mask: BoolMask, what: str) -> BoolMask:
    """Raises Unreadable if no pixel is set."""
    if not mask.any():
        raise Unreadable("the mask is empty", what)
    return mask


def encode_png(pixels: NDArray[Any]) -> bytes:
    done, encoded = cv2.imencode(".png", pixels, (cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL))
    if not done:
        raise ValueError("a picture cannot be encoded as PNG")
    return encoded.tobytes()


def write_whole(path: Path, data: bytes) -> None:
    """A reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    os.replace(part, path)


def safe_name(text: str) -> str:
    """A relative path of plain characters: what an index, a URL and any file system can hold."""
    parts = [re.sub(r"[^A-Za-z0-9._-]+", "_", part) for part in text.split("/")]
    return "/".join(part for part in parts if part.strip("."))
