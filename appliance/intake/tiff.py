"""TIFF directories, and whether the picture's data are in the file (TIFF 6.0)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from enum import IntEnum
from itertools import accumulate

from mammosono.appliance.errors import CorruptImage, MultiFrame, UnsupportedFormat
from mammosono.appliance.intake import orientation
from mammosono.appliance.intake.header import Header


class Tag(IntEnum):
    SUBFILE_TYPE = 254
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTES = 279
    PLANAR = 284
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_BYTES = 325
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339


_FILL_ORDER, _PREDICTOR, _XMP = 266, 317, 700

Directory = Mapping[int, tuple[int, ...]]

_TYPE_CODES = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT, LONG
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_MANY = frozenset(
    (
        Tag.BITS,
        Tag.EXTRA_SAMPLES,
        Tag.SAMPLE_FORMAT,
        Tag.STRIP_OFFSETS,
        Tag.STRIP_BYTES,
        Tag.TILE_OFFSETS,
        Tag.TILE_BYTES,
    )
)
_MAX_DIRECTORIES = 16  # reduced copies of one picture, at halving sizes
_MAX_VALUES = 2**18  # strips of a row, or tiles of 16 x 16 pixels, of the largest picture
_REDUCED_OR_MASK = 1 | 4
_WHITE_IS_ZERO = 0
# White is zero, black is zero, RGB, palette, CMYK, YCbCr; not raw sensor data, not logarithms.
_PHOTOMETRICS = {_WHITE_IS_ZERO, 1, 2, 3, 5, 6}
_UNSIGNED, _FLOAT = 1, 3
_DEFLATE = (8, 32946)
_INFLATED_BYTES_PER_PIXEL = 16  # 16-bit RGBA or a double, twice
_OVERHANG_BYTES = 16 * 2**20
_PIECE_BYTES = 2**20
_DEPTHS = {_UNSIGNED: {1, 4, 8, 16}, _FLOAT: {32, 64}}

_DAMAGED = "The TIFF file is damaged or cut off; export it again from its source."


def read_header(data: bytes) -> Header:
    """Raises CorruptImage, MultiFrame, or UnsupportedFormat for pixels the decoder gets wrong."""
    directories = _directories(data)
    first = directories[0]
    if _value(first, Tag.SUBFILE_TYPE, 0) & _REDUCED_OR_MASK:
        raise UnsupportedFormat("The TIFF file begins with a preview; export one plain picture.")
    if sum(not _value(d, Tag.SUBFILE_TYPE, 0) & _REDUCED_OR_MASK for d in directories) > 1:
        raise MultiFrame("The TIFF file has several pages; export one picture of it.")
    bits, kind = _value(first, Tag.BITS, 1), _value(first, Tag.SAMPLE_FORMAT, _UNSIGNED)
    photometric = _value(first, Tag.PHOTOMETRIC, -1)
    samples = _value(first, Tag.SAMPLES, 1)
    pixels = _value(first, Tag.WIDTH, 0) * _value(first, Tag.HEIGHT, 0)
    tiles_px = _value(first, Tag.TILE_WIDTH, 0) * _value(first, Tag.TILE_HEIGHT, 0)
    split_planes = samples > 1 and _value(first, Tag.PLANAR, 1) == 2
    if (
        photometric not in _PHOTOMETRICS
        or bits not in _DEPTHS.get(kind, ())
        or len(set(first.get(Tag.BITS, ()))) > 1
        or tiles_px > _OVERHANG_BYTES + _INFLATED_BYTES_PER_PIXEL * pixels
        or (split_planes and bits > 8)  # OpenCV reads one plane and leaves the others empty
        or (kind == _FLOAT and samples > 1)
        or samples > 4
        or (samples == 2 and Tag.TILE_OFFSETS in first)  # OpenCV shuffles grey with alpha
    ):
        raise UnsupportedFormat(
            "The TIFF's pixels are of an unusual kind; export it as 8- or 16-bit grey or RGB."
        )
    return Header(
        width=_value(first, Tag.WIDTH, 0),
        height=_value(first, Tag.HEIGHT, 0),
        bits=bits,
        inverted=photometric == _WHITE_IS_ZERO and bits > 8,
        floating=kind == _FLOAT,
    )


def require_data(data: bytes) -> None:
    """Raises CorruptImage if a strip or tile of the first directory is not whole.

    The decoder shows damaged Deflate data without a word, so their checksums are verified here.
    The other compressions have none: damage within their strips can stay unseen.
    """
    first = _directories(data)[0]
    offsets = first.get(Tag.STRIP_OFFSETS) or first.get(Tag.TILE_OFFSETS, ())
    sizes = first.get(Tag.STRIP_BYTES) or first.get(Tag.TILE_BYTES, ())
    if not offsets or len(offsets) != len(sizes):
        raise CorruptImage(_DAMAGED)
    if any(at + size > len(data) for at, size in zip(offsets, sizes, strict=True)):
        raise CorruptImage(_DAMAGED)
    if sum(sizes) > len(data):  # the same bytes many times over: work without end
        raise CorruptImage(_DAMAGED)
    if _value(first, Tag.COMPRESSION, 1) in _DEFLATE:
        # Tiles may overhang the picture; what inflates to far more than the picture is a bomb.
        pixels = _value(first, Tag.WIDTH, 0) * _value(first, Tag.HEIGHT, 0)
        budget = _INFLATED_BYTES_PER_PIXEL * pixels + _OVERHANG_BYTES
        for at, size in zip(offsets, sizes, strict=True):
            budget -= _inflated_bytes(data[at : at + size], budget)


def _inflated_bytes(deflated: bytes, budget: int) -> int:
    """Raises CorruptImage unless the data end with a right checksum within `budget` bytes."""
    inflater, total = zlib.decompressobj(), 0
    try:
        while deflated and not inflater.eof and total < budget:
            total += len(inflater.decompress(deflated, _PIECE_BYTES))
            deflated = inflater.unconsumed_tail
    except zlib.error:
        raise CorruptImage(_DAMAGED) from None
    if not inflater.eof:
        raise CorruptImage(_DAMAGED)
    return total


def _value(directory: Directory, tag: Tag, default: int) -> int:
    return directory.get(tag, (default,))[0]


def _directories(data: bytes) -> list[Directory]:
    order = "<" if data.startswith(b"II") else ">"
    directories: list[Directory] = []
    try:
        (offset,) = struct.unpack_from(order + "I", data, 4)
        while offset:
            if len(directories) == _MAX_DIRECTORIES:
                raise MultiFrame("The TIFF file has too many pages; export one picture of it.")
            directory, offset = _directory(data, order, offset)
            directories.append(directory)
    except struct.error:
        raise CorruptImage(_DAMAGED) from None
    if not directories:
        raise CorruptImage(_DAMAGED)
    return directories


def _directory(data: bytes, order: str, offset: int) -> tuple[Directory, int]:
    """The known integer tags of the directory at `offset`, and the offset of the next one.

    What is said twice, in a type or a number of values that is not the tag's, is refused: the
    decoder may take what is skipped here. What all entries together refer to is no more than the
    file, or the decoder would read it over and over.
    """
    values: dict[int, tuple[int, ...]] = {}
    referred = 0
    for entry in _entries(data, order, offset):
        tag, kind, count = struct.unpack_from(order + "HHI", data, entry)
        referred += count * _TYPE_BYTES.get(kind, 8)
        if referred > len(data):
            raise CorruptImage(_DAMAGED)
        if tag not in _TAGS:
            continue
        code = _TYPE_CODES.get(kind)
        most = _MAX_VALUES if tag in _MANY else 1
        if tag in values or code is None or not 1 <= count <= most:
            raise CorruptImage(_DAMAGED)
        at = _value_offset(data, order, entry, count * struct.calcsize(code))
        values[tag] = struct.unpack_from(f"{order}{count}{code}", data, at)
    (following,) = struct.unpack_from(
        order + "I", data, offset + 2 + 12 * _count(data, order, offset)
    )
    return values, following


def _count(data: bytes, order: str, offset: int) -> int:
    return int(struct.unpack_from(order + "H", data, offset)[0])


def _entries(data: bytes, order: str, offset: int) -> range:
    """Byte offsets of the directory's entries."""
    return range(offset + 2, offset + 2 + 12 * _count(data, order, offset), 12)


def _value_offset(data: bytes, order: str, entry: int, size: int) -> int:
    return entry + 8 if size <= 4 else int(struct.unpack_from(order + "I", data, entry + 8)[0])


def plain(data: bytes) -> tuple[bytes, int | None]:
    """The file as one whose picture is upright and has no alpha, and its Exif orientation.

    The decoder turns some kinds of pixels and shuffles others, and multiplies some by their alpha.
    """
    data = _with_packed_tiles(data)
    order = "<" if data.startswith(b"II") else ">"
    sound = bytearray(data)
    noted: int | None = 1
    said = False
    (offset,) = struct.unpack_from(order + "I", data, 4)
    for entry in _entries(data, order, offset):
        tag, kind, count = struct.unpack_from(order + "HHI", data, entry)
        size = _TYPE_BYTES.get(kind, 1) * count
        at = _value_offset(data, order, entry, size)
        if tag == Tag.ORIENTATION:
            (value,) = struct.unpack_from(order + _TYPE_CODES[kind], data, at)
            noted, said = orientation.known(value), True
            sound[entry + 8 : entry + 12] = struct.pack(order + _TYPE_CODES[kind], 1).ljust(
                4, b"\0"
            )
        elif tag == Tag.EXTRA_SAMPLES:
            sound[at : at + size] = bytes(size)
        elif tag == _XMP and not said:
            noted = orientation.of_xmp(data[at : at + size])
    return bytes(sound), noted


def _with_packed_tiles(data: bytes) -> bytes:
    """The file with its plain tiles of up to 8 bits packed, without a change of their bytes: the
    decoder refuses such tiles if their size is no multiple of 1024 bytes. Each side is one of 16.
    """
    first = _directories(data)[0]
    offsets, sizes = first.get(Tag.TILE_OFFSETS, ()), first.get(Tag.TILE_BYTES, ())
    plain_tiles = offsets and _value(first, Tag.COMPRESSION, 1) == 1
    if not plain_tiles or _value(first, Tag.BITS, 1) > 8 or not any(size % 1024 for size in sizes):
        return data
    order = "<" if data.startswith(b"II") else ">"
    packed = [
        zlib.compress(data[at : at + size], 0) for at, size in zip(offsets, sizes, strict=True)
    ]
    ends = list(accumulate(map(len, packed), initial=len(data)))
    new = bytearray(data)
    arrays = {Tag.TILE_OFFSETS: ends[:-1], Tag.TILE_BYTES: [len(tile) for tile in packed]}
    count = len(packed)
    behind = {Tag.TILE_OFFSETS: ends[-1], Tag.TILE_BYTES: ends[-1] + 4 * count}
    (offset,) = struct.unpack_from(order + "I", data, 4)
    for entry in _entries(data, order, offset):
        (tag,) = struct.unpack_from(order + "H", data, entry)
        if tag == _FILL_ORDER and data[entry + 8 : entry + 10] != struct.pack(order + "H", 1):
            return data
        if tag in arrays:
            at = arrays[tag][0] if count == 1 else behind[tag]
            struct.pack_into(order + "HII", new, entry + 2, 4, count, at)
        elif tag in (Tag.COMPRESSION, _PREDICTOR):
            value = _DEFLATE[0] if tag == Tag.COMPRESSION else 1
            struct.pack_into(order + "HIHxx", new, entry + 2, 3, 1, value)
    tables = struct.pack(f"{order}{2 * count}I", *arrays[Tag.TILE_OFFSETS], *arrays[Tag.TILE_BYTES])
    return b"".join((new, *packed, tables))


_TAGS = frozenset(Tag)
