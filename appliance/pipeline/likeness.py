"""Whether two files hold one picture, whatever they are saved as.

A picture that is saved again as JPEG, in 16 bits, with other windows or smaller is another file of
other pixels, and of nearly the same shades. Two pictures are held against each other at 64 x 64, by
the correlation of their pixels, which no linear change of the grey levels alters:

    difference = sqrt(1 - correlation^2)

docs/files.md has what was measured.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.values import FloatImage, SourceImage

_SIDE, _SAMPLED = 64, 512
"""px of a reduced picture, and of those that it is made of."""
_MOST_DIFFERENT = 0.03
_SAME_SHAPE = 0.02
"""Relative difference of two ratios of width to height."""


def reduced(pixels: NDArray[Any]) -> FloatImage:
    """float32, [64, 64], of mean 0 and norm 1; all 0 where the picture has one level."""
    stride = max(1, min(pixels.shape) // _SAMPLED)
    sampled = pixels[::stride, ::stride].astype(np.float32)
    small = cv2.resize(sampled, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    small -= small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-12), np.float32)


def difference(a: FloatImage, b: FloatImage) -> float:
    """Of two reduced pictures, in [0, 1]; 1 of one that is the other's negative."""
    correlation = float(np.vdot(a, b))
    return math.sqrt(max(0.0, 1 - max(correlation, 0.0) ** 2))


def one_scene(a: SourceImage, b: SourceImage, small_a: FloatImage, small_b: FloatImage) -> bool:
    """Whether they are near to one picture; small: `reduced` of each."""
    shapes = math.log(a.width * b.height / (a.height * b.width))
    return abs(shapes) <= _SAME_SHAPE and difference(small_a, small_b) <= _MOST_DIFFERENT


def one_to_one(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether the grey levels of one are those of the other at every pixel, level for level and in
    the same order: one picture, saved without loss, in whatever depth."""
    if a.shape != b.shape:
        return False
    pairs = np.unique(a.astype(np.uint32) << 16 | b)
    first, second = pairs >> 16, pairs & 0xFFFF
    return bool(np.all(first[1:] > first[:-1]) and np.all(second[1:] > second[:-1]))
