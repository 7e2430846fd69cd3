"""Histogram of a picture: whether anything is shown, the range to display, its colour."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.errors import NoContent
from mammosono.appliance.values import Caution

Histogram = NDArray[np.float64]
"""Pixels at or below each grey level, as a share of all: [256] or [65536], rising to 1."""

# Half a percent at each end may be borders, text or dead pixels.
_CONTENT_PERCENTILES = (0.5, 99.5)
_MIN_SPAN_LEVELS = 2
# Wider than the range of content: a cluster of calcifications is smaller than half a percent.
_WINDOW_PERCENTILES = (0.1, 99.9)
_FEW_LEVELS = 16

# A tinted grey map (sepia, blue) stays below this chroma; Doppler and elastography lie above.
_STRONG_CHROMA = 64
_COLOURED_SHARE = 0.01
_CHROMA_STEP_PX = 4

FEW_LEVELS = Caution(
    "few_levels",
    f"The image has fewer than {_FEW_LEVELS} grey levels; fine detail cannot be read.",
)
COLOURED = Caution(
    "coloured",
    "Part of the ultrasound is in colour, as in Doppler or elastography; only its brightness was "
    "read. A plain B-mode image is read more reliably.",
)


def cumulative_histogram(pixels: NDArray[Any]) -> Histogram:
    """pixels: uint8 or uint16, [height, width]."""
    levels = 256 if pixels.dtype == np.uint8 else 65536
    counts = cv2.calcHist([pixels], [0], None, [levels], [0, levels])
    return np.cumsum(counts.ravel(), dtype=np.float64) / pixels.size


def require_content(histogram: Histogram) -> None:
    """Raises NoContent unless 0.5th and 99.5th percentile are two grey levels apart or more."""
    low, high = percentiles(histogram, _CONTENT_PERCENTILES)
    if high - low < _MIN_SPAN_LEVELS:
        raise NoContent("The image is of one even grey; post the picture itself.")


def robust_window(histogram: Histogram) -> tuple[float, float]:
    """The range between the 0.1st and the 99.9th percentile, in grey levels."""
    return percentiles(histogram, _WINDOW_PERCENTILES)


def percentiles(histogram: Histogram, percents: tuple[float, float]) -> tuple[float, float]:
    low, high = np.searchsorted(histogram, np.divide(percents, 100.0))
    return float(low), float(high)


def has_few_levels(histogram: Histogram) -> bool:
    return int(np.count_nonzero(np.diff(histogram, prepend=0.0))) < _FEW_LEVELS


def is_coloured(rgb: NDArray[Any]) -> bool:
    """Whether 1 % or more of the pixels, [height, width, 3] uint8 or uint16, are vivid."""
    sample = rgb[::_CHROMA_STEP_PX, ::_CHROMA_STEP_PX]
    chroma = sample.max(axis=2) - sample.min(axis=2)
    strong = _STRONG_CHROMA * (1 if rgb.dtype == np.uint8 else 257)
    return float(np.mean(chroma > strong)) >= _COLOURED_SHARE
