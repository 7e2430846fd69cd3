"""How strong the noise of one picture is, measured on the picture itself."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Turns the median of |x| of a normal variable into its standard deviation.
_MAD_TO_STD = 1 / 0.6745


def residual(image: Image) -> Image:
    """High-frequency residual, float32 [height, width], which keeps the variance of white noise.

    The second difference along both axes; planes and straight edges along an axis vanish.
    Source: J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image
    Understanding 64(2), 1996.
    """
    second = np.array([1, -2, 1], np.float32)
    return np.asarray(cv2.sepFilter2D(image, cv2.CV_32F, second, second / 6), np.float32)


def noise_std(image: Image, where: Mask | None = None) -> float | None:
    """Standard deviation of white noise, in the units of the image, over `where`.

    The median of the absolute residual, which edges and small details hardly move.
    None where there is nothing to measure: fewer than 3 pixels a side or an empty `where`.
    """
    if min(image.shape) < 3:
        return None
    values = np.abs(residual(image))
    chosen = values.ravel() if where is None else values[where]
    return float(np.median(chosen)) * _MAD_TO_STD if chosen.size else None


def patch_std(image: Image, radius: int) -> Image:
    """Standard deviation inside the (2 radius + 1)^2 patch around each pixel, [height, width]."""
    side = (2 * radius + 1, 2 * radius + 1)
    # Centred first: the difference of squares would lose its digits to a large mean.
    centred = image - image.mean()
    mean = cv2.boxFilter(centred, cv2.CV_32F, side)
    square = cv2.sqrBoxFilter(centred, cv2.CV_32F, side)
    variance = cv2.subtract(square, cv2.multiply(mean, mean))
    return np.asarray(np.sqrt(np.maximum(variance, 0)), np.float32)


def block_statistics(
    image: Image, side: int, where: Mask
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and noise variance of every side x side block that lies in `where` entirely.

    Two float32 arrays [blocks], in the image's units and their square. Rows and columns that do
    not fill a block are left out.
    """
    rows, columns = image.shape[0] // side, image.shape[1] // side

    def blocks(array: NDArray[np.float32]) -> NDArray[np.float32]:
        cut = array[: rows * side, : columns * side].reshape(rows, side, columns, side)
        return np.asarray(cut.mean(axis=(1, 3)).ravel(), np.float32)

    inside = blocks(where.astype(np.float32)) == 1
    return blocks(image)[inside], blocks(np.square(residual(image)))[inside]
