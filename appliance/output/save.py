"""Folder of a reading's files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path

from mammosono.appliance.output.document import Result
from mammosono.appliance.output.render import grey_png, mask_png, overlay_png
from mammosono.appliance.output.report import html_report
from mammosono.appliance.values import ImageReading, Pictures, Reading


class PictureKind(str, Enum):
    ORIGINAL = "original"
    DENOISED = "denoised"
    OVERLAY = "overlay"
    MASK = "mask"


def picture_name(kind: PictureKind, index: int) -> str:
    """The file of a picture: `overlay_0.png` is that of the image with index 0."""
    return f"{kind.value}_{index}.png"


def save_reading(
    folder: Path, study_id: str, reading: Reading, pictures: Iterable[Pictures] | None = None
) -> None:
    """Write result.json, report.html and the pictures, PNG of the image's size as posted. Files of
    these names are overwritten.

    pictures: of each image that was read, in order, if the reading has none; taken one at a time.
    Raises OSError; ValueError if a number in the reading is not finite, or pictures are missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result = Result.of(study_id, reading).to_json()
    (folder / "result.json").write_text(result + "\n", "utf-8")
    saved = _saved(folder, reading.images, reading.pictures if pictures is None else pictures)
    (folder / "report.html").write_text(html_report(study_id, reading, saved), "utf-8")


def _saved(
    folder: Path, images: Sequence[ImageReading], pictures: Iterable[Pictures]
) -> Iterator[Pictures]:
    """The same; each is written when it is asked for."""
    for image, each in zip(images, pictures, strict=True):
        save_image(folder, image, each)
        yield each


def save_image(folder: Path, image: ImageReading, pictures: Pictures) -> None:
    """Write the pictures of one image. Raises OSError."""
    drawn: dict[PictureKind, Callable[[], bytes]] = {
        PictureKind.ORIGINAL: lambda: grey_png(pictures.original),
        PictureKind.DENOISED: lambda: grey_png(pictures.denoised),
        PictureKind.OVERLAY: lambda: overlay_png(pictures, image),
        PictureKind.MASK: lambda: mask_png(image),
    }
    for kind, png in drawn.items():
        (folder / picture_name(kind, image.index)).write_bytes(png())
