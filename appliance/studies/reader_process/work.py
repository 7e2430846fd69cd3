"""Steps around a reading in the reader process: decode the posted files, draw the pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from mammosono.appliance.errors import ImageTooLarge, IntakeError
from mammosono.appliance.intake import read_image
from mammosono.appliance.output.render import grey_png, mask_png, overlay_png
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.values import Modality, Reading, SourceImage

PART_OF_MODALITY = {Modality.MG: "mammogram", Modality.US: "ultrasound"}


class PictureKind(str, Enum):
    ORIGINAL = "original"
    DENOISED = "denoised"
    OVERLAY = "overlay"
    MASK = "mask"


def decode(files: Iterable[tuple[Modality, Path]], watch: Stopwatch) -> list[SourceImage]:
    """The posted files as images. Raises IntakeError, telling which file it was."""
    images = []
    number: Counter[Modality] = Counter()
    for modality, path in files:
        number[modality] += 1
        try:
            with watch.lap("decode"):
                images.append(read_image(path.read_bytes(), modality))
        except IntakeError as error:
            error.args = (f"{PART_OF_MODALITY[modality]} {number[modality]}: {error}",)
            raise
        except MemoryError:
            raise ImageTooLarge(
                f"{PART_OF_MODALITY[modality]} {number[modality]}: it needs more memory than the "
                "appliance gives to one study; reduce it."
            ) from None
    return images


def picture_name(index: int, kind: PictureKind) -> str:
    return f"{index}-{kind.value}.png"


def draw(reading: Reading, folder: Path) -> None:
    """The four pictures of every image, PNG of the size of the image as posted."""
    for image, pictures in zip(reading.images, reading.pictures, strict=True):
        for kind, png in (
            (PictureKind.ORIGINAL, grey_png(pictures.original)),
            (PictureKind.DENOISED, grey_png(pictures.denoised)),
            (PictureKind.OVERLAY, overlay_png(pictures, image)),
            (PictureKind.MASK, mask_png(image)),
        ):
            (folder / picture_name(image.index, kind)).write_bytes(png)
