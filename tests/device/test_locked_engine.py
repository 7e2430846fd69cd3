"""Two threads and one engine: one run at a time, and what is kept outlives another stage's run."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mammosono.engines.errors import EngineLost
from mammosono.engines.interface import DeviceTensor, Engine, Tensor
from mammosono.engines.locked import LockedEngine


class Jealous(Engine):
    """Notices when it is called while it is running."""

    runtime = "jealous 1.0"

    def __init__(self) -> None:
        self.inside = 0
        self.crowded = False
        self.threads: set[int] = set()
        self.closed = False

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        self.inside += 1
        self.crowded |= self.inside > 1
        self.threads.add(threading.get_ident())
        time.sleep(0.002)
        self.inside -= 1
        if stage == "lost":
            raise EngineLost("gone")
        return {"y": DeviceTensor(stage, (1,)) if "y" in keep else np.zeros(1)}

    def close(self) -> None:
        self.crowded |= self.inside > 0
        self.closed = True


def test_runs_of_two_threads_take_turns() -> None:
    engine = Jealous()
    locked = LockedEngine(engine)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: locked.run("trunk", {}), range(20)))
    assert len(engine.threads) == 2
    assert not engine.crowded


def test_it_hands_on_what_the_engine_says() -> None:
    locked = LockedEngine(Jealous())
    assert locked.runtime == "jealous 1.0"
    kept = locked.run("trunk", {}, keep=["y"])["y"]
    assert isinstance(kept, DeviceTensor)
    assert kept.handle == "trunk"


def test_after_a_failed_run_it_is_the_others_turn() -> None:
    locked = LockedEngine(Jealous())
    with pytest.raises(EngineLost, match="gone"):
        locked.run("lost", {})
    assert locked.run("trunk", {})


def test_closing_waits_for_the_run_that_is_going_on() -> None:
    engine = Jealous()
    locked = LockedEngine(engine)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(locked.run, "trunk", {})
        while not engine.inside and not running.done():
            time.sleep(1e-4)
        locked.close()
        running.result()
    assert engine.closed
    assert not engine.crowded
