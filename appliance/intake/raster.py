"""PNG, JPEG and TIFF files."""

from __future__ import annotations

import re
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.errors import CorruptImage, NoContent, UnsupportedFormat
from mammosono.appliance.intake import jpeg, orientation, png, tiff
from mammosono.appliance.intake.colour import colour_warnings
from mammosono.appliance.intake.decoder_stderr import capture_stderr
from mammosono.appliance.intake.header import Header
from mammosono.appliance.intake.histogram import (
    FEW_LEVELS,
    cumulative_histogram,
    has_few_levels,
    require_content,
    robust_window,
    without_marks,
)
from mammosono.appliance.intake.limits import Limits
from mammosono.appliance.intake.sniff import Format
from mammosono.appliance.values import Caution, Modality, SourceImage

_READ_HEADER = {
    Format.PNG: png.read_header,
    Format.JPEG: jpeg.read_header,
    Format.TIFF: tiff.read_header,
}

# Full depth, colour as stored without alpha, and not turned: that is done here, for all alike.
_AS_STORED = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION

# libjpeg and libtiff go on after these and fill what is missing.
_DAMAGE = re.compile("Corrupt JPEG|Premature end|TIFF_Error|libpng error")

SCALED = Caution(
    "scaled",
    "The image holds floating-point values; they were scaled to 16 bits from least to most.",
)


def read_raster(
    data: bytes, format_: Format, modality: Modality, limits: Limits, sha256: str
) -> SourceImage:
    """Window: all of 0 to 255 for 8 bits; robust percentiles for 16.

    Colour becomes luma (ITU-R BT.601), alpha is ignored, CMYK and palettes go through RGB,
    floating-point TIFF is scaled from its least to its greatest value onto 16 bits.
    Raises an IntakeError.
    """
    header = _READ_HEADER[format_](data)
    limits.admit_picture(header.width, header.height)
    plain, turned = _plain(data, format_)
    decoded = orientation.upright(_decode(plain, header), turned or 1)
    warnings = list(colour_warnings(decoded, modality)) if decoded.ndim == 3 else []
    if turned is None:
        warnings.append(orientation.UNKNOWN)
    grey = cv2.cvtColor(decoded, cv2.COLOR_BGR2GRAY) if decoded.ndim == 3 else decoded
    if header.floating:
        grey = _scaled(grey)
        warnings.append(SCALED)
    if header.inverted:
        grey = np.bitwise_not(grey)
    histogram = cumulative_histogram(grey)
    require_content(histogram)
    grey, histogram = without_marks(grey, histogram)
    if has_few_levels(histogram):
        warnings.append(FEW_LEVELS)
    deep = grey.dtype == np.uint16
    return SourceImage(
        modality=modality,
        pixels=grey,
        # A 12-bit sensor's values often come in a 16-bit file: only used bits are significant.
        bits=max(8, int(grey.max()).bit_length()) if deep else 8,
        window=robust_window(histogram) if deep else (0.0, 255.0),
        spacing_mm=None,
        sha256=sha256,
        warnings=tuple(warnings),
    )


def _plain(data: bytes, format_: Format) -> tuple[bytes, int | None]:
    """What the decoder may see, once the file's structure is known to be whole, and the picture's
    Exif orientation (None if it cannot be told)."""
    if format_ is Format.PNG:
        return png.without_extras(data)
    if format_ is Format.JPEG:
        jpeg.require_end(data)
        return data, jpeg.read_orientation(data)
    tiff.require_data(data)
    return tiff.plain(data)


def _decode(data: bytes, header: Header) -> NDArray[Any]:
    """Pixels [height, width] or [height, width, 3] (BGR), dtype by the header's depth."""
    decoded, complaints = capture_stderr(lambda: _imdecode(data))
    if decoded is None or _DAMAGE.search(complaints):
        raise CorruptImage("The image data are damaged or cut off; export the picture again.")
    dtype = _dtype(header)
    if decoded.dtype != dtype or decoded.shape[:2] != (header.height, header.width):
        raise UnsupportedFormat(
            "The image's pixels are of an unusual kind; export it as 8- or 16-bit grey or RGB."
        )
    return decoded


def _imdecode(data: bytes) -> NDArray[Any] | None:
    # A log level from the environment must not hide the decoder's report of damage.
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), _AS_STORED)
    finally:
        cv2.utils.logging.setLogLevel(level)


def _dtype(header: Header) -> np.dtype[Any]:
    if header.floating:
        return np.dtype(np.float32 if header.bits == 32 else np.float64)
    return np.dtype(np.uint16 if header.bits == 16 else np.uint8)


def _scaled(grey: NDArray[Any]) -> NDArray[np.uint16]:
    """Raises NoContent for NaN, Inf or one even value."""
    low, high = float(grey.min()), float(grey.max())
    if not np.isfinite(high - low) or high == low:
        raise NoContent("The image holds NaN, Inf or one value only; export it with grey levels.")
    # In double precision, and the quotient first: neither a span near the greatest number nor one
    # near the least may overflow.
    scaled: NDArray[np.float64] = np.subtract(grey, low, dtype=np.float64)
    scaled /= high - low
    scaled *= 65535.0
    np.rint(scaled, out=scaled)
    return scaled.astype(np.uint16)
