"""Non-local means with a symmetric distance: the inner loop that both modalities share.

Every pixel becomes the mean of the pixels around it, weighted by how alike their patches are:
    out(x) = sum_t w(x, x+t) values(x+t) / sum_t w(x, x+t),
    w(x, x+t) = exp(-mean over the patch of (guide(x) - guide(x+t))^2 / strength^2).
Source: A. Buades, B. Coll, J. M. Morel, "A non-local algorithm for image denoising", CVPR 2005.

For one shift t the patch distances of all pixels are one box filter, so the cost does not depend
on the patch. The distance is symmetric, w(x, x+t) = w(x+t, x), so only half of the shifts are
computed and each weight is used from both of its ends; that nearly halves the time. Where the noise
has a grain, the pixels next door carry the same noise, not news: the search may go in steps.

The picture is cut into bands of rows that are computed independently. The cut does not depend on
the number of threads, hence neither does the result.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.values import FloatImage

# As many as the smallest device has cores.
_BANDS = 4


def nonlocal_means(
    guide: FloatImage,
    values: FloatImage,
    *,
    strength: float,
    search_radius: int,
    patch_radius: int,
    threads: int,
    search_step: int = 1,
) -> FloatImage:
    """Average `values` by the likeness of the patches of `guide`.

    guide: float32 [height, width] in which the noise has standard deviation 1 everywhere.
    values: float32 [height, width], any units; the result is in the same units and never leaves
        the range of `values`.
    strength: h in exp(-d / h^2), in standard deviations of the noise.
    search_radius, patch_radius: half sides in pixels; 7 and 3 mean 15x15 and 7x7.
    search_step: look at every pixel of the search square, or at every second, third, ... along
        both axes; the radius is a multiple of it.
    """
    height, _ = values.shape
    margin = search_radius + patch_radius
    padded_guide, padded_values = _reflected(guide, margin), _reflected(values, margin)
    # Minus the box filter, scaled: its output goes straight into exp.
    taps = np.full(2 * patch_radius + 1, 1 / ((2 * patch_radius + 1) * strength), np.float32)
    shifts = half_square(search_radius, search_step)
    out = np.empty_like(values)

    def band(first: int, last: int) -> None:
        rows = slice(first, last + 2 * margin)
        _average(padded_guide[rows], padded_values[rows], out[first:last], taps, shifts, margin)

    cuts = sorted({height * i // _BANDS for i in range(_BANDS + 1)})
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(band, cuts, cuts[1:]))
    return np.clip(out, values.min(), values.max(), out=out)


def half_square(radius: int, step: int) -> list[tuple[int, int]]:
    """Shifts (dy, dx) px of which no two are opposite: half of a square without its centre."""
    across = range(-radius, radius + 1, step)
    return [(dy, dx) for dy in range(0, radius + 1, step) for dx in across if (dy, dx) > (0, 0)]


def _reflected(image: FloatImage, margin: int) -> FloatImage:
    border = cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REFLECT_101)
    return np.asarray(border, np.float32)


def _average(
    guide: FloatImage,
    values: FloatImage,
    out: FloatImage,
    taps: NDArray[np.float32],
    shifts: list[tuple[int, int]],
    margin: int,
) -> None:
    """One band: guide and values reach `margin` pixels beyond `out` on every side.

    Nothing is allocated in the loop but array headers; OpenCV releases the GIL in every call.
    """
    height, width = out.shape
    patch = taps.size // 2
    reach = margin - patch
    room = (height + reach + 2 * patch) * (width + reach + 2 * patch)
    scratch = [np.empty(room, np.float32) for _ in range(2)]
    minus = -taps
    # The pixel itself weighs as much as another one of the same tissue would on average, whose
    # distance is 2: with weight exp(0) it would keep its noise.
    own = np.float32(np.exp(-2.0 * float(taps[0]) ** 2 * taps.size**2))
    weights = np.full((height, width), own, np.float32)
    total = own * values[margin : margin + height, margin : margin + width]
    for dy, dx in shifts:
        # Weights are needed at x (towards x+t) and at x-t (back towards x), plus the patch.
        top, left = margin - dy - patch, margin - max(dx, 0) - patch
        shape = (height + dy + 2 * patch, width + abs(dx) + 2 * patch)
        size = shape[0] * shape[1]
        square, weight = (s[:size].reshape(shape) for s in scratch)
        here = guide[top : top + shape[0], left : left + shape[1]]
        there = guide[top + dy : top + dy + shape[0], left + dx : left + dx + shape[1]]
        cv2.subtract(here, there, dst=square)
        cv2.multiply(square, square, dst=square)
        cv2.sepFilter2D(square, cv2.CV_32F, minus, taps, dst=weight)
        cv2.exp(weight, dst=weight)
        for sign in (1, -1):
            row = patch + (dy if sign > 0 else 0)
            column = patch + (max(dx, 0) if sign > 0 else max(-dx, 0))
            part = weight[row : row + height, column : column + width]
            y, x = margin + sign * dy, margin + sign * dx
            cv2.accumulate(part, weights)
            cv2.accumulateProduct(part, values[y : y + height, x : x + width], total)
    np.divide(total, weights, out=out)
