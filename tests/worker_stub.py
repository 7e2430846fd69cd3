"""Stands in for a worker's Python: the worker as it is, but its engine is a few lines of numpy.

Called as the supervisor calls an interpreter. The stages do by name what a real engine does on a
bad day; one that never answers first writes to the pipe that WORKER_STUB_RUNS names.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mammosono.engines.bundle import Bundle
from mammosono.engines.errors import EngineFault, EngineLost
from mammosono.engines.interface import DeviceTensor, Engine, Tensor
from mammosono.engines.worker import __main__ as worker

RUNS = "WORKER_STUB_RUNS"


class NumpyEngine(Engine):
    runtime = "numpy 1 cpu"

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        values = {
            name: value.handle if isinstance(value, DeviceTensor) else value
            for name, value in inputs.items()
        }
        answer = getattr(self, stage)(values["x"])
        return {"y": DeviceTensor(answer, answer.shape) if "y" in keep else answer}

    def double(self, x: Any) -> Any:
        return 2 * x

    def add_one(self, x: Any) -> Any:
        return x + 1

    def fault(self, x: Any) -> Any:
        raise EngineFault("stage fault: the answer holds NaN")

    def lost(self, x: Any) -> Any:
        raise EngineLost("stage lost: the device is gone")

    def bug(self, x: Any) -> Any:
        raise ZeroDivisionError("a bug")

    def abort(self, x: Any) -> Any:
        os.abort()

    def endless(self, x: Any) -> Any:
        with open(os.environ[RUNS], "w", encoding="ascii") as pipe:
            pipe.write("it runs")
        while True:
            signal.pause()

    def close(self) -> None:
        sys.stderr.write("the engine is closed\n")


def _open(bundle: Bundle, *_: Any) -> Engine:
    return NumpyEngine()


if __name__ == "__main__":
    worker.open_engine = _open
    # What comes before is for an interpreter.
    sys.exit(worker.main(sys.argv[sys.argv.index("--lifeline") :]))
