"""What a client and the worker say to each other: whole, bounded, and nothing else."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from worker_bench import stub_bundle

from mammosono.engines.bundle import Bundle, Stage
from mammosono.engines.worker import wire
from mammosono.engines.worker.wire import HEADER, Handle, Message

DTYPES = ("float32", "float16", "float64", "int32", "int64", "int8", "uint8", "bool")
LIMIT = 1 << 20

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def header(kind: int = wire.RUN, text: int = 0, size: int = 0, **changed: Any) -> bytes:
    magic, version = changed.get("magic", wire.MAGIC), changed.get("version", wire.VERSION)
    return HEADER.pack(magic, version, kind, text, size)


def said(tensors: Any, size: int, fields: Any = None) -> bytes:
    text = json.dumps({"fields": fields or {}, "tensors": tensors}).encode()
    return header(text=len(text), size=size) + text


ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, max_side=5))
)
HANDLES = st.builds(Handle, st.integers(0, 2**40), st.tuples(st.integers(1, 9)))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tensors=st.dictionaries(st.text(max_size=5), ARRAYS | HANDLES, max_size=4))
def test_what_is_sent_is_what_is_received(pair: Pair, tensors: dict[str, Any]) -> None:
    wire.send(pair[0], Message(wire.RUN, {"stage": "trunk"}, tensors), 5)
    got = wire.receive(pair[1], LIMIT, 5)
    assert (got.kind, got.fields) == (wire.RUN, {"stage": "trunk"})
    assert list(got.tensors) == list(tensors)
    for name, value in tensors.items():
        if isinstance(value, Handle):
            assert got.tensors[name] == value
        else:
            assert got.tensors[name].shape == value.shape
            np.testing.assert_array_equal(got.tensors[name], value, strict=True)


def test_a_tensor_larger_than_every_buffer_arrives(pair: Pair) -> None:
    large = np.arange(3_000_000, dtype=np.int32)
    sending = threading.Thread(target=wire.send, args=(pair[0], Message(1, {}, {"x": large}), 20))
    sending.start()
    got = wire.receive(pair[1], large.nbytes, 20)
    sending.join()
    np.testing.assert_array_equal(got.tensors["x"], large)


def test_an_array_that_is_not_in_c_order_arrives_as_it_reads(pair: Pair) -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)[::2].T
    wire.send(pair[0], Message(wire.RUN, {}, {"x": array}), 5)
    np.testing.assert_array_equal(wire.receive(pair[1], LIMIT, 5).tensors["x"], array)


def test_what_is_received_can_be_written_to(pair: Pair) -> None:
    wire.send(pair[0], Message(wire.RUN, {}, {"x": np.zeros(3, np.float32)}), 5)
    got: Any = wire.receive(pair[1], LIMIT, 5).tensors["x"]
    assert got.flags.writeable
    assert got.flags.c_contiguous


@pytest.mark.parametrize(
    "array",
    [
        np.array(["text"]),
        np.array([object()]),
        np.zeros(2, ">f4"),
        np.zeros(2, np.complex64),
        np.zeros((0, 2), np.float32),
    ],
    ids=["text", "objects", "foreign byte order", "complex", "nothing"],
)
def test_what_no_stage_takes_is_not_sent(pair: Pair, array: Any) -> None:
    assert not wire.sendable(array)
    with pytest.raises(ValueError, match="x: "):
        wire.send(pair[0], Message(wire.RUN, {}, {"x": array}), 5)


def test_another_protocol_is_refused(pair: Pair) -> None:
    pair[0].sendall(b"GET / HTTP/1.1\r\nHost: mammosono\r\n\r\n")
    with pytest.raises(wire.WireError, match="not an engine's message"):
        wire.receive(pair[1], LIMIT, 5)


def test_another_version_is_refused_with_both_named(pair: Pair) -> None:
    pair[0].sendall(header(version=2))
    with pytest.raises(wire.WireError, match=r"version 2 .* this one 1; install the same"):
        wire.receive(pair[1], LIMIT, 5)


def test_an_unknown_kind_is_refused(pair: Pair) -> None:
    pair[0].sendall(header(kind=99))
    with pytest.raises(wire.WireError, match="kind 99"):
        wire.receive(pair[1], LIMIT, 5)


@pytest.mark.parametrize("stated", [{"size": LIMIT + 1}, {"size": 2**63}, {"text": 2**31}])
def test_a_size_over_the_limit_is_refused_before_anything_is_allocated(
    pair: Pair, stated: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_parsed", None)  # nothing is read beyond the header
    monkeypatch.setattr(wire.np, "empty", None)
    pair[0].sendall(header(**stated))
    with pytest.raises(wire.WireError, match="are taken"):
        wire.receive(pair[1], LIMIT, 5)


@pytest.mark.parametrize(
    ("shape", "stated"),
    [([1 << 40, 1 << 40], 16), ([1 << 31, 1 << 31, 4], 0), ([4], 12), ([4], 20)],
)
def test_tensors_that_are_not_of_the_stated_size_are_refused(
    pair: Pair, shape: list[int], stated: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire.np, "empty", None)
    pair[0].sendall(said([{"name": "x", "dtype": "float32", "shape": shape}], stated))
    with pytest.raises(wire.WireError, match="not of the size"):
        wire.receive(pair[1], LIMIT, 5)


@pytest.mark.parametrize(
    "tensors",
    [
        None,
        7,
        "x",
        ["x"],
        [{}],
        [{"name": "x", "dtype": "float32"}],
        [{"name": "x", "dtype": "O", "shape": [1]}],
        [{"name": "x", "dtype": ["float32"], "shape": [1]}],
        [{"name": "x", "dtype": "float32", "shape": [-1]}],
        [{"name": "x", "dtype": "float32", "shape": [0]}],
        [{"name": "x", "dtype": "float32", "shape": [True]}],
        [{"name": "x", "dtype": "float32", "shape": [1.0]}],
        [{"name": "x", "dtype": "float32", "shape": [1] * 33}],
        [{"name": 3, "dtype": "float32", "shape": [1]}],
        [{"name": [], "dtype": "float32", "shape": [1]}],
        [{"name": "x", "handle": "1", "shape": [1]}],
        [{"name": "x", "handle": 1, "shape": [1]}] * 2,
    ],
)
def test_a_malformed_text_is_refused(pair: Pair, tensors: Any) -> None:
    pair[0].sendall(said(tensors, 4))
    with pytest.raises(wire.WireError, match="malformed"):
        wire.receive(pair[1], LIMIT, 5)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[]", b"[" * 50_000, b'{"fields": 1}'])
def test_a_text_that_is_no_message_is_refused(pair: Pair, text: bytes) -> None:
    pair[0].sendall(header(text=len(text)) + text)
    with pytest.raises(wire.WireError, match="malformed"):
        wire.receive(pair[1], LIMIT, 5)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(min_size=1, max_size=200), kept=st.integers(0, HEADER.size))
def test_noise_is_a_wire_error_and_nothing_else(noise: bytes, kept: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(header(text=20, size=8)[:kept] + noise)
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises(wire.WireError):
            wire.receive(theirs, LIMIT, 5)


@pytest.mark.parametrize("cut", [0, 3, HEADER.size, HEADER.size + 5, -1])
def test_a_message_cut_short_is_a_hang_up(pair: Pair, cut: int) -> None:
    whole = said([{"name": "x", "dtype": "float32", "shape": [4]}], 16) + bytes(16)
    pair[0].sendall(whole[:cut])
    pair[0].close()
    with pytest.raises(wire.HungUp):
        wire.receive(pair[1], LIMIT, 5)


def test_a_message_that_does_not_go_on_is_too_late(pair: Pair) -> None:
    pair[0].sendall(header(text=10))
    with pytest.raises(wire.TooLate):
        wire.receive(pair[1], LIMIT, 0.05)


def test_a_receiver_that_takes_nothing_is_too_late(pair: Pair) -> None:
    with pytest.raises(wire.TooLate):
        wire.send(pair[0], Message(wire.RUN, {}, {"x": np.zeros(1 << 20, np.float64)}), 0.05)


def test_a_receiver_that_is_gone_is_a_hang_up(pair: Pair) -> None:
    pair[1].close()
    with pytest.raises(wire.HungUp):
        wire.send(pair[0], Message(wire.PING), 5)


def test_the_limits_are_the_largest_stages(tmp_path: Path) -> None:
    spec, small = ("float32", (10, 4)), ("bool", (7,))
    stage = Stage("a", "", "", {"x": spec, "n": small}, {"y": small})
    other = Stage("b", "", "", {"x": small}, {"y": spec, "z": spec})
    bundle: Bundle = stub_bundle(tmp_path)._replace(stages={"a": stage, "b": other})
    assert wire.limits_of(bundle) == wire.MessageLimits(request=167, answer=320)
