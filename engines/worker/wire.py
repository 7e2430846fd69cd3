"""Wire protocol of client and worker over a Unix socket, one message at a time.

    4s  magic    "MSEW"
    H   version  of all that follows the version; the first six bytes never change
    H   kind
    I   bytes of text: JSON, {"fields": {...}, "tensors": [tensor, ...]}
    Q   bytes of all tensors that are sent, one after the other in the order of the text

    tensor: {"name", "dtype", "shape"} that is sent, {"name", "shape", "handle"} that is kept

Both sides are on one machine: numbers have its byte order. Nothing is unpickled. Tensors go from
the sender's array to the socket and from there into the receiver's array.
"""

import json
import os
import socket
import struct
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Tuple, Union

import numpy as np

from mammosono.engines.bundle import Bundle, TensorSpec

MAGIC = b"MSEW"
VERSION = 1
HEADER = struct.Struct("=4sHHIQ")

# A request and its answer are of the same kind, unless the answer is one of the last two.
HELLO, PING, RUN, FAULT, BUSY = range(1, 6)
KINDS = (HELLO, PING, RUN, FAULT, BUSY)

_TEXT_LIMIT = 64 * 1024
_DTYPES = {
    name: np.dtype(name)
    for name in ("float32", "float16", "float64", "int32", "int64", "int8", "uint8", "bool")
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}  # numpy spells a name anew each time
_DIMENSIONS = 32  # numpy's limit
_VECTORS = 64  # in one sendmsg; the system takes at least 1024


class WireError(Exception):
    """The other side does not speak this protocol, or sends too much."""


class HungUp(WireError):
    """The other side is gone, in the middle of a message or between two."""


class TooLate(WireError):
    """The other side did not send or take a message in time."""


class Handle(NamedTuple):
    """A tensor that the worker keeps."""

    number: int
    shape: Tuple[int, ...]


class Message(NamedTuple):
    kind: int
    fields: Mapping[str, Any] = {}
    tensors: Mapping[str, Union[np.ndarray, Handle]] = {}


class MessageLimits(NamedTuple):
    """Bytes of tensors in the largest request and in the largest answer of a bundle."""

    request: int
    answer: int


def limits_of(bundle: Bundle) -> MessageLimits:
    stages = bundle.stages.values()
    return MessageLimits(
        request=max(sum(_bytes(spec) for spec in stage.inputs.values()) for stage in stages),
        answer=max(sum(_bytes(spec) for spec in stage.outputs.values()) for stage in stages),
    )


def sendable(array: np.ndarray) -> bool:
    """Not text, objects, foreign byte order, nothing at all."""
    return array.dtype in _NAMES and array.size > 0 and array.ndim <= _DIMENSIONS


def send(sock: socket.socket, message: Message, seconds: float) -> None:
    """Raises HungUp or TooLate; ValueError for a tensor that is not `sendable`."""
    texts: List[Dict[str, Any]] = []
    parts: List[memoryview] = []
    for name, value in message.tensors.items():
        entry: Dict[str, Any] = {"name": name, "shape": value.shape}
        if isinstance(value, Handle):
            entry["handle"] = value.number
        else:
            if not sendable(value):
                raise ValueError("%s: %s cannot be sent" % (name, value.dtype))
            entry["dtype"] = _NAMES[value.dtype]
            # Flat bytes over the array's own memory; only what is not C-ordered is copied.
            parts.append(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        texts.append(entry)
    text = json.dumps({"fields": message.fields, "tensors": texts}).encode("utf-8")
    size = sum(part.nbytes for part in parts)
    header = HEADER.pack(MAGIC, VERSION, message.kind, len(text), size)
    _send_all(sock, [memoryview(header + text)] + parts, seconds)


def receive(sock: socket.socket, limit: int, seconds: float) -> Message:
    """The next message, all of it within `seconds` and with at most `limit` bytes of tensors.

    Nothing is allocated before its size is checked. Raises HungUp, TooLate, or WireError.
    """
    until = time.monotonic() + seconds
    header = bytearray(HEADER.size)
    _fill(sock, memoryview(header), until)
    magic, version, kind, text_size, size = HEADER.unpack(header)
    if magic != MAGIC:
        raise WireError("what was received is not an engine's message")
    if version != VERSION:
        raise WireError(
            "the other side speaks version %d of the protocol, this one %d; install the same "
            "version on both" % (version, VERSION)
        )
    if kind not in KINDS:
        raise WireError("no message of kind %d" % kind)
    if text_size > _TEXT_LIMIT or size > limit:
        raise WireError(
            "a message of %d and %d bytes; at most %d and %d are taken"
            % (text_size, size, _TEXT_LIMIT, limit)
        )
    text = bytearray(text_size)
    _fill(sock, memoryview(text), until)
    fields, entries = _parsed(bytes(text))
    if sum(_bytes(spec) for spec in entries.values() if not isinstance(spec, Handle)) != size:
        raise WireError("a message's tensors are not of the size that it states")
    tensors: Dict[str, Union[np.ndarray, Handle]] = {}
    for name, entry in entries.items():
        if isinstance(entry, Handle):
            tensors[name] = entry
            continue
        dtype, shape = entry
        tensors[name] = array = np.empty(shape, _DTYPES[dtype])
        _fill(sock, array.reshape(-1).view(np.uint8).data, until)
    return Message(kind, fields, tensors)


def _parsed(text: bytes) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Fields, and by name a Handle or a TensorSpec of what is sent."""
    try:
        content = json.loads(text.decode("utf-8"))
        fields, entries = content["fields"], content["tensors"]
        tensors = {entry["name"]: _tensor(entry) for entry in entries}
        sound = isinstance(fields, dict) and all(isinstance(name, str) for name in tensors)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WireError("a message's text is malformed") from error
    if not sound or len(tensors) != len(entries):
        raise WireError("a message's text is malformed")
    return fields, tensors


def _tensor(entry: Mapping[str, Any]) -> Union[Handle, TensorSpec]:
    shape = tuple(entry["shape"])
    if len(shape) > _DIMENSIONS or not all(type(n) is int and n > 0 for n in shape):
        raise ValueError("shape")
    if "handle" in entry:
        if type(entry["handle"]) is not int:
            raise ValueError("handle")
        return Handle(entry["handle"], shape)
    dtype = entry["dtype"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError("dtype")
    return dtype, shape


def _bytes(spec: TensorSpec) -> int:
    dtype, shape = spec
    count = _DTYPES[dtype].itemsize
    for n in shape:  # not numpy's product, which wraps around
        count *= n
    return count


def _send_all(sock: socket.socket, parts: List[memoryview], seconds: float) -> None:
    until = time.monotonic() + seconds
    while parts:
        sent = _timed(sock, until, sock.sendmsg, parts[:_VECTORS])
        while parts and sent >= parts[0].nbytes:
            sent -= parts.pop(0).nbytes
        if sent:
            parts[0] = parts[0][sent:]


def _fill(sock: socket.socket, room: memoryview, until: float) -> None:
    while room.nbytes:
        got = _timed(sock, until, sock.recv_into, room)
        if not got:
            raise HungUp("the other side hung up")
        room = room[got:]


def _timed(sock: socket.socket, until: float, step: Callable[[Any], int], what: Any) -> int:
    left = until - time.monotonic()
    if left <= 0:
        raise TooLate("the other side was too slow")
    sock.settimeout(left)
    try:
        return step(what)
    except socket.timeout as error:
        raise TooLate("the other side was too slow") from error
    except OSError as error:
        raise HungUp("the other side hung up (%s)" % os.strerror(error.errno or 0)) from error
