"""Mutex around an engine, so that several threads may call it."""

import threading
from typing import Dict, Mapping, Sequence

from mammosono.engines.interface import Engine, Tensor


class LockedEngine(Engine):
    """Another engine, one run at a time. What one thread keeps stays valid while another runs a
    stage, unless it is the stage that made it."""

    def __init__(self, engine: Engine) -> None:
        self.runtime = engine.runtime
        self._engine = engine
        self._lock = threading.Lock()

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> Dict[str, Tensor]:
        with self._lock:
            return self._engine.run(stage, inputs, keep)

    def close(self) -> None:
        with self._lock:
            self._engine.close()
