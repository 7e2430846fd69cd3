"""Rings when a study changes: for those who wait for one, and for those who watch them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from mammosono.appliance.studies.spool import Study

_BEHIND = 256
"""Changes a watcher may fall behind before it is let go, and has to look for itself again."""


class Bell:
    """Lives on the event loop."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.Queue[Study | None]] = set()
        self._waiting: dict[int, set[asyncio.Event]] = {}

    def ring(self, study: Study) -> None:
        """Tell everybody that the study is now as given."""
        for event in self._waiting.get(study.number, ()):
            event.set()
        for watcher in list(self._watchers):
            if watcher.qsize() < _BEHIND:
                watcher.put_nowait(study)
            else:
                self._watchers.discard(watcher)
                watcher.put_nowait(None)

    def listen(self, number: int) -> Listening:
        """Rings of one study from now on: begin before you look at how it stands."""
        return Listening(self._waiting, number)

    async def changes(self) -> AsyncIterator[Study]:
        """Every change from now on. Ends when the listener falls too far behind, or at `close`."""
        watcher: asyncio.Queue[Study | None] = asyncio.Queue()
        self._watchers.add(watcher)
        try:
            while (study := await watcher.get()) is not None:
                yield study
        finally:
            self._watchers.discard(watcher)

    def close(self) -> None:
        """End everybody's watching."""
        for watcher in self._watchers:
            watcher.put_nowait(None)


class Listening:
    """`with bell.listen(number) as heard: ... await heard.wait(); heard.clear()`"""

    def __init__(self, waiting: dict[int, set[asyncio.Event]], number: int) -> None:
        self._waiting, self._number, self._event = waiting, number, asyncio.Event()

    def __enter__(self) -> asyncio.Event:
        self._waiting.setdefault(self._number, set()).add(self._event)
        return self._event

    def __exit__(self, *_: object) -> None:
        events = self._waiting[self._number]
        events.discard(self._event)
        if not events:
            del self._waiting[self._number]
