"""TFRecord files, one record at a time, and tf.train.Example, without TensorFlow.

A record: its length (uint64), a checksum of these 8 bytes, its data, a checksum of the data; all
little-endian. The checksum is CRC-32C, rotated right by 15 bits and 0xA282EAD8 added, so that a
checksum of data that holds checksums stays sound (tensorflow/core/lib/io/record_writer.h).

Of the protobuf wire format as much as an Example needs: Example { Features features = 1 },
Features { map<string, Feature> feature = 1 }, Feature is one of BytesList = 1, FloatList = 2,
Int64List = 3, each { repeated value = 1 }; numbers may be packed.
(tensorflow/core/example/{example,feature}.proto; protobuf.dev, "Encoding")
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


_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
Values = list[bytes] | list[float] | list[int]


def parse_example(data: bytes) -> dict[str, Values]:
    """The features by name. Raises ValueError if `data` is no such message."""
    features: dict[str, Values] = {}
    for number, value in _fields(data):
        if number == 1:
            for inner, entry in _fields(_bytes(value)):
                if inner == 1:
                    name, values = _entry(_bytes(entry))
                    features[name] = values
    return features


def _entry(data: bytes) -> tuple[str, Values]:
    """A map's entry: key = 1, value = 2."""
    name, values = "", list[int]()
    feature: Values = values
    for number, value in _fields(data):
        if number == 1:
            name = _bytes(value).decode("utf-8")
        elif number == 2:
            feature = _feature(_bytes(value))
    return name, feature


def _feature(data: bytes) -> Values:
    lists: Values = list[int]()
    for kind, value in _fields(data):
        items = [item for number, item in _fields(_bytes(value)) if number == 1]
        if kind == 1:
            lists = [_bytes(item) for item in items]
        elif kind == 2:
            lists = [x for item in items for x in _floats(item)]
        elif kind == 3:
            lists = [x for item in items for x in _integers(item)]
    return lists


def _floats(item: bytes | int) -> list[float]:
    data = _bytes(item)
    if len(data) % 4:
        raise ValueError("a list of floats is cut off")
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def _integers(item: bytes | int) -> list[int]:
    if isinstance(item, int):
        return [_signed(item)]
    values, at = [], 0
    while at < len(item):
        value, at = _varint(item, at)
        values.append(_signed(value))
    return values


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Field number and value: an int of a varint, else the bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("not a protobuf message")
        if at + length > len(data):
            raise ValueError("a protobuf message is cut off")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The value of 7 bits a byte, least first, and where it ends."""
    value = 0
    for shift in range(_MAX_VARINT_BYTES):
        if at + shift >= len(data):
            break
        value |= (data[at + shift] & 0x7F) << 7 * shift
        if data[at + shift] < 0x80:
            return value & (1 << 64) - 1, at + shift + 1
    raise ValueError("a protobuf number is cut off")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise ValueError("not a tf.train.Example")
    return value
