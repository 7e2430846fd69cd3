"""Which way is up: the Exif orientation (Exif 2.32, 4.6.5.1; TIFF 6.0), wherever a file notes it.

No decoder turns a picture here: which notes it looks at, and of which pixels, differs.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.values import Caution

UNKNOWN = Caution(
    "orientation_unknown",
    "The file's note on which way is up cannot be read; the picture is taken as it is stored.",
)

_ORIENTATION = 274
_FORMS = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT, LONG
_EXIF, _XMP_OF_JPEG = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_IN_XMP = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*(\d+)")


def of_exif(block: bytes) -> int | None:
    """1 to 8 of a TIFF block, with or without the name before it; 1 if it says nothing, None if it
    is damaged."""
    block = block.removeprefix(_EXIF)
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    try:
        if order is None:
            return None
        (at,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, at)
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            tag, kind = struct.unpack_from(order + "HH", block, entry)
            if tag == _ORIENTATION:
                (value,) = struct.unpack_from(order + _FORMS.get(kind, "H"), block, entry + 8)
                return known(value)
    except struct.error:
        return None
    return 1


def of_xmp(packet: bytes) -> int | None:
    """1 to 8 of an XMP packet; 1 if it says nothing."""
    said = _IN_XMP.search(packet)
    return known(int(said[1][:3])) if said else 1


def of_app1(body: bytes) -> int | None:
    """Of a JPEG application segment 1, which is Exif, XMP or something else."""
    if body.startswith(_EXIF):
        return of_exif(body)
    return of_xmp(body) if body.startswith(_XMP_OF_JPEG) else 1


def known(value: int) -> int | None:
    """A value from 1 to 8; 0 is what some writers put for 1."""
    return max(value, 1) if value <= 8 else None


def first_that_turns(notes: list[int | None]) -> int | None:
    """Of several notes in the order of their weight; None if one is damaged and none turns."""
    turning = next((note for note in notes if note not in (None, 1)), None)
    return turning or (None if None in notes else 1)


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """[height, width, ...] as stored -> as it is to be seen."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
