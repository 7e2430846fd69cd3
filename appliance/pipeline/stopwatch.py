"""Stopwatch: milliseconds of a reading by step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import perf_counter


class Stopwatch:
    """Sums wall milliseconds by step; steps may run in several threads."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._lock = Lock()

    def add(self, step: str, milliseconds: float) -> None:
        with self._lock:
            self._sums[step] = self._sums.get(step, 0.0) + milliseconds

    @contextmanager
    def lap(self, step: str) -> Iterator[None]:
        started = perf_counter()
        try:
            yield
        finally:
            self.add(step, (perf_counter() - started) * 1e3)

    def milliseconds(self) -> dict[str, float]:
        with self._lock:
            return dict(self._sums)
