"""The pictures of a read image, as PNG files."""

from __future__ import annotations

from enum import Enum

from appliance.render import grey_png, mask_png, overlay_png
from appliance.service.refusals import UnknownImage
from appliance.values import Reading


class PictureKind(str, Enum):
    ORIGINAL = "original"
    DENOISED = "denoised"
    OVERLAY = "overlay"
    MASK = "mask"


def picture_png(reading: Reading, index: int, kind: PictureKind) -> bytes:
    """One picture of image `index`, of the size of the image as posted. Raises UnknownImage."""
    if not 0 <= index < len(reading.images):
        raise UnknownImage(f"Ask for an image from 0 to {len(reading.images) - 1}.")
    image, pictures = reading.images[index], reading.pictures[index]
    if kind is PictureKind.ORIGINAL:
        return grey_png(pictures.original)
    if kind is PictureKind.DENOISED:
        return grey_png(pictures.denoised)
    if kind is PictureKind.OVERLAY:
        return overlay_png(pictures, image)
    return mask_png(image)
