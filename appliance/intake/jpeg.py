"""JPEG header and end marker (ITU-T T.81 annex B; T.87 for JPEG-LS)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from mammosono.appliance.errors import CorruptImage, UnsupportedFormat
from mammosono.appliance.intake import orientation
from mammosono.appliance.intake.header import Header

_MAX_SEGMENTS = 10_000  # a colour profile may take 255
_START_OF_SCAN, _APP1 = 0xDA, 0xE1
_MAX_SCANS = 100  # progressive files have about ten; each takes a pass over the whole picture
_END_OF_IMAGE = b"\xff\xd9"
_STANDALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a body
_NOT_FRAMES = {0xC4, 0xC8, 0xCC}  # DHT, JPG and DAC lie among the SOFs
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - _NOT_FRAMES
_BASELINE, _EXTENDED, _PROGRESSIVE, _LOSSLESS = 0xC0, 0xC1, 0xC2, 0xC3
_HUFFMAN_DCT = {_BASELINE, _EXTENDED, _PROGRESSIVE}


@dataclass(frozen=True, slots=True)
class JpegFrame:
    """A start-of-frame segment, and where it and the entropy-coded data begin (byte offsets)."""

    frame_offset: int
    scan_offset: int
    process: int
    bits: int
    height: int
    width: int


def read_frame(data: bytes) -> JpegFrame:
    """The frame header of any JPEG process, JPEG-LS included.

    Raises CorruptImage if there is none, or if what follows it would keep the decoder for hours.
    """
    frame_offset, fields, end = 0, None, 2
    for marker, offset, end in _segments(data):
        if marker in _START_OF_FRAME and end - offset >= 10 and offset + 9 <= len(data):
            fields = (marker, *struct.unpack_from(">BHH", data, offset + 4))
            frame_offset = offset
    if data.count(bytes((0xFF, _START_OF_SCAN)), end) > _MAX_SCANS:
        raise CorruptImage("The JPEG file has too many scans; export it again from its source.")
    if fields is not None:
        return JpegFrame(frame_offset, end, *fields)
    raise CorruptImage("The JPEG file has no frame header; export it again from its source.")


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin and end of each segment with a body, up to the scan header."""
    offset = 2
    for _ in range(_MAX_SEGMENTS):
        if offset + 4 > len(data) or data[offset] != 0xFF:
            return
        marker = data[offset + 1]
        if marker == 0xFF:  # fill byte
            offset += 1
        elif marker in _STANDALONE:
            offset += 2
        else:
            (length,) = struct.unpack_from(">H", data, offset + 2)
            end = offset + 2 + max(length, 2)
            yield marker, offset, end
            if marker == _START_OF_SCAN:
                return
            offset = end


def read_orientation(data: bytes) -> int | None:
    """The Exif orientation, 1 to 8; None if the note is damaged."""
    bodies = [data[at + 4 : end] for marker, at, end in _segments(data) if marker == _APP1]
    bodies.sort(key=lambda body: not body.startswith(b"Exif"))
    return orientation.first_that_turns([orientation.of_app1(body) for body in bodies])


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


def mended(data: bytes) -> bytes:
    """A sequential or lossless picture whose headers lie about what its process leaves no choice.

    Many 12-bit files of NEMA's WG04 say that their scan ends at coefficient 0; strict decoders
    refuse them (T.81, table B.3). A baseline frame of 12 bits is an extended one. Raises
    CorruptImage.
    """
    frame = read_frame(data)
    if frame.process not in (_BASELINE, _EXTENDED, _LOSSLESS):
        return data
    sound = bytearray(data)
    if frame.process == _BASELINE and frame.bits != 8:
        sound[frame.frame_offset + 1] = _EXTENDED
    at = data.find(bytes((0xFF, _START_OF_SCAN)), frame.frame_offset)
    while 0 <= at < len(data) - 5:
        components = data[at + 4]
        selection = at + 5 + 2 * components  # first, last, approximation
        if selection + 3 <= len(data) and 1 <= components <= 4:
            if frame.process == _LOSSLESS:
                sound[selection + 1] = 0
                sound[selection + 2] &= 0x0F
            else:
                sound[selection : selection + 3] = bytes((0, 63, 0))
        at = data.find(bytes((0xFF, _START_OF_SCAN)), at + 2)
    return bytes(sound)
