"""Noise estimation on a single picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.values import BoolMask, FloatImage

# Turns the median of |x| of a normal variable into its standard deviation.
_MAD_TO_STD = 1 / 0.6745

BINS = 12
"""Levels at which noise is measured."""
_BLOCK = 8

# Pixels for a median: its standard error is then half a percent.
_ENOUGH = 60_000


def residual(image: FloatImage) -> FloatImage:
    """High-frequency residual, float32 [height, width], which keeps the variance of white noise.

    The second difference along both axes; planes and straight edges along an axis vanish.
    Source: J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image
    Understanding 64(2), 1996.
    """
    second = np.array([1, -2, 1], np.float32)
    return np.asarray(cv2.sepFilter2D(image, cv2.CV_32F, second, second / 6), np.float32)


def noise_std(image: FloatImage, where: BoolMask | None = None) -> float | None:
    """Standard deviation of white noise, in the units of the image, over `where`.

    The median of the absolute residual, which edges and small details hardly move.
    None where there is nothing to measure: fewer than 3 pixels a side or an empty `where`.
    """
    if min(image.shape) < 3:
        return None
    # Odd, so that it shares no factor with an even width: every column has its turn.
    every = image.size // _ENOUGH | 1
    values = np.abs(residual(image).ravel()[::every])
    chosen = values if where is None else values[where.ravel()[::every]]
    return float(np.median(chosen)) * _MAD_TO_STD if chosen.size else None


def block_std(image: FloatImage, side: int, where: BoolMask) -> NDArray[np.float32]:
    """Standard deviation inside each side x side block whose middle lies in `where`.

    float32 [blocks], in the image's units. Rows and columns that do not fill a block are left out.
    """
    rows, columns = image.shape[0] // side, image.shape[1] // side
    if not rows or not columns:
        return np.empty(0, np.float32)
    cut = image[: rows * side, : columns * side]
    # Centred first: the difference of squares would lose its digits to a large mean.
    centred = cut - cut.mean()
    mean, square = (
        cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
        for part in (centred, np.square(centred))
    )
    variance = np.maximum(square - np.square(mean), 0)
    half = side // 2
    middles = where[half : rows * side : side, half : columns * side : side]
    return np.asarray(np.sqrt(variance[middles]), np.float32)


def block_statistics(
    image: FloatImage, side: int, where: BoolMask
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and noise variance of every side x side block that lies in `where` entirely.

    Two float32 arrays [blocks], in the image's units and their square. Rows and columns that do
    not fill a block are left out.
    """
    rows, columns = image.shape[0] // side, image.shape[1] // side

    if not (rows and columns):
        return np.zeros(0, np.float32), np.zeros(0, np.float32)

    def blocks(array: NDArray[np.float32]) -> NDArray[np.float32]:
        cut = array[: rows * side, : columns * side]
        # By a whole factor this is the mean of each block, many times as fast as numpy's.
        mean = cv2.resize(cut, (columns, rows), interpolation=cv2.INTER_AREA)
        return np.asarray(mean, np.float32).ravel()

    inside = blocks(where.astype(np.float32)) == 1
    return blocks(image)[inside], blocks(np.square(residual(image)))[inside]


def noise_by_level(
    image: FloatImage, where: BoolMask
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Grey level, ascending, and noise variance of BINS bins of as many blocks each.

    The medians of the blocks, so that the few that hold an edge have no say. None where there
    are too few blocks in `where`.
    """
    means, variances = block_statistics(image, _BLOCK, where)
    if means.size < BINS:
        return None
    order = np.argsort(means, kind="stable")[: means.size // BINS * BINS].reshape(BINS, -1)
    level, variance = (np.median(values[order], axis=1) for values in (means, variances))
    return level.astype(np.float64), variance.astype(np.float64)
