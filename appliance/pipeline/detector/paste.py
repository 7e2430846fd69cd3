"""Pasting of a finding's mask from its grid in the box to pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def paste(
    mask: NDArray[np.float32], box: NDArray[np.float32], size: tuple[int, int], threshold: float
) -> tuple[NDArray[np.bool_], int, int]:
    """The mask at pixel resolution: (bool crop [h, w], left, top) inside an image of `size`.

    mask: [n, n] in 0..1 over `box` (xyxy px of that image). Cell i of the grid stands at
    x0 + (i + 0.5) (x1 - x0) / n; between cells the value is bilinear, beyond them constant.
    The crop is empty (0 x 0) where the box is outside the image.
    """
    height, width = size
    x0, y0, x1, y1 = (float(v) for v in box)
    left, top = max(int(np.floor(x0)), 0), max(int(np.floor(y0)), 0)
    right, bottom = min(int(np.ceil(x1)), width), min(int(np.ceil(y1)), height)
    if right <= left or bottom <= top or x1 <= x0 or y1 <= y0:
        return np.zeros((0, 0), np.bool_), left, top
    n = mask.shape[0]
    sx, sy = n / (x1 - x0), n / (y1 - y0)
    # Crop pixel j has its centre at left + j + 0.5, which is grid coordinate
    # (left + j + 0.5 - x0) sx - 0.5.
    matrix = np.array([[sx, 0, (left + 0.5 - x0) * sx - 0.5], [0, sy, (top + 0.5 - y0) * sy - 0.5]])
    values = cv2.warpAffine(
        mask,
        matrix,
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    crop = np.asarray(values >= threshold, dtype=np.bool_)
    # Pixels whose centre is outside the box belong to no cell.
    xs = np.arange(left, right) + 0.5
    ys = np.arange(top, bottom) + 0.5
    crop &= ((xs >= x0) & (xs < x1))[None, :] & ((ys >= y0) & (ys < y1))[:, None]
    return crop, left, top
