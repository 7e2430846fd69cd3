"""Transfer syntax, read from the file meta group alone and held against a list.

Only then may a DICOM parser see the file: it would inflate a deflated data set, a bomb, at once.
"""

from __future__ import annotations

import re
import struct

from pydicom.config import IGNORE
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from mammosono.appliance.errors import CorruptDicom, UnsupportedTransferSyntax

JPEG2000_SYNTAXES = frozenset((JPEG2000Lossless, JPEG2000))
READABLE = frozenset(
    (
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        RLELossless,
        JPEGBaseline8Bit,
        JPEGExtended12Bit,
        JPEGLossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEGLSNearLossless,
        *JPEG2000_SYNTAXES,
    )
)

_META_OFFSET = 132  # behind preamble and prefix
_META_END = 2**16  # the group holds a dozen short elements
_META_GROUP, _TRANSFER_SYNTAX_UID = 0x0002, 0x0010
_LONG_LENGTH_VRS = (b"OB", b"OW", b"UN", b"UT", b"SQ")  # 2 reserved bytes, 4 of length

_UID_PATTERN = re.compile(r"[0-9.]{1,64}")


def require_readable_transfer_syntax(data: bytes) -> UID:
    """The transfer syntax UID of a DICOM file.

    Raises CorruptDicom without one; UnsupportedTransferSyntax if it is not on the list or its
    codec is not installed.
    """
    stated = _transfer_syntax_uid(data)
    if not _UID_PATTERN.fullmatch(stated):
        raise CorruptDicom("The DICOM file's transfer syntax is no UID; send it again.")
    syntax = UID(stated, IGNORE)
    if syntax not in READABLE or not get_decoder(syntax).is_available:
        name = syntax.name if syntax.name != syntax else "of this file"
        raise UnsupportedTransferSyntax(
            f"The transfer syntax {name} is not read; send it as Explicit VR Little Endian."
        )
    return syntax


def _transfer_syntax_uid(data: bytes) -> str:
    """The meta group is always explicit VR little endian (PS3.10, 7.1)."""
    offset = _META_OFFSET
    while offset + 12 <= min(len(data), _META_END):
        group, element, vr, length = struct.unpack_from("<HH2sH", data, offset)
        if group != _META_GROUP:
            break
        offset += 8
        if vr in _LONG_LENGTH_VRS:
            (length,) = struct.unpack_from("<I", data, offset)
            offset += 4
        if element == _TRANSFER_SYNTAX_UID:
            return data[offset : offset + length].rstrip(b"\0 ").decode("ascii", "replace")
        offset += length
    raise CorruptDicom("The DICOM file names no transfer syntax; export it as a Part 10 file.")
