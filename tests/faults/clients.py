"""Workstations that post without end, and remember what was acknowledged."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Sequence

import httpx

Pair = tuple[bytes, bytes]


class Clients:
    """Threads that post pairs; to an appliance that may be away at any moment."""

    def __init__(self, url: str, pairs: Sequence[Pair], count: int, pause_s: float) -> None:
        self.url, self._pairs, self._pause_s = url, pairs, pause_s
        self.acknowledged: list[str] = []
        """Study ids that were answered 200 or 202."""
        self.answers: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._post_on) for _ in range(count)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join(60)

    def _post_on(self) -> None:
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not self._enough.is_set():
                self._post(client, next(self._numbers))
                self._enough.wait(self._pause_s)

    def _post(self, client: httpx.Client, number: int) -> None:
        study_id = f"study-{number}"
        mammogram, ultrasound = self._pairs[number % len(self._pairs)]
        try:
            response = client.post(
                "/v1/studies?wait=0",
                files=[("mammogram", mammogram), ("ultrasound", ultrasound)],
                data={"study_id": study_id},
            )
        except httpx.HTTPError as error:
            with self._lock:
                self.answers[type(error).__name__] += 1
            return
        with self._lock:
            self.answers[str(response.status_code)] += 1
            if response.status_code in (200, 202):
                self.acknowledged.append(study_id)
        if response.status_code == 429:
            self._enough.wait(0.1)  # less than Retry-After: the queue is to stay full
