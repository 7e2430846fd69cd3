"""A worker that dies, hangs or never starts: who uses the engine is told in one line, and the next
run finds a new one. The worker is a process of its own, its engine a few lines of numpy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worker_bench import ROOT, SHAPE, ended, script, stub_bundle, stub_python
from worker_stub import RUNS

from mammosono.engines.bundle import Bundle
from mammosono.engines.errors import EngineFault, EngineLost, EngineUnavailable
from mammosono.engines.options import EngineOptions
from mammosono.engines.worker import supervisor
from mammosono.engines.worker.supervisor import SupervisedEngine

pytestmark = pytest.mark.slow

X = np.arange(6, dtype=np.float32).reshape(SHAPE)
NEVER = 1000.0

Start = Callable[..., SupervisedEngine]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return stub_bundle(tmp_path_factory.mktemp("stub") / "bundle")


@pytest.fixture
def start(bundle: Bundle, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(**knobs: Any) -> SupervisedEngine:
            knobs = {"heartbeat_s": NEVER, **knobs}
            python = knobs.pop("python", None) or stub_python(tmp_path)
            given = {name: knobs.pop(name) for name in EngineOptions._fields if name in knobs}
            options = EngineOptions(worker_python=python, **given)
            engine = SupervisedEngine(knobs.pop("bundle", bundle), options, **knobs)
            stack.callback(engine.close)
            return engine

        yield started


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Waits until the stage that never answers runs."""
    pipe = tmp_path / "runs"
    os.mkfifo(pipe)
    monkeypatch.setenv(RUNS, str(pipe))

    def wait() -> None:
        assert pipe.read_text(encoding="ascii") == "it runs"

    return wait


@pytest.fixture
def other_thread() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


def works(engine: SupervisedEngine) -> bool:
    return bool((engine.run("double", {"x": X})["y"] == 2 * X).all())


def pid_of(engine: SupervisedEngine) -> int:
    assert engine.worker_pid is not None
    return engine.worker_pid


def test_it_runs_what_its_worker_runs(start: Start) -> None:
    engine = start()
    assert engine.runtime == "numpy 1 cpu"
    assert works(engine)
    kept = engine.run("double", {"x": X}, keep=("y",))
    np.testing.assert_array_equal(engine.run("add_one", {"x": kept["y"]})["y"], 2 * X + 1)


def test_a_fault_that_the_worker_reports_is_a_fault_and_the_worker_stays(start: Start) -> None:
    engine = start()
    before = pid_of(engine)
    with pytest.raises(EngineFault, match="holds NaN") as raised:
        engine.run("fault", {"x": X})
    assert not isinstance(raised.value, EngineLost)
    assert works(engine)
    assert engine.worker_pid == before


def test_a_worker_killed_in_mid_run_is_lost_and_the_next_run_has_another(
    start: Start, runs: Callable[[], None], other_thread: Callable[..., Future[Any]]
) -> None:
    engine = start()
    before = pid_of(engine)
    run = other_thread(engine.run, "endless", {"x": X})
    runs()
    os.kill(before, signal.SIGKILL)
    with pytest.raises(EngineLost, match=r"hung up \(it was ended by signal 9\); run it again"):
        run.result()
    assert works(engine)
    assert engine.worker_pid != before


def test_a_worker_that_hangs_is_killed_at_its_deadline(
    start: Start, runs: Callable[[], None]
) -> None:
    engine = start(run_deadline_s=0.3)
    before = pid_of(engine)
    with pytest.raises(EngineLost, match=r"did not answer within 0\.3 s \(it hung\); run it again"):
        engine.run("endless", {"x": X})
    assert ended(before)


def test_a_worker_that_was_stopped_is_killed_at_its_deadline(start: Start) -> None:
    engine = start(run_deadline_s=0.3)
    os.kill(pid_of(engine), signal.SIGSTOP)
    with pytest.raises(EngineLost, match="did not answer"):
        engine.run("double", {"x": X})


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ("abort", "it was ended by signal 6"),
        ("bug", "ZeroDivisionError: a bug"),
        ("lost", "the device is gone"),
    ],
)
def test_why_the_worker_was_lost_is_said(start: Start, stage: str, reason: str) -> None:
    engine = start()
    with pytest.raises(EngineLost, match=reason):
        engine.run(stage, {"x": X})
    assert works(engine)


def test_a_tensor_kept_by_a_lost_worker_is_lost_and_the_new_worker_stays(start: Start) -> None:
    engine = start()
    kept = engine.run("double", {"x": X}, keep=("y",))
    with pytest.raises(EngineLost):
        engine.run("bug", {"x": X})
    for _ in range(2):  # the study that is read again must see it as lost, not as its own mistake
        with pytest.raises(EngineLost, match="x was lost with its worker; begin anew"):
            engine.run("add_one", {"x": kept["y"]})
    before = engine.worker_pid
    assert works(engine)
    assert engine.worker_pid == before


class Replaced:
    """Waits until the watch has started another worker."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._done, begin = threading.Event(), supervisor.SupervisedEngine._start

        def started(engine: SupervisedEngine) -> Any:
            try:
                return begin(engine)
            finally:
                self._done.set()

        monkeypatch.setattr(supervisor.SupervisedEngine, "_start", started)

    def forget(self) -> None:
        self._done.clear()

    def wait(self) -> None:
        assert self._done.wait(20)


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Replaced:
    return Replaced(monkeypatch)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_an_idle_worker_that_dies_or_hangs_is_replaced_before_anyone_asks(
    start: Start, replaced: Replaced, how: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start(heartbeat_s=0.1)
    kept = engine.run("double", {"x": X}, keep=("y",))
    before = pid_of(engine)
    replaced.forget()
    os.kill(before, how)
    monkeypatch.setattr(supervisor, "ANSWER_S", 0.3)
    replaced.wait()
    assert ended(before)
    assert works(engine)
    assert engine.worker_pid != before
    with pytest.raises(EngineLost, match="x was lost"):
        engine.run("add_one", {"x": kept["y"]})


def test_a_worker_that_cannot_be_replaced_is_told_by_the_next_run_and_then_recovers(
    start: Start, replaced: Replaced, tmp_path: Path
) -> None:
    engine = start(heartbeat_s=0.1)
    replaced.forget()
    script(tmp_path, "echo 'no memory left' >&2; exit 3")
    os.kill(pid_of(engine), signal.SIGKILL)
    replaced.wait()
    with pytest.raises(EngineUnavailable, match="does not start: no memory left"):
        engine.run("double", {"x": X})
    stub_python(tmp_path)
    assert works(engine)


def test_a_run_is_never_disturbed_by_the_watch(start: Start) -> None:
    engine = start(heartbeat_s=0.0001)
    before = pid_of(engine)
    assert all(works(engine) for _ in range(100))
    assert engine.worker_pid == before


# A worker that never gets so far.


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("echo warming up >&2; echo 'no GPU on this box; look' >&2; exit 1", "no GPU on this box"),
        ("exit 1", "it ended by itself"),
        ("kill -9 $$", "it was ended by signal 9"),
        ("echo hello", "it ended by itself"),
    ],
)
def test_a_worker_that_does_not_start_says_why(
    start: Start, tmp_path: Path, line: str, reason: str
) -> None:
    with pytest.raises(EngineUnavailable, match=f"worker does not start: .*{reason}"):
        start(python=script(tmp_path, line))


def test_a_worker_that_takes_too_long_to_start_is_killed(start: Start, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"not ready within 0\.2 s"):
        start(python=script(tmp_path, "exec sleep 60"), start_deadline_s=0.2)


def test_a_python_that_is_not_installed_is_unavailable(start: Start, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"cannot be started .*; name one"):
        start(python=str(tmp_path / "python3.6"))


def test_a_folder_for_sockets_that_is_not_there_is_unavailable(
    start: Start, tmp_path: Path
) -> None:
    with pytest.raises(EngineUnavailable, match=r"folder for the worker's socket .*; make it"):
        start(socket_dir=str(tmp_path / "none"))


def test_the_workers_own_refusal_of_a_bundle_is_passed_on(start: Start, tmp_path: Path) -> None:
    bundle = stub_bundle(tmp_path / "damaged")
    (tmp_path / "damaged" / "stage").write_bytes(b"another")
    with pytest.raises(EngineUnavailable, match="stage: its sha256 is not the manifest's"):
        start(bundle=bundle)


def test_a_bundle_replaced_since_it_was_opened_is_unavailable(start: Start, tmp_path: Path) -> None:
    bundle = stub_bundle(tmp_path / "replaced")
    stub_bundle(tmp_path / "replaced", version="2")
    with pytest.raises(EngineUnavailable, match="another bundle"):
        start(bundle=bundle)


# The end.


def test_closing_ends_the_worker_and_leaves_nothing(start: Start, tmp_path: Path) -> None:
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    engine = start(socket_dir=str(sockets))
    worker = pid_of(engine)
    assert list(sockets.glob("worker-*/engine"))
    engine.close()
    assert ended(worker, 0)
    assert not list(sockets.iterdir())
    with pytest.raises(EngineFault, match="closed"):
        engine.run("double", {"x": X})
    engine.close()


PARENT = """
import sys, threading
from mammosono.engines.bundle import open_bundle
from mammosono.engines.options import EngineOptions
from mammosono.engines.worker.supervisor import SupervisedEngine
made = []
# In a thread that ends, as a web server's threads do: the worker must not end with it.
thread = threading.Thread(
    target=lambda: made.append(
        SupervisedEngine(open_bundle(sys.argv[2]), EngineOptions(worker_python=sys.argv[1]))
    )
)
thread.start()
thread.join()
import numpy as np
made[0].run("double", {"x": np.zeros((2, 3), np.float32)})
sys.stdout.write("%d\\n" % made[0].worker_pid)
sys.stdout.flush()
made[0].run("endless", {"x": np.zeros((2, 3), np.float32)})
"""


def test_a_worker_ends_with_its_parent_even_in_mid_run(
    bundle: Bundle, tmp_path: Path, runs: Callable[[], None]
) -> None:
    command = [sys.executable, "-c", PARENT, stub_python(tmp_path), bundle.folder]
    own = {**os.environ, "TMPDIR": str(tmp_path)}  # what is killed leaves its folder behind
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=own) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        runs()
        parent.kill()
    assert ended(worker)
