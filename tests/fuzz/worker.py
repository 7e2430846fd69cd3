"""Damaged messages to the engine's worker: each is answered or ends its connection, and the next
client is served."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from worker_bench import SHAPE, stub_bundle

from fuzz.mutate import INTEGERS, cut, flipped, integer, patched
from mammosono.engines.errors import EngineFault
from mammosono.engines.interface import DeviceTensor, Engine, Tensor
from mammosono.engines.worker import wire
from mammosono.engines.worker.server import Server, listening
from mammosono.engines.worker.wire import HEADER

PATIENCE_S = 15.0
NASTY = (None, True, -1, 0, 1.5, 2**63, "", "x", [], {}, [[]], [1] * 40, [2**40, 2**40], "float32")


class Doubling(Engine):
    """Takes x, as the contract has it, and keeps y where it is told to."""

    runtime = "numpy"

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        x = inputs.get("x")
        if isinstance(x, DeviceTensor):
            x = x.handle
        fits = isinstance(x, np.ndarray) and (x.shape, x.dtype) == (SHAPE, np.dtype(np.float32))
        if stage != "double" or set(inputs) != {"x"} or not fits or not set(keep) <= {"y"}:
            raise EngineFault("double: it takes x alone")
        assert isinstance(x, np.ndarray)
        y = 2 * x
        return {"y": DeviceTensor(y, y.shape) if "y" in keep else y}

    def close(self) -> None: ...


def talk(count: int, first: int, folder: Path) -> tuple[Counter[str], dict[int, str]]:
    """How messages `first` to `first + count - 1` were answered, and what was wrong by number."""
    folder.mkdir(mode=0o700, exist_ok=True)
    answers: Counter[str] = Counter()
    wrong: dict[int, str] = {}
    with listening(str(folder / "worker")) as listener:
        server = Server(Doubling(), stub_bundle(folder / "bundle"), listener)
        thread = threading.Thread(target=_serve, args=[server], daemon=True)
        thread.start()
        for number in range(first, first + count):
            how = _told(folder / "worker", message(number))
            answers[how] += 1
            if how == "hung" or not thread.is_alive():
                wrong[number] = how if thread.is_alive() else "the end of the worker"
                break
            if number % 20 == 0 and _told(folder / "worker", _packed(wire.PING)) != "kind 2":
                wrong[number] = "the next client was not served"
    return answers, wrong


def _serve(server: Server) -> None:
    with contextlib.suppress(OSError, ValueError):  # its socket is closed at the end
        server.serve()


def message(number: int) -> bytes:
    """Message `number`: the same one on any machine."""
    rng = random.Random(number)
    x = np.arange(np.prod(SHAPE), dtype=np.float32).tobytes()
    entry: dict[str, Any] = {"name": "x", "dtype": "float32", "shape": list(SHAPE)}
    text: dict[str, Any] = {"fields": {"stage": "double", "keep": []}, "tensors": [entry]}
    if rng.random() < 0.6:
        holder = rng.choice((text, text["fields"], entry))
        holder[rng.choice((*holder, "handle", "more"))] = rng.choice(NASTY)
    body, kind = json.dumps(text).encode(), rng.choice((wire.RUN, wire.RUN, *range(7)))
    if rng.random() < 0.1:
        body = rng.choice((b"[" * 60_000, b'{"fields":{},"tensors":[]}', b"\xff" * 9, b"NaN"))
    size = len(x) if rng.random() < 0.8 else rng.choice(INTEGERS)
    data = HEADER.pack(wire.MAGIC, wire.VERSION, kind, len(body), size) + body + x
    for _ in range(rng.choice((0, 1, 1, 2))):
        data = rng.choice((flipped, cut, patched, integer))(data, rng)
    return data


def _packed(kind: int) -> bytes:
    body = b'{"fields": {}, "tensors": []}'
    return HEADER.pack(wire.MAGIC, wire.VERSION, kind, len(body), 0) + body


def _told(place: Path, data: bytes) -> str:
    """The kind of the answer, or how it ended."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(str(place))
        try:
            with contextlib.suppress(ConnectionError):
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
            said = b""
            with contextlib.suppress(ConnectionError):
                while piece := client.recv(65536):
                    said += piece
        except TimeoutError:
            return "hung"
    if len(said) < HEADER.size:
        return "cut"
    return f"kind {HEADER.unpack(said[: HEADER.size])[2]}"
