"""Shelf time: the age of studies by a clock that only goes forward, whatever the wall clock does.

A Jetson without a clock battery wakes in 1970 and jumps half a century once it finds a time
server; by the wall clock every study would then be past its age and be deleted.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

MOST_ASLEEP_S = 86_400.0
"""Counted at most for the time between two runs, which only the wall clock measures."""


class ShelfClock:
    """Seconds that only go forward: the monotonic clock while the service runs, and between two
    runs the wall clock, but never more than a day of it."""

    def __init__(
        self,
        database: sqlite3.Connection,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._wall, self._monotonic = database, wall, monotonic
        row = database.execute("SELECT shelf, wall FROM clock").fetchone()
        asleep = min(max(wall() - row["wall"], 0.0), MOST_ASLEEP_S) if row else 0.0
        self._base = (row["shelf"] if row else 0.0) + asleep
        self._started = monotonic()

    def now(self) -> float:
        return self._base + self._monotonic() - self._started

    def tick(self) -> None:
        """Remember the time, for the next run to go on from."""
        self._database.execute(
            "INSERT INTO clock VALUES (1, :shelf, :wall) "
            "ON CONFLICT (one) DO UPDATE SET shelf = :shelf, wall = :wall",
            {"shelf": self.now(), "wall": self._wall()},
        )
