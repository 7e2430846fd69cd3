"""PNG header, and a copy with nothing in it but the picture (W3C PNG, third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from mammosono.appliance.errors import CorruptImage, MultiFrame, UnsupportedFormat
from mammosono.appliance.intake.header import Header

_SIGNATURE_BYTES = 8
_CHUNK_FRAME_BYTES = 12  # length, type and CRC around a chunk's body
_MAX_CHUNKS = 100_000  # the largest file in pieces of 8 KiB is 16 384

# Text, colour profiles and times never reach the decoder: they can be bombs, and say nothing.
_PICTURE_CHUNKS = (b"IHDR", b"PLTE", b"eXIf", b"IDAT", b"IEND")

_CUT_OFF = "The PNG file is cut off; export it again from its source."


def read_header(data: bytes) -> Header:
    """Raises CorruptImage."""
    if len(data) < 33 or data[8:16] != b"\0\0\0\x0dIHDR":
        raise CorruptImage("The PNG file has no header; export it again from its source.")
    width, height, bits = struct.unpack_from(">IIB", data, 16)
    return Header(width, height, bits)


def without_extras(data: bytes) -> bytes:
    """The picture's own chunks, every CRC checked.

    Raises CorruptImage, MultiFrame for an animation, UnsupportedFormat if another file follows
    the picture (a PNG that is a ZIP as well).
    """
    kept, end = [memoryview(data)[:_SIGNATURE_BYTES]], 0
    for kind, chunk in _chunks(memoryview(data)):
        if kind == b"acTL" and int.from_bytes(chunk[8:12], "big") != 1:
            raise MultiFrame("The PNG file is an animation; export one picture of it.")
        if kind in _PICTURE_CHUNKS:
            kept.append(chunk)
        end = chunk.nbytes if kind == b"IEND" else 0
    if not end:
        raise CorruptImage(_CUT_OFF)
    return b"".join(kept)


def _chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Chunk types and whole chunks up to IEND."""
    offset = _SIGNATURE_BYTES
    for _ in range(_MAX_CHUNKS):
        if offset + _CHUNK_FRAME_BYTES > len(data):
            return
        (length,) = struct.unpack_from(">I", data, offset)
        end = offset + _CHUNK_FRAME_BYTES + length
        if end > len(data):
            raise CorruptImage(_CUT_OFF)
        chunk = data[offset:end]
        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise CorruptImage("The PNG file is damaged (checksum); export it again.")
        kind = bytes(chunk[4:8])
        yield kind, chunk
        if kind == b"IEND":
            if bytes(data[end:]).strip(b"\0"):
                raise UnsupportedFormat("Another file follows the PNG picture; export it again.")
            return
        offset = end
