"""The compressed frame of a DICOM file: held against the header, and mended where its own header
lies about nothing that is shown."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID, RLELossless

from mammosono.appliance.errors import CorruptDicom, CorruptImage
from mammosono.appliance.intake import jpeg
from mammosono.appliance.intake.transfer_syntax import JPEG2000_SYNTAXES

LENGTH = "The DICOM pixel data do not fit the stated size; send the file again."
_DAMAGED = "The compressed DICOM pixels are damaged or cut off; send the file again."

_J2K_START = b"\xff\x4f\xff\x51"  # SOC and SIZ (ITU-T T.800 annex A)
_J2K_TILE = b"\xff\x90\0\x0a"  # SOT
_MAX_TILE_PARTS, _MOST_OWN_ZEROS = 100_000, 2
_JP2_START = b"\0\0\0\x0cjP  "  # of the file format (annex I); a signature of 4 bytes follows
_BOX_HEAD_BYTES, _MAX_BOXES = 8, 1000
END = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000; never within their data
_TAILS = (b"\0" * 64, b"\xaa" * 64, b"\x55" * 64)


def checked(codestream: bytes, rows: int, columns: int, syntax: UID) -> bytes:
    """The codestream up to its end, with a sound header.

    A codestream has a size of its own: a bomb if the decoder were to believe it. Raises
    CorruptDicom.
    """
    if syntax == RLELossless:  # no size of its own, and no end
        return codestream
    if syntax in JPEG2000_SYNTAXES:
        size, data_at = _j2k_size(codestream)
    else:
        try:
            frame = jpeg.read_frame(codestream)
            codestream = jpeg.mended(codestream)
        except CorruptImage:
            raise CorruptDicom(_DAMAGED) from None
        size, data_at = (frame.height, frame.width), frame.scan_offset
    if size != (rows, columns):
        raise CorruptDicom(LENGTH)
    end = codestream.find(END, data_at)
    if end >= 0:
        return codestream[: end + len(END)]
    if syntax in JPEG2000_SYNTAXES:
        return codestream[: _tile_parts_end(codestream, data_at)] + END
    return codestream.rstrip(b"\0")


def decode_whole(codestream: bytes, decode: Callable[[bytes], NDArray[Any]]) -> NDArray[Any]:
    """What `decode` makes of the codestream; one that lost its end marker is decoded with several
    tails, which differ in the picture if anything else was lost. Raises CorruptDicom."""
    if codestream.endswith(END):
        return decode(codestream)
    first, *others = (decode(codestream + tail + END) for tail in _TAILS)
    if any(not np.array_equal(first, other) for other in others):
        raise CorruptDicom(_DAMAGED)
    return first


def _j2k_size(codestream: bytes) -> tuple[tuple[int, int], int]:
    """Rows and columns of the reference grid's image area, and where the first tile begins."""
    at = codestream.find(_J2K_START)
    if at < 0 or not _boxes_end(codestream):
        raise CorruptDicom(_DAMAGED)
    # Behind the markers: segment length and capabilities, two bytes each.
    right, bottom, left, top = struct.unpack_from(">4I", codestream, at + len(_J2K_START) + 4)
    return (bottom - top, right - left), max(codestream.find(_J2K_TILE, at), at)


def _tile_parts_end(codestream: bytes, at: int) -> int:
    """Each part of a tile says how long it is. Raises CorruptDicom if not all of them are there."""
    end = at
    for _ in range(_MAX_TILE_PARTS):
        if end + 12 > len(codestream) or codestream[end : end + 4] != _J2K_TILE:
            break
        (length,) = struct.unpack_from(">I", codestream, end + 6)
        end += length or len(codestream)
    written = len(codestream.rstrip(b"\0")) + _MOST_OWN_ZEROS  # zeros may stand for what was lost
    if not at < end <= min(written, len(codestream)):
        raise CorruptDicom(_DAMAGED)
    return end


def _boxes_end(codestream: bytes) -> bool:
    """Whether JP2 boxes, which do not belong into DICOM, lead to the codestream if there are any.

    pydicom 3.0.2 follows them without a look at their lengths, and for ever at one of zero.
    """
    if not codestream.startswith(_JP2_START):
        return True
    at = len(_JP2_START) + 4
    for _ in range(_MAX_BOXES):
        length, kind = struct.unpack_from(">I4s", codestream, at)
        if kind == b"jp2c":
            return True
        if length < _BOX_HEAD_BYTES:
            return False
        at += length
    return False
