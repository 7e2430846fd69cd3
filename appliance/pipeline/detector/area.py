"""Reduction of a picture by averaging areas, in strips: no copy of it is made at its own size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROWS = 4
"""Of the answer at a time. The product of the weights stays too small for BLAS to wake threads."""

Rect = tuple[float, float, float, float]
"""x0, y0, x1, y1 in px, from the outer corner of the first."""


def area_mean(
    pixels: NDArray[Any], box: Rect, size: tuple[int, int], levels: NDArray[Any] | None = None
) -> NDArray[np.float32]:
    """Mean of the pixels under each of `size` (height, width) equal cells of `box`.

    pixels: uint8 or uint16 [height, width]. levels: of all their values, to be averaged in their
    place. A pixel on a cell's border counts by its share. Sums are exact, in whole numbers.
    """
    (height, width), (x0, y0, x1, y1) = size, box
    across, down = np.linspace(x0, x1, width + 1), np.linspace(y0, y1, height + 1)
    means = np.empty(size, np.float32)
    for top in range(0, height, _ROWS):
        ends = down[top : top + _ROWS + 1]
        rows = np.arange(int(ends[0]), int(np.ceil(ends[-1])))
        under = np.minimum(ends[1:, None], rows + 1) - np.maximum(ends[:-1, None], rows)
        strip = pixels[rows[0] : rows[-1] + 1]
        strip = strip if levels is None else levels[strip]
        means[top : top + _ROWS] = np.clip(under, 0, 1) @ _sums(strip, across)
    means *= np.float32(height * width / ((x1 - x0) * (y1 - y0)))
    return means


def _sums(strip: NDArray[Any], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row, between one end and the next."""
    first, last = int(ends[0]), int(np.ceil(ends[-1]))
    until = np.zeros((len(strip), last - first + 1), np.uint32)
    np.cumsum(strip[:, first:last], axis=1, dtype=np.uint32, out=until[:, 1:])
    at = np.minimum(ends.astype(np.intp), last - 1)
    return np.diff(until[:, at - first] + strip[:, at] * (ends - at), axis=1)
