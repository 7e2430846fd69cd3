"""PNG header, and a copy with nothing in it but the picture (W3C PNG, third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from mammosono.appliance.errors import CorruptImage, MultiFrame, UnsupportedFormat
from mammosono.appliance.intake import orientation
from mammosono.appliance.intake.header import Header

_SIGNATURE_BYTES = 8
_CHUNK_FRAME_BYTES = 12  # length, type and CRC around a chunk's body
_MAX_CHUNKS = 100_000  # the largest file in pieces of 8 KiB is 16 384

# Text, colour profiles and times never reach the decoder: they can be bombs, and say nothing.
_PICTURE_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
# Where older ImageMagick and ExifTool write Exif, and where everybody writes XMP.
_PROFILES = (b"Raw profile type exif", b"Raw profile type APP1", b"Raw profile type xmp")
_XMP = b"XML:com.adobe.xmp"
_LONGEST_KEYWORD = 79
_MOST_TEXT_BYTES = 2**20

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_SPARE_BYTES, _PIECE_BYTES = 2**16, 2**20

_CUT_OFF = "The PNG file is cut off; export it again from its source."


def read_header(data: bytes) -> Header:
    """Raises CorruptImage."""
    if len(data) < 33 or data[8:16] != b"\0\0\0\x0dIHDR":
        raise CorruptImage("The PNG file has no header; export it again from its source.")
    width, height, bits = struct.unpack_from(">IIB", data, 16)
    return Header(width, height, bits)


def without_extras(data: bytes) -> tuple[bytes, int | None]:
    """The picture's own chunks, every CRC checked, and its Exif orientation (None if damaged).

    Raises CorruptImage, MultiFrame for an animation, UnsupportedFormat if another file follows
    the picture (a PNG that is a ZIP as well).
    """
    kept, end = [memoryview(data)[:_SIGNATURE_BYTES]], 0
    inflation = _Inflation(_raw_bytes(data))
    notes: list[int | None] = []
    for kind, chunk in _chunks(memoryview(data)):
        if kind == b"acTL" and int.from_bytes(chunk[8:12], "big") != 1:
            raise MultiFrame("The PNG file is an animation; export one picture of it.")
        if kind in _PICTURE_CHUNKS:
            kept.append(chunk)
            if kind == b"IDAT":
                inflation.feed(chunk[8:-4])
        elif kind == b"eXIf":
            notes.insert(0, orientation.of_exif(bytes(chunk[8:-4])))
        elif kind in _TEXT_CHUNKS:
            notes.append(_orientation_of_text(kind, chunk[8:-4]))
        end = chunk.nbytes if kind == b"IEND" else 0
    if not end:
        raise CorruptImage(_CUT_OFF)
    return b"".join(kept), orientation.first_that_turns(notes)


def _raw_bytes(data: bytes) -> int:
    """Of all rows, filter bytes included."""
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    return int(height * (1 + (width * bits * _CHANNELS.get(colour, 4) + 7) // 8))


class _Inflation:
    """What the picture's data inflate to, counted: the decoder goes through all of it, and a
    megabyte may stand for a gigabyte."""

    def __init__(self, expected: int) -> None:
        self._budget = expected + expected // 4 + _SPARE_BYTES  # passes of an interlaced picture
        self._inflater = zlib.decompressobj()

    def feed(self, deflated: memoryview) -> None:
        """Raises CorruptImage when it is more than the picture's size calls for."""
        left: bytes | memoryview = deflated
        try:
            while left and not self._inflater.eof:
                self._budget -= len(self._inflater.decompress(left, _PIECE_BYTES))
                left = self._inflater.unconsumed_tail
                if self._budget < 0:
                    raise CorruptImage(
                        "The PNG file holds far more data than its picture; export it again."
                    )
        except zlib.error:
            return  # the decoder finds the damage


def _orientation_of_text(kind: bytes, body: memoryview) -> int | None:
    """1 if the text is about something else, None if it is damaged or out of all proportion."""
    keyword = bytes(body[: _LONGEST_KEYWORD + 1]).partition(b"\0")[0]
    if keyword not in (*_PROFILES, _XMP):
        return 1
    text = bytes(body[len(keyword) + 1 : len(keyword) + 1 + _MOST_TEXT_BYTES])
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed = text[:1] == b"\1"
        text = text[2:].split(b"\0", 2)[-1]  # behind language and translated keyword
    elif packed:
        text = text[1:]  # behind the method
    try:
        if packed:
            text = zlib.decompressobj().decompress(text, _MOST_TEXT_BYTES)
        if keyword == _XMP:
            return orientation.of_xmp(text)
        # A line of the kind, a line of the length, then lines of hexadecimal digits.
        block = bytes.fromhex(text.strip().split(b"\n", 2)[2].decode("ascii"))
    except (zlib.error, ValueError, IndexError):
        return None
    if block.startswith((b"Exif", b"II", b"MM")):
        return orientation.of_exif(block)
    return orientation.of_xmp(block)


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
