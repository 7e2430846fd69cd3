"""Lossless JPEG (ITU-T T.81 process 14, first-order prediction): OpenCV writes none."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_CATEGORIES = 17
_CODE_BITS = 5  # every category by its own number


def lossless_jpeg(grey: NDArray[np.uint8]) -> bytes:
    """grey: [height, width]; each pixel is predicted by its left neighbour."""
    height, width = grey.shape
    pixels = grey.astype(int)
    predicted = np.empty_like(pixels)
    predicted[:, 1:] = pixels[:, :-1]
    predicted[1:, 0] = pixels[:-1, 0]
    predicted[0, 0] = 128
    bits = "".join(_code(int(difference)) for difference in (pixels - predicted).ravel())
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    counts = bytes(_CATEGORIES if length == _CODE_BITS else 0 for length in range(1, 17))
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xC3, struct.pack(">BHHB3B", 8, height, width, 1, 1, 0x11, 0)),
            _segment(0xC4, b"\0" + counts + bytes(range(_CATEGORIES))),
            _segment(0xDA, bytes((1, 1, 0, 1, 0, 0))),
            data,
            b"\xff\xd9",
        )
    )


def _code(difference: int) -> str:
    size = abs(difference).bit_length()
    code = format(size, f"0{_CODE_BITS}b")
    if size == 0:
        return code
    rest = difference if difference > 0 else difference + 2**size - 1
    return code + format(rest, f"0{size}b")


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
