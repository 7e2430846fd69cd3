"""TFRecord files, one record at a time.

A record: its length (uint64), a checksum of these 8 bytes, its data, a checksum of the data; all
little-endian. The checksum is CRC-32C, rotated right by 15 bits and 0xA282EAD8 added, so that a
checksum of data that holds checksums stays sound (tensorflow/core/lib/io/record_writer.h).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from crc32c import crc32c

_HEAD, _FOOT = struct.Struct("<QI"), struct.Struct("<I")
MAX_RECORD_BYTES = 64 * 2**20
"""A tile has 90 kB; a longer record is a damaged length or no record of ours."""
_SEARCH_BYTES = 1 << 20


class BadRecord(Exception):
    """One place in a file is damaged; the reader goes on behind it. One line, without path."""


def masked_crc(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_records(path: Path) -> Iterator[tuple[int, bytes | BadRecord]]:
    """Each record's offset in the file, and its data or what is wrong with it.

    Behind a damaged length the next place is sought where a length fits its checksum: what lies
    between is lost, the rest is read. Raises OSError.
    """
    with path.open("rb") as file:
        while True:
            offset = file.tell()
            head = file.read(_HEAD.size)
            if not head:
                return
            length = _length(head)
            if length is None:
                yield offset, BadRecord("a damaged length")
                if not _seek_next(file, offset + 1):
                    return
                continue
            data, foot = file.read(length), file.read(_FOOT.size)
            if len(foot) < _FOOT.size:
                yield offset, BadRecord("the file ends in the middle of a record")
                return
            if _FOOT.unpack(foot)[0] != masked_crc(data):
                yield offset, BadRecord("a record's checksum is wrong")
            else:
                yield offset, data


def count_records(path: Path) -> int:
    """How many records there are up to the first damaged length; reads lengths alone."""
    count, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while (length := _length(file.read(_HEAD.size))) is not None:
            count += 1
            if file.seek(length + _FOOT.size, 1) >= size:
                break
    return count


def _length(head: bytes) -> int | None:
    if len(head) < _HEAD.size:
        return None
    length, crc = _HEAD.unpack(head)
    sound = crc == masked_crc(head[:8]) and length <= MAX_RECORD_BYTES
    return int(length) if sound else None


def _seek_next(file: BinaryIO, offset: int) -> bool:
    """Stand before the first sound head at or behind `offset`; False if there is none."""
    while True:
        file.seek(offset)
        block = file.read(_SEARCH_BYTES)
        for k in range(len(block) - _HEAD.size + 1):
            # A length up to 64 MiB ends in four zero bytes: most places fall at one comparison.
            if block[k + 4 : k + 8] == b"\0\0\0\0" and _length(block[k : k + _HEAD.size]):
                file.seek(offset + k)
                return True
        if len(block) < _SEARCH_BYTES:
            return False
        offset += len(block) - _HEAD.size + 1
