"""Encoder of lossless JPEG (ITU-T T.81 process 14, first-order prediction), which pydicom lacks."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CATEGORIES = 17
_CODE_BITS = 5
"""Of each category, by its own number: longer files than with codes made for the picture."""
_MOST_BITS = 16
_ROWS = 64


def lossless_jpeg(grey: NDArray[Any], bits: int) -> bytes:
    """grey: uint8 or uint16 [height, width], of at most 15 bits; predicted by the left
    neighbour."""
    height, width = grey.shape
    counts = bytes(_CATEGORIES if length == _CODE_BITS else 0 for length in range(1, 17))
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xC3, struct.pack(">BHHB3B", bits, height, width, 1, 1, 0x11, 0)),
            _segment(0xC4, b"\0" + counts + bytes(range(_CATEGORIES))),
            _segment(0xDA, bytes((1, 1, 0, 1, 0, 0))),
            *(part.replace(b"\xff", b"\xff\0") for part in _packed(_differences(grey, bits))),
            b"\xff\xd9",
        )
    )


def _differences(grey: NDArray[Any], bits: int) -> Iterator[NDArray[np.int32]]:
    """Of some rows at a time, in the order of the pixels."""
    above = 1 << (bits - 1)
    for top in range(0, len(grey), _ROWS):
        rows = grey[top : top + _ROWS].astype(np.int32)
        first = np.concatenate([[above], rows[:-1, 0]])
        above = int(rows[-1, 0])
        yield np.diff(rows, prepend=first[:, None]).ravel()


def _packed(differences: Iterator[NDArray[np.int32]]) -> Iterator[bytes]:
    """Each as its category's code and as many bits as that says; ones fill the last byte."""
    left = np.zeros(0, np.uint8)
    for each in differences:
        sizes = np.frexp(np.abs(each).astype(np.float64))[1]
        rest = np.where(each < 0, each + (1 << sizes) - 1, each)
        words = sizes.astype(np.int64) << sizes | rest
        lengths = sizes + _CODE_BITS
        places = lengths[:, None] - 1 - np.arange(_CODE_BITS + _MOST_BITS)
        bits = (words[:, None] >> np.maximum(places, 0) & 1).astype(np.uint8)
        left = np.concatenate([left, bits[places >= 0]])
        whole = len(left) // 8 * 8
        yield np.packbits(left[:whole]).tobytes()
        left = left[whole:]
    yield np.packbits(np.concatenate([left, np.ones(-len(left) % 8, np.uint8)])).tobytes()


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
