"""JPEG header and end marker (ITU-T T.81 annex B; T.87 for JPEG-LS)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mammosono.appliance.errors import CorruptImage, UnsupportedFormat
from mammosono.appliance.intake.header import Header

_MAX_SEGMENTS = 10_000  # a colour profile may take 255
_START_OF_SCAN = 0xDA
_MAX_SCANS = 100  # progressive files have about ten; each takes a pass over the whole picture
_END_OF_IMAGE = b"\xff\xd9"
_STANDALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a body
_NOT_FRAMES = {0xC4, 0xC8, 0xCC}  # DHT, JPG and DAC lie among the SOFs
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - _NOT_FRAMES
_HUFFMAN_DCT = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive


@dataclass(frozen=True, slots=True)
class JpegFrame:
    """A start-of-frame segment, and where the entropy-coded data begin (byte offset)."""

    scan_offset: int
    process: int
    bits: int
    height: int
    width: int


def read_frame(data: bytes) -> JpegFrame:
    """The frame header of any JPEG process, JPEG-LS included.

    Raises CorruptImage if there is none, or if what follows it would keep the decoder for hours.
    """
    offset, fields = 2, None
    for _ in range(_MAX_SEGMENTS):
        if offset + 4 > len(data) or data[offset] != 0xFF:
            break
        marker = data[offset + 1]
        if marker == 0xFF:  # fill byte
            offset += 1
        elif marker in _STANDALONE:
            offset += 2
        else:
            (length,) = struct.unpack_from(">H", data, offset + 2)
            if marker in _START_OF_FRAME and length >= 8 and offset + 9 <= len(data):
                fields = (marker, *struct.unpack_from(">BHH", data, offset + 4))
            offset += 2 + max(length, 2)
            if marker == _START_OF_SCAN:
                break
    if data.count(bytes((0xFF, _START_OF_SCAN)), offset) > _MAX_SCANS:
        raise CorruptImage("The JPEG file has too many scans; export it again from its source.")
    if fields is not None:
        return JpegFrame(offset, *fields)
    raise CorruptImage("The JPEG file has no frame header; export it again from its source.")


def read_header(data: bytes) -> Header:
    """Raises CorruptImage, or UnsupportedFormat for other than 8-bit Huffman-coded DCT."""
    frame = read_frame(data)
    if frame.process not in _HUFFMAN_DCT or frame.bits != 8:
        raise UnsupportedFormat(
            "The JPEG is lossless, arithmetic-coded or deeper than 8 bits; export it as PNG."
        )
    return Header(frame.width, frame.height, 8)


def require_end(data: bytes) -> None:
    """Raises CorruptImage if the picture data are not closed by an end-of-image marker."""
    # Sought behind the scan header only: a thumbnail in the Exif segment has an end of its own.
    if data.find(_END_OF_IMAGE, read_frame(data).scan_offset) < 0:
        raise CorruptImage("The JPEG file is cut off; export it again from its source.")
