"""Histogram of a picture: whether anything is shown, the range to display."""

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

# A picture whose statistics stay what they are when its pixels are averaged by fours.
_MANY_LEVELS, _ORDINARY_PERCENTILES, _LEAST_OF_RANGE = 256, (1.0, 99.0), 0.5

_BIN_LEVELS = 64
_MOST_MARKED, _MOST_RIMS = 0.05, 0.005
_RIM_MARGIN, _FEWEST = 4, 2e-6

FEW_LEVELS = Caution(
    "few_levels",
    f"The image has fewer than {_FEW_LEVELS} grey levels; fine detail cannot be read.",
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


def without_marks(pixels: NDArray[Any], histogram: Histogram) -> tuple[NDArray[Any], Histogram]:
    """The pixels with burnt-in marks brought to the end of the content, and their histogram.

    A mark has the white or black of the file, and a picture of 12 bits in a file of 16 is far from
    it: as they are, the picture would be shown black and no breast found. Of 8 bits nothing is
    changed.
    """
    if pixels.dtype == np.uint8:
        return pixels, histogram
    bins = np.diff(histogram[_BIN_LEVELS - 1 :: _BIN_LEVELS], prepend=0.0)
    high = (_end_of_content(bins) + 1) * _BIN_LEVELS - 1
    low = len(histogram) - (_end_of_content(bins[::-1]) + 1) * _BIN_LEVELS
    if histogram[high] == 1.0 and (low == 0 or histogram[low - 1] == 0.0):
        return pixels, histogram
    within = np.clip(pixels, low, high)
    return within, cumulative_histogram(within)


def _end_of_content(bins: NDArray[np.float64]) -> int:
    """The bin, of equal ranges of grey levels and the shares of pixels in them, above which there
    are marks alone; the last if there are none.

    Marks are few pixels of one level, so far above all others that these take less than half of the
    range; between them lie at most the smoothed rims of the marks.
    """
    last = len(bins) - 1
    filled = np.flatnonzero(bins)
    top, bottom = int(filled[-1]), int(filled[0])
    if bins[bottom] <= _MOST_MARKED and len(filled) > 1:  # a mark of the other end
        bottom = int(filled[1])
    middle = (top + bottom) // 2
    marks, rims = float(bins[top]), float(bins[middle + 1 : top].sum())
    if not 0 < marks <= _MOST_MARKED or rims > min(marks / 2, _MOST_RIMS) or top - middle < 2:
        return last
    rim = rims / (top - middle - 1)
    content = np.flatnonzero(bins[: middle + 1] > max(_RIM_MARGIN * rim, _FEWEST))
    return int(content[-1]) if len(content) else last


def is_ordinary(histogram: Histogram) -> bool:
    """Whether no rule hangs on single pixels: many levels, and content that takes at least half of
    the range, so that nothing at its ends can be marks."""
    levels = np.flatnonzero(np.diff(histogram, prepend=0.0))
    low, high = percentiles(histogram, _ORDINARY_PERCENTILES)
    spread = float(levels[-1] - levels[0])
    return len(levels) >= _MANY_LEVELS and high - low >= _LEAST_OF_RANGE * spread


def percentiles(histogram: Histogram, percents: tuple[float, float]) -> tuple[float, float]:
    low, high = np.searchsorted(histogram, np.divide(percents, 100.0))
    return float(low), float(high)


def has_few_levels(histogram: Histogram) -> bool:
    return int(np.count_nonzero(np.diff(histogram, prepend=0.0))) < _FEW_LEVELS
