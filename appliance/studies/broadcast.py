"""In-process publish/subscribe of study changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from mammosono.appliance.studies.spool import Study

_MAX_BACKLOG = 256
"""Changes a subscriber may fall behind before its stream ends, and it has to list the studies."""


class Broadcast:
    """Publishes to subscribers of one study, and to streams of all. Runs on the event loop."""

    def __init__(self) -> None:
        self._streams: set[asyncio.Queue[Study | None]] = set()
        self._subscribers: dict[int, set[asyncio.Event]] = {}
        self.closed = False

    def publish(self, study: Study) -> None:
        """Announce the state in which the study is now."""
        for event in self._subscribers.get(study.number, ()):
            event.set()
        for stream in list(self._streams):
            if stream.qsize() < _MAX_BACKLOG:
                stream.put_nowait(study)
            else:
                self._streams.discard(stream)
                stream.put_nowait(None)

    def subscribe(self, number: int) -> Subscription:
        """Changes of one study from now on: subscribe before you look at its state."""
        return Subscription(self._subscribers, number)

    async def changes(self) -> AsyncIterator[Study]:
        """Every change from now on. Ends when the consumer falls too far behind, or at `close`."""
        stream: asyncio.Queue[Study | None] = asyncio.Queue()
        self._streams.add(stream)
        try:
            while (study := await stream.get()) is not None:
                yield study
        finally:
            self._streams.discard(stream)

    def close(self) -> None:
        """End the streams of all studies, and wake those that wait for one."""
        self.closed = True
        for events in self._subscribers.values():
            for event in events:
                event.set()
        for stream in self._streams:
            stream.put_nowait(None)


class Subscription:
    """`with broadcast.subscribe(n) as changed: ... await changed.wait(); changed.clear()`"""

    def __init__(self, subscribers: dict[int, set[asyncio.Event]], number: int) -> None:
        self._subscribers, self._number, self._event = subscribers, number, asyncio.Event()

    def __enter__(self) -> asyncio.Event:
        self._subscribers.setdefault(self._number, set()).add(self._event)
        return self._event

    def __exit__(self, *_: object) -> None:
        events = self._subscribers[self._number]
        events.discard(self._event)
        if not events:
            del self._subscribers[self._number]
