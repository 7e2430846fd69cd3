"""Whether two files hold one picture, whatever they are saved as.

A picture that is saved again as JPEG, in 16 bits, with other windows or smaller is another file of
other pixels, and of nearly the same shades. What is kept of each to tell is small, and needs no
pixels any more:

- a hash of the ranks of its grey levels in rows all over it, the same for one picture saved in any
  depth without loss;
- the picture at 64 x 64, which no linear change of the grey levels alters. Two differ by
  sqrt(1 - correlation^2), or less if one is mirrored or turned by quarters.

docs/files.md has what was measured.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.values import FloatImage

_SIDE, _SAMPLED = 64, 512
"""px of a reduced picture, and of the shorter side of what it is made of."""
_MOST_DIFFERENT = 0.03
_SAME_SHAPE = 0.02
"""Relative difference of two ratios of width to height."""


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """shape: (height, width) in px. ranks: SHA-256. small: [64, 64], of mean 0 and norm 1, or all
    0 where the picture has one level."""

    shape: tuple[int, int]
    ranks: bytes
    small: FloatImage


def likeness(pixels: NDArray[Any]) -> Likeness:
    """pixels: uint8 or uint16, [height, width]."""
    height, width = pixels.shape
    return Likeness((height, width), _ranks(pixels), _small(pixels))


def same(a: Likeness, b: Likeness) -> bool:
    """Whether they are one picture, saved without loss, in whatever depth."""
    return a.ranks == b.ranks


def near(a: Likeness, b: Likeness) -> bool:
    """Whether they are nearly one picture, of one shape; one may be mirrored or turned."""
    return difference(a, b) <= _MOST_DIFFERENT


def difference(a: Likeness, b: Likeness) -> float:
    """In [0, 1], of the way to lay one on the other that fits best; 1 where the shape of none does,
    and of one that is the other's negative."""
    upright, turned = (_one_shape(a.shape, shape) for shape in (b.shape, b.shape[::-1]))
    smalls = ([b.small] if upright else []) + ([b.small.T] if turned else [])
    laid = [small[::up, ::left] for small in smalls for up in (1, -1) for left in (1, -1)]
    correlation = max((float(np.vdot(a.small, small)) for small in laid), default=0.0)
    return math.sqrt(max(0.0, 1 - max(correlation, 0.0) ** 2))


def _one_shape(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return abs(math.log(a[0] * b[1] / (a[1] * b[0]))) <= _SAME_SHAPE


def _ranks(pixels: NDArray[Any]) -> bytes:
    """Of at least 512 rows, if there are so many; one at a time, for they are a film's."""
    rows = pixels[:: _stride(pixels)]
    there = np.zeros(np.iinfo(pixels.dtype).max + 1, bool)
    for row in rows:
        there[row] = True
    ranks = (np.cumsum(there) - 1).astype("<u2")
    known = hashlib.sha256(repr(pixels.shape).encode())
    for row in rows:
        known.update(ranks[row].data)
    return known.digest()


def _small(pixels: NDArray[Any]) -> FloatImage:
    stride = _stride(pixels)
    sampled = pixels[::stride, ::stride].astype(np.float32)
    small = cv2.resize(sampled, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    small -= small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-12), np.float32)


def _stride(pixels: NDArray[Any]) -> int:
    height, width = pixels.shape
    return max(1, int(min(height, width)) // _SAMPLED)
