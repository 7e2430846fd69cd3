"""Run-length encoded masks (COCO, compressed), without pycocotools.

A mask is its runs of 0, 1, 0, ... counted down the columns, first run of zeros (may be empty).
From the fourth run on, the difference to the run two before is stored. Every number is written
as signed base-32 digits, least significant first, one printable byte a digit: 5 bits of value,
bit 5 set if more follow, plus 48.
Source: cocodataset/cocoapi, common/maskApi.c, rleEncode, rleToString and rleFrString.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.values import Rle

DIGITS = 7
"""35 bits: enough for the difference of any two 32-bit runs."""


def encode(mask: NDArray[np.bool_], top: int, left: int, size: tuple[int, int]) -> Rle:
    """Encode `mask`, bool [h, w], whose first pixel lies at row `top`, column `left` of an image.

    size: (height, width) of that image, which is zero elsewhere and never built.
    Raises ValueError if the crop reaches outside the image.
    """
    height, width = size
    rows, columns = mask.shape
    if top < 0 or left < 0 or top + rows > height or left + columns > width:
        raise ValueError("the mask reaches outside the image")
    padded = np.zeros((columns, rows + 2), np.int8)
    padded[:, 1:-1] = mask.T
    column, row = np.nonzero(np.diff(padded, axis=1))
    edges = (column + left) * height + (row + top)
    return Rle((height, width), _compress(_runs(edges, height * width)))


def decode(rle: Rle) -> NDArray[np.bool_]:
    """Return the mask, bool [height, width].

    Raises ValueError if `counts` is no COCO string or its runs do not fill the image exactly.
    """
    height, width = rle.size
    runs = _decompress(rle.counts)
    if (runs < 0).any() or runs.sum() != height * width:
        raise ValueError("the runs do not fill the image")
    values = np.arange(runs.size) % 2 == 1
    columns = np.repeat(values, runs).reshape(width, height)
    return np.asarray(columns.T, np.bool_)


def _runs(edges: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Run lengths from alternating start and end positions, each a column's own."""
    # A run that leaves a column at the bottom and enters the next at the top is one run.
    joined = np.flatnonzero(edges[1:] == edges[:-1])
    edges = np.delete(edges, np.concatenate([joined, joined + 1]))
    if edges.size and edges[-1] == total:
        edges = edges[:-1]
    return np.diff(edges, prepend=0, append=total)


def _compress(runs: NDArray[np.int64]) -> str:
    values = runs.copy()
    values[3:] -= runs[1:-2]
    shifts = 5 * np.arange(DIGITS)
    rest = values[:, None] >> shifts
    # A digit is the last one when all above it, and its own sign bit, only repeat the sign.
    last = (rest >> 4 == 0) | (rest >> 4 == -1)
    needed = np.arange(DIGITS) <= last.argmax(axis=1)[:, None]
    digits = (rest & 31) | np.where(last, 0, 32)
    return bytes((digits[needed] + 48).astype(np.uint8)).decode("ascii")


def _decompress(counts: str) -> NDArray[np.int64]:
    digits = np.frombuffer(counts.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    if not digits.size or digits.min() < 0 or digits.max() > 63 or digits[-1] & 32:
        raise ValueError("not a COCO run-length string")
    ends = np.flatnonzero(digits & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > DIGITS:
        raise ValueError("not a COCO run-length string")
    place = np.arange(digits.size) - np.repeat(starts, lengths)
    values = np.add.reduceat((digits & 31) << (5 * place), starts)
    values -= np.where(digits[ends] & 16, 1 << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
