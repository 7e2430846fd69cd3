"""File format by the first bytes; the name and the declared type are not considered."""

from __future__ import annotations

from enum import Enum

from mammosono.appliance.errors import CorruptDicom, UnsupportedFormat


class Format(Enum):
    PNG = "PNG"
    JPEG = "JPEG"
    TIFF = "TIFF"
    DICOM = "DICOM"


def sniff(data: bytes | bytearray) -> Format:
    """The format of `data`.

    Raises UnsupportedFormat, or CorruptDicom for a bare data set without the DICOM prefix.
    """
    if data[128:132] == b"DICM":
        return Format.DICOM
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Format.PNG
    if data.startswith(b"\xff\xd8\xff"):
        return Format.JPEG
    if data.startswith((b"II*\0", b"MM\0*")):
        return Format.TIFF
    if _looks_like_a_bare_data_set(data):
        raise CorruptDicom(
            "The DICOM file lacks its 128-byte preamble and prefix; export it as a Part 10 file."
        )
    raise UnsupportedFormat("The file is no PNG, JPEG, TIFF or DICOM; export it as one of these.")


def _looks_like_a_bare_data_set(data: bytes | bytearray) -> bool:
    """Begins with an element of group 2 or 8, explicit (a VR) or implicit (a small length)."""
    if len(data) < 8 or data[:2] not in (b"\x02\0", b"\x08\0"):
        return False
    return (data[4:6].isalpha() and data[4:6].isupper()) or data[5:8] == b"\0\0\0"
