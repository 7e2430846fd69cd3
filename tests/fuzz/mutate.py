"""One damaged file for every number: the same number, the same file, on any machine."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence

from files import png_chunk

Damage = Callable[[bytes, random.Random], bytes]

INTEGERS = (0, 1, 2, 3, 7, 8, 9, 16, 32, 63, 64, 127, 128, 255, 256, 1000, 4096, 12_000, 32_767)
INTEGERS += (65_535, 65_536, 10**6, 2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)

VRS = (b"US", b"UL", b"SQ", b"UN", b"OB", b"OW", b"DS", b"IS", b"FD", b"LO", b"PN", b"ZZ", b"\0\0")
LONG_VRS = (b"OB", b"OW", b"SQ", b"UN", b"UT")


def damaged(number: int, seeds: Sequence[bytes]) -> bytes:
    """File `number`: one of `seeds` with one to four kinds of damage."""
    rng = random.Random(number)
    data = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        damage = rng.choice((flipped, cut, patched, integer, structured, structured))
        data = damage(data, rng)
        if rng.random() < 0.05:
            data = spliced(data, rng.choice(seeds), rng)
    return data


def place(size: int, rng: random.Random) -> int:
    """Headers, where the harm is done, are hit as often as the long pixel data."""
    return int(rng.random() ** rng.choice((1, 3)) * size)


def flipped(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64)) if data else 0):
        out[place(len(out), rng)] ^= 1 << rng.randrange(8)
    return bytes(out)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: place(len(data), rng)]


def patched(data: bytes, rng: random.Random) -> bytes:
    """A piece left out, doubled, or replaced by noise."""
    start = place(len(data), rng)
    end = start + rng.choice((1, 2, 4, 8, 100, 1000))
    piece = rng.choice((b"", data[start:end] * 2, rng.randbytes(min(end - start, 64))))
    return data[:start] + piece + data[end:]


def spliced(data: bytes, other: bytes, rng: random.Random) -> bytes:
    return data[: place(len(data), rng)] + other[place(len(other), rng) :]


def integer(data: bytes, rng: random.Random) -> bytes:
    """A length, count, size or offset where none or another one was."""
    form = rng.choice(("B", "<H", ">H", "<I", ">I"))
    value = rng.choice(INTEGERS) % 2 ** (8 * struct.calcsize(form))
    return written(data, place(len(data), rng), struct.pack(form, value))


def written(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def structured(data: bytes, rng: random.Random) -> bytes:
    """Damage that only one who knows the format can do: what is around it stays sound."""
    if data.startswith(b"\x89PNG"):
        return png(data, rng)
    if data.startswith(b"\xff\xd8"):
        return jpeg(data, rng)
    if data.startswith((b"II*\0", b"MM\0*")):
        return tiff(data, rng)
    if data[128:132] == b"DICM":
        return dicom(data, rng)
    return data


def png(data: bytes, rng: random.Random) -> bytes:
    """A chunk changed, its checksum right again; one left out, doubled or moved."""
    chunks = list(_png_chunks(data))
    if not chunks:
        return data
    at = rng.randrange(len(chunks))
    kind, body = chunks[at]
    what = rng.randrange(5)
    if what == 0 and kind == b"IDAT":
        chunks[at] = kind, zlib.compress(integer(_inflated(body), rng))
    elif what == 1:
        del chunks[at]
    elif what == 2:
        chunks.insert(rng.randrange(len(chunks) + 1), (kind, body))
    elif what == 3:
        kind = rng.choice((b"PLTE", b"tRNS", b"iCCP", b"acTL", b"eXIf", b"gAMA", b"sBIT", b"IDAT"))
        chunks.insert(rng.randrange(len(chunks) + 1), (kind, rng.randbytes(rng.randrange(800))))
    else:
        chunks[at] = kind, rng.choice((flipped, integer))(body, rng)
    return data[:8] + b"".join(png_chunk(*chunk) for chunk in chunks)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def _inflated(body: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(body, 2**20)
    except zlib.error:
        return body


def jpeg(data: bytes, rng: random.Random) -> bytes:
    """A segment's length or body changed, or the segment doubled or left out."""
    segments = list(_jpeg_segments(data))
    if not segments:
        return data
    start, end = rng.choice(segments)
    what = rng.randrange(4)
    if what == 0:
        return written(data, start + 2, struct.pack(">H", rng.choice(INTEGERS) % 65536))
    if what == 1:
        return data[:start] + data[end:]
    if what == 2:
        return data[:end] + data[start:end] + data[end:]
    return data[: start + 4] + integer(data[start + 4 : end], rng) + data[end:]


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield at, at + 2 + length
        if data[at + 1] == 0xDA:
            return
        at += 2 + length


def tiff(data: bytes, rng: random.Random) -> bytes:
    """A field of one entry of the first directory changed."""
    order = "<" if data.startswith(b"II") else ">"
    try:
        (first,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, first)
    except struct.error:
        return data
    entry = first + 2 + 12 * rng.randrange(max(count, 1))
    offset, form = rng.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "H")))
    value = rng.choice((*INTEGERS, *range(254, 345)) if offset == 0 else INTEGERS)
    value %= 2 ** (8 * struct.calcsize(form))
    return written(data, entry + offset, struct.pack(order + form, value))


def dicom(data: bytes, rng: random.Random) -> bytes:
    """An element's VR, length or value changed, or the element doubled, moved or left out; or
    what is inside the encapsulated pixel data damaged as the codestream that it is.
    """
    elements = list(_dicom_elements(data))
    if not elements:
        return data
    start, value, end = rng.choice(elements)
    what = rng.randrange(7)
    if what == 0:
        return written(data, start + 4, rng.choice(VRS))
    if what == 1:
        form = "<I" if value - start == 12 else "<H"
        length = rng.choice(INTEGERS) % 2 ** (8 * struct.calcsize(form))
        return written(data, value - struct.calcsize(form), struct.pack(form, length))
    if what == 2:
        return data[:end] + data[start:end] + data[end:]
    if what == 3:
        return data[:start] + data[end:]
    if what == 4:
        other = rng.choice(elements)[0]
        return data[:other] + data[start:end] + data[other:]
    codestream = data.find(b"\xff\xd8\xff", value)
    if what == 5 and codestream > 0:
        return data[:codestream] + jpeg(data[codestream:], rng)
    return data[:value] + rng.choice((flipped, integer))(data[value:end], rng) + data[end:]


def _dicom_elements(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Begin, value and end of each element, as explicit little endian has them."""
    at = 132
    while at + 12 <= len(data):
        vr, length = struct.unpack_from("<2sH", data, at + 4)
        value = at + 8
        if vr in LONG_VRS:
            (length,) = struct.unpack_from("<I", data, at + 8)
            value = at + 12
        end = min(value + length, len(data))
        yield at, value, end
        at = end
