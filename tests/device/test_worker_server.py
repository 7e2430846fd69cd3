"""The worker as a stranger meets it: what is said on its socket, well and badly, and what of it
the next client notices. The worker is a process of its own, its engine a few lines of numpy."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worker_bench import SHAPE, ended, stub_bundle, stub_python

from mammosono.engines.bundle import Bundle
from mammosono.engines.errors import EngineFault, EngineLost, EngineUnavailable
from mammosono.engines.worker import wire
from mammosono.engines.worker.client import WorkerEngine
from mammosono.engines.worker.process import DYING_S, WorkerProcess
from mammosono.engines.worker.server import listening
from mammosono.engines.worker.wire import HEADER, Handle, Message

pytestmark = pytest.mark.slow

X = np.arange(6, dtype=np.float32).reshape(SHAPE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worker")


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return stub_bundle(folder / "bundle")


def started(folder: Path, bundle: Bundle) -> WorkerProcess:
    process = WorkerProcess(stub_python(folder), ["--bundle", bundle.folder])
    process.wait_until_ready(30)
    return process


@pytest.fixture(scope="module")
def worker(folder: Path, bundle: Bundle) -> Iterator[WorkerProcess]:
    """One for all tests of this file: none of them may leave it unfit for the next."""
    process = started(folder, bundle)
    yield process
    assert not ended(process.pid, 0), "a test ended the worker"
    process.stop()


@pytest.fixture
def stranger(worker: WorkerProcess) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(worker.socket)
        yield connection


@pytest.fixture
def engine(worker: WorkerProcess, bundle: Bundle) -> Iterator[WorkerEngine]:
    client = WorkerEngine(worker.socket, bundle)
    yield client
    client.close()


def ask(connection: socket.socket, message: Message) -> Message:
    wire.send(connection, message, 5)
    return wire.receive(connection, 1 << 20, 5)


def is_hung_up(connection: socket.socket) -> bool:
    connection.settimeout(5)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_the_socket_is_closed_to_other_users(worker: WorkerProcess) -> None:
    made = os.stat(worker.socket)
    assert stat.S_ISSOCK(made.st_mode)
    assert stat.S_IMODE(made.st_mode) == 0o600
    assert stat.S_IMODE(os.stat(Path(worker.socket).parent).st_mode) == 0o700


def test_a_socket_in_a_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(EngineUnavailable, match="chmod 700"), listening(str(tmp_path / "s")):
        pass
    assert not (tmp_path / "s").exists()


def test_a_socket_that_another_worker_listens_on_is_left_to_it(
    worker: WorkerProcess, bundle: Bundle
) -> None:
    with (
        pytest.raises(EngineUnavailable, match="no other worker listens"),
        listening(worker.socket),
    ):
        pass
    WorkerEngine(worker.socket, bundle).close()


def test_the_worker_says_what_it_is(stranger: socket.socket, bundle: Bundle) -> None:
    answer = ask(stranger, Message(wire.HELLO))
    assert answer.fields == {"bundle": bundle.sha256, "runtime": "numpy 1 cpu"}


def test_a_run_is_answered(engine: WorkerEngine) -> None:
    np.testing.assert_array_equal(engine.run("double", {"x": X})["y"], 2 * X)


def test_a_kept_tensor_never_leaves_the_worker(engine: WorkerEngine) -> None:
    kept: Any = engine.run("double", {"x": X}, keep=("y",))["y"]
    assert kept.shape == SHAPE
    np.testing.assert_array_equal(engine.run("add_one", {"x": kept})["y"], 2 * X + 1)


def test_a_kept_tensor_is_gone_when_its_stage_runs_again(engine: WorkerEngine) -> None:
    old = engine.run("double", {"x": X}, keep=("y",))
    engine.run("double", {"x": X}, keep=("y",))
    with pytest.raises(EngineFault, match="x was kept by an earlier run"):
        engine.run("add_one", {"x": old["y"]})


def test_a_kept_tensor_outlives_a_fault_of_another_stage(engine: WorkerEngine) -> None:
    kept = engine.run("double", {"x": X}, keep=("y",))
    with pytest.raises(EngineFault, match="holds NaN"):
        engine.run("fault", {"x": X})
    np.testing.assert_array_equal(engine.run("add_one", {"x": kept["y"]})["y"], 2 * X + 1)


def test_a_kept_tensor_is_gone_with_its_client(worker: WorkerProcess, bundle: Bundle) -> None:
    first = WorkerEngine(worker.socket, bundle)
    kept: Any = first.run("double", {"x": X}, keep=("y",))["y"]
    number = kept.handle[1]
    first.close()
    with socket.socket(socket.AF_UNIX) as second:
        second.connect(worker.socket)
        request = Message(wire.RUN, {"stage": "add_one", "keep": []}, {"x": Handle(number, SHAPE)})
        assert "was kept by an earlier run" in ask(second, request).fields["message"]


def test_another_clients_tensor_is_a_fault_before_it_is_sent(
    engine: WorkerEngine, folder: Path, bundle: Bundle
) -> None:
    process = started(folder, bundle)
    other = WorkerEngine(process.socket, bundle)
    kept = other.run("double", {"x": X}, keep=("y",))
    with pytest.raises(EngineFault, match="another engine") as raised:
        engine.run("add_one", {"x": kept["y"]})
    assert not isinstance(raised.value, EngineLost)
    other.close()
    process.stop()


def test_a_second_client_is_told_that_the_worker_is_busy(
    engine: WorkerEngine, worker: WorkerProcess, bundle: Bundle
) -> None:
    with pytest.raises(EngineUnavailable, match="another client; stop that one first"):
        WorkerEngine(worker.socket, bundle)
    np.testing.assert_array_equal(engine.run("double", {"x": X})["y"], 2 * X)


def test_the_next_client_is_welcome_when_the_first_has_gone(
    worker: WorkerProcess, bundle: Bundle
) -> None:
    for _ in range(3):
        client = WorkerEngine(worker.socket, bundle)
        client.ping(5)
        client.close()


def test_a_worker_of_another_bundle_is_refused(worker: WorkerProcess, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="another bundle"):
        WorkerEngine(worker.socket, stub_bundle(tmp_path / "other", version="2"))


def test_a_worker_of_another_version_is_refused(
    worker: WorkerProcess, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "VERSION", 2)
    with pytest.raises(EngineUnavailable, match=r"speaks version 1 .* this one 2"):
        WorkerEngine(worker.socket, bundle)


def test_no_worker_at_the_socket_is_unavailable(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="no worker listens"):
        WorkerEngine(str(tmp_path / "none"), bundle)


def request(text: bytes, size: int = 0, kind: int = wire.RUN) -> bytes:
    return HEADER.pack(wire.MAGIC, wire.VERSION, kind, len(text), size) + text


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"\0" * 64, "not an engine's message"),
        (HEADER.pack(wire.MAGIC, 7, wire.HELLO, 0, 0), "speaks version 7"),
        (request(b"", size=25), "at most 65536 and 24 are taken"),
        (request(b"{}"), "malformed"),
        (request(b'{"fields": {}, "tensors": []}'), "without its stage"),
        (request(b'{"fields": {"stage": "double", "keep": [{}]}, "tensors": []}'), "without its"),
        (request(b'{"fields": {}, "tensors": []}', kind=wire.FAULT), "not a request"),
    ],
    ids=["garbage", "version", "oversize", "malformed", "no stage", "keep", "kind"],
)
def test_what_cannot_be_understood_is_refused_with_a_reason_and_hung_up_on(
    stranger: socket.socket, worker: WorkerProcess, bundle: Bundle, sent: bytes, told: str
) -> None:
    stranger.sendall(sent)
    answer = wire.receive(stranger, 0, 5)
    assert answer.kind == wire.FAULT
    assert told in answer.fields["message"]
    assert is_hung_up(stranger)
    WorkerEngine(worker.socket, bundle).close()  # serves the next one as if nothing had been


@pytest.mark.parametrize("cut", [1, HEADER.size, HEADER.size + 10])
def test_a_message_cut_short_frees_the_worker_for_the_next(
    stranger: socket.socket, worker: WorkerProcess, bundle: Bundle, cut: int
) -> None:
    text = b'{"fields": {"stage": "double", "keep": []}, "tensors": []}'
    stranger.sendall(request(text)[:cut])
    stranger.close()
    WorkerEngine(worker.socket, bundle).close()


def test_too_large_an_input_is_a_fault_that_sends_nothing(engine: WorkerEngine) -> None:
    with pytest.raises(EngineFault, match=r"inputs of 48 bytes; no stage .* more than 24"):
        engine.run("double", {"x": np.zeros((4, 3), np.float32)})
    engine.ping(5)


@pytest.mark.parametrize("array", [np.array([object()]), np.zeros((0, 3), np.float32)])
def test_an_input_that_no_stage_takes_is_a_fault_that_sends_nothing(
    engine: WorkerEngine, array: Any
) -> None:
    with pytest.raises(EngineFault, match="which no stage takes"):
        engine.run("double", {"x": array})
    engine.ping(5)


def test_a_closed_engine_runs_nothing(worker: WorkerProcess, bundle: Bundle) -> None:
    client = WorkerEngine(worker.socket, bundle)
    client.close()
    with pytest.raises(EngineFault, match="gone"):
        client.run("double", {"x": X})


# Each of these ends a worker, so each has one of its own.


def test_a_worker_whose_device_is_lost_says_so_and_ends(folder: Path, bundle: Bundle) -> None:
    process = started(folder, bundle)
    client = WorkerEngine(process.socket, bundle)
    with pytest.raises(EngineLost, match="the device is gone"):
        client.run("lost", {"x": X})
    assert client.lost
    client.close()
    assert process.kill(DYING_S) == "stage lost: the device is gone"


def test_a_bug_in_the_engine_ends_the_worker_and_is_its_last_line(
    folder: Path, bundle: Bundle
) -> None:
    process = started(folder, bundle)
    with pytest.raises(EngineLost, match="hung up"):
        WorkerEngine(process.socket, bundle).run("bug", {"x": X})
    assert process.kill(DYING_S) == "ZeroDivisionError: a bug"


def test_sigterm_closes_the_engine_and_removes_the_socket(folder: Path, bundle: Bundle) -> None:
    process = started(folder, bundle)
    os.kill(process.pid, signal.SIGTERM)
    assert ended(process.pid)
    assert not Path(process.socket).exists()
    assert process.kill(DYING_S) == "it ended by itself; its last line: the engine is closed"


def test_stopping_removes_the_folder_of_the_socket(folder: Path, bundle: Bundle) -> None:
    process = started(folder, bundle)
    process.stop()
    assert not Path(process.socket).parent.exists()


def test_by_hand_it_needs_no_supervisor(bundle: Bundle, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    command = [sys.executable, "-m", "mammosono.engines.worker", "--bundle", str(tmp_path / "none")]
    done = subprocess.run(
        [*command, "--socket", str(tmp_path / "s")], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("manifest.json: not found")
    assert done.stderr.count("\n") == 1
