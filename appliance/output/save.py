"""Folder of a reading's files."""

from __future__ import annotations

import tempfile
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.output.document import Result
from mammosono.appliance.output.render import grey_png, mask_png, overlay_png
from mammosono.appliance.output.report import html_report
from mammosono.appliance.values import Pictures, Reading


class PictureKind(str, Enum):
    ORIGINAL = "original"
    DENOISED = "denoised"
    OVERLAY = "overlay"
    MASK = "mask"


def picture_name(kind: PictureKind, index: int) -> str:
    """The file of a picture: `overlay_0.png` is that of the image with index 0."""
    return f"{kind.value}_{index}.png"


def save_reading(folder: Path, study_id: str, reading: Reading) -> None:
    """Write result.json, report.html and the pictures. Files of these names are overwritten.

    Raises OSError; ValueError if a number in the reading is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result = Result.of(study_id, reading).to_json()
    (folder / "result.json").write_text(result + "\n", "utf-8")
    (folder / "report.html").write_text(html_report(study_id, reading), "utf-8")
    save_pictures(folder, reading)


def save_pictures(folder: Path, reading: Reading) -> None:
    """Write the pictures of every image, PNG of the image's size as posted. Raises OSError."""
    for image, pictures in zip(reading.images, reading.pictures, strict=True):
        for kind, png in (
            (PictureKind.ORIGINAL, grey_png(pictures.original)),
            (PictureKind.DENOISED, grey_png(pictures.denoised)),
            (PictureKind.OVERLAY, overlay_png(pictures, image)),
            (PictureKind.MASK, mask_png(image)),
        ):
            (folder / picture_name(kind, image.index)).write_bytes(png)


def on_disk(pictures: Pictures, folder: Path) -> Pictures:
    """The same in files of `folder` that have no name and are gone with the arrays: so that memory
    does not grow with the images of a study. Where there is no room, the pictures as they are."""
    try:
        return Pictures(_filed(pictures.original, folder), _filed(pictures.denoised, folder))
    except OSError:
        return pictures


def _filed(picture: NDArray[np.uint8], folder: Path) -> NDArray[np.uint8]:
    with tempfile.TemporaryFile(dir=folder) as file:
        # Written before it is mapped: a page for which the disk has no room would end the process.
        file.write(np.ascontiguousarray(picture).data)
        file.flush()
        return np.memmap(file, np.uint8, "r", shape=picture.shape)
