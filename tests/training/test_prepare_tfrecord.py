"""TFRecords and tf.train.Example, read without TensorFlow."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import prepare_layouts as layouts
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboardX.record_writer import RecordWriter

from mammosono.tools.prepare.tfrecord import (
    BadRecord,
    count_records,
    masked_crc,
    parse_example,
    read_records,
)

MODALITIES = [b"first" * 20, b"second" * 30, b"third" * 40, b"fourth" * 10]


def read(path: Path) -> list[bytes | str]:
    return [str(one) if isinstance(one, BadRecord) else one for _, one in read_records(path)]


def test_records_written_by_another_library_are_read_with_their_checksums(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecords"
    writer = RecordWriter(str(path))
    for record in MODALITIES:
        writer.write(record)
    writer.close()
    assert read(path) == MODALITIES
    assert count_records(path) == len(MODALITIES)


def test_the_checksum_is_crc_32c_masked_as_in_the_format() -> None:
    # CRC-32C of the check string is 0xE3069283 (RFC 3720, B.4 uses the same polynomial).
    crc = 0xE3069283
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    assert masked_crc(b"123456789") == (rotated + 0xA282EAD8) % 2**32


@pytest.mark.parametrize(
    ("damaged_byte", "expected"),
    [
        (12 + 3, ["a record's checksum is wrong", *MODALITIES[1:]]),
        (2, ["a damaged length", *MODALITIES[1:]]),
        (9, ["a damaged length", *MODALITIES[1:]]),
        (12 + 100 + 1, ["a record's checksum is wrong", *MODALITIES[1:]]),
    ],
    ids=["data", "length", "checksum of the length", "checksum of the data"],
)
def test_damage_costs_its_record_and_the_rest_is_read(
    tmp_path: Path, damaged_byte: int, expected: list[bytes | str]
) -> None:
    path = layouts.write_tfrecords(tmp_path / "a.tfrecords", MODALITIES)
    data = bytearray(path.read_bytes())
    data[damaged_byte] ^= 0x40
    path.write_bytes(data)
    assert read(path) == expected


@pytest.mark.parametrize("cut", [1, 4, 5, 40, 62])
def test_a_file_that_ends_in_a_record_says_so_after_the_whole_ones(
    tmp_path: Path, cut: int
) -> None:
    path = layouts.write_tfrecords(tmp_path / "a.tfrecords", MODALITIES)
    path.write_bytes(path.read_bytes()[:-cut])
    assert read(path) == [*MODALITIES[:-1], "the file ends in the middle of a record"]


def test_a_record_of_absurd_length_is_not_waited_for(tmp_path: Path) -> None:
    head = struct.pack("<Q", 2**40)
    path = tmp_path / "a.tfrecords"
    path.write_bytes(head + struct.pack("<I", masked_crc(head)) + layouts.framed(b"sound"))
    assert read(path) == ["a damaged length", b"sound"]


@settings(max_examples=60, deadline=None)
@given(noise=st.binary(max_size=200), position=st.integers(0, 10_000))
def test_no_damage_makes_a_record_that_was_not_written(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, position: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "noisy.tfrecords"
    data = layouts.write_tfrecords(path, MODALITIES).read_bytes()
    at = position % len(data)
    path.write_bytes(data[:at] + noise + data[at + len(noise) :])
    assert {one for one in read(path) if isinstance(one, bytes)} <= set(MODALITIES)


# Example


def protobuf_example() -> type:
    """tf.train.Example built with the protobuf library from its published definition."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    repeated, optional = 3, 1
    for name, kind in (("BytesList", 12), ("FloatList", 2), ("Int64List", 3)):
        message = file.message_type.add(name=name)
        message.field.add(name="value", number=1, type=kind, label=repeated)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("Bytes", "Float", "Int64"), 1):
        feature.field.add(
            name=f"{name.lower()}_list", number=number, type=11, label=optional,
            type_name=f".t.{name}List", oneof_index=0,
        )  # fmt: skip
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=9, label=optional)
    entry.field.add(name="value", number=2, type=11, label=optional, type_name=".t.Feature")
    features.field.add(
        name="feature", number=1, type=11, label=repeated, type_name=".t.Features.FeatureEntry"
    )
    example = file.message_type.add(name="Example")
    example.field.add(name="features", number=1, type=11, label=optional, type_name=".t.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


EXAMPLE = protobuf_example()
VALUES = st.one_of(
    st.lists(st.binary(max_size=20), min_size=1, max_size=4),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=4),
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5))
def test_what_the_protobuf_library_writes_is_read_back(features: dict[str, list]) -> None:
    message = EXAMPLE()
    for name, values in features.items():
        kind = {bytes: "bytes_list", int: "int64_list", float: "float_list"}[type(values[0])]
        getattr(message.features.feature[name], kind).value.extend(values)
    assert parse_example(message.SerializeToString()) == features


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_message_is_refused_or_read_and_nothing_else(data: st.DataObject) -> None:
    whole = bytearray(layouts.example({"label": 3, "image": b"pixels" * 5}))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    with contextlib.suppress(ValueError):
        assert isinstance(parse_example(bytes(whole[:cut])), dict)
