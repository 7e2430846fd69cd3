"""Transfer syntax, read from the file meta group alone and held against a list.

The DICOM parser is given what lies behind the group and never the group itself: in a group that
says two things it might find the other one, and would inflate a deflated data set, a bomb, at once.
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
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

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
_LONG_LENGTH_VRS = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)  # 2 reserved, 4 of length

_DAMAGED = "The DICOM file's meta information is damaged or says a thing twice; send it again."
_UID_PATTERN = re.compile(r"[0-9.]{1,64}")


def require_readable_transfer_syntax(data: bytes | bytearray | memoryview) -> tuple[UID, int]:
    """The transfer syntax UID of a DICOM file, and the byte offset of its data set.

    Raises CorruptDicom without one, or if the meta group is damaged or says a thing twice;
    UnsupportedTransferSyntax if it is not on the list or its codec is not installed.
    """
    stated, data_set_at = transfer_syntax_uid(data)
    if not _UID_PATTERN.fullmatch(stated):
        raise CorruptDicom("The DICOM file's transfer syntax is no UID; send it again.")
    syntax = UID(stated, IGNORE)
    if syntax not in READABLE or not get_decoder(syntax).is_available:
        name = syntax.name if syntax.name != syntax else "of this file"
        raise UnsupportedTransferSyntax(
            f"The transfer syntax {name} is not read; send it as Explicit VR Little Endian."
        )
    return syntax, data_set_at


def transfer_syntax_uid(data: bytes | bytearray | memoryview) -> tuple[str, int]:
    """What the meta group states, which is always explicit VR little endian (PS3.10, 7.1), and the
    byte offset of the data set. Raises CorruptDicom."""
    offset, stated = _META_OFFSET, None
    seen: set[int] = set()
    while offset + 2 <= len(data):
        (group,) = struct.unpack_from("<H", data, offset)
        if group != _META_GROUP:
            break
        if offset + 12 > len(data) or offset > _META_END:
            raise CorruptDicom(_DAMAGED)
        element, vr, length = struct.unpack_from("<H2sH", data, offset + 2)
        offset += 8
        if vr in _LONG_LENGTH_VRS:
            (length,) = struct.unpack_from("<I", data, offset)
            offset += 4
        if element in seen or not (vr.isalpha() and vr.isupper()) or offset + length > len(data):
            raise CorruptDicom(_DAMAGED)
        seen.add(element)
        if element == _TRANSFER_SYNTAX_UID:
            stated = bytes(data[offset : offset + length]).rstrip(b"\0 ").decode("ascii", "replace")
        offset += length
    if stated is None:
        raise CorruptDicom("The DICOM file names no transfer syntax; export it as a Part 10 file.")
    return stated, offset
