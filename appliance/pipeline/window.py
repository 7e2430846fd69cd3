"""Display window: any bit depth to the eight bits of a screen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_grey(pixels: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    """uint8 [H, W]: window[0] and below is black, window[1] and above is white."""
    low, high = window
    if pixels.dtype == np.uint8 and (low, high) == (0, 255):
        same: NDArray[np.uint8] = pixels
        return same
    scaled = (pixels.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.asarray(np.rint(np.clip(scaled, 0, 255)), dtype=np.uint8)
