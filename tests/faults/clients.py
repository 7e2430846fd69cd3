"""Workstations that post, look, delete and post again without end, and remember what they were
told."""

from __future__ import annotations

import hashlib
import itertools
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

Pair = tuple[bytes, bytes]
Images = tuple[str, ...]
"""SHA-256 of a study's files, in the order of a result document."""


@dataclass
class Known:
    """What its client knows of a study.

    images: those that it may have, more than one where an answer did not come. acknowledged:
    whether it must be there. result: the first one that was seen, which every later one has to be.
    settled: whether it was seen to be done or failed.
    """

    images: set[Images] = field(default_factory=set)
    acknowledged: bool = False
    result: bytes | None = None
    settled: bool = False


class Clients:
    """Threads that post pairs; to an appliance that may be away at any moment.

    Each has studies of its own, of which it deletes one now and then, to post other images under
    its id. lost: that were acknowledged and are not there. changed: whose result is another than
    before. foreign: whose result is of images that were not posted under the id.
    """

    def __init__(
        self, url: str, pairs: Sequence[Pair], count: int, pause_s: float, *, restless: bool = True
    ) -> None:
        """restless: whether they look and delete, too."""
        self.url, self._pairs, self._pause_s = url, pairs, pause_s
        self.studies: dict[str, Known] = {}
        self.answers: Counter[str] = Counter()
        self.deleted = 0
        self.lost: set[str] = set()
        self.changed: set[str] = set()
        self.foreign: set[str] = set()
        self._restless = restless
        self._lock = threading.Lock()
        self._enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._live, args=(number,)) for number in range(count)
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def acknowledged(self) -> list[str]:
        """Ids of the studies that must be there."""
        with self._lock:
            return [name for name, known in self.studies.items() if known.acknowledged]

    @property
    def results(self) -> int:
        """How many studies were seen with their result."""
        with self._lock:
            return sum(known.result is not None for known in self.studies.values())

    def look(self, client: httpx.Client, name: str) -> dict[str, Any] | None:
        """What GET says of the study, compared with what is known of it; None without an answer or
        a study."""
        known = self.studies[name]
        try:
            found = client.get(f"/v1/studies/{name}")
        except httpx.HTTPError:
            return None
        if found.status_code == 404:
            if known.acknowledged:
                self.lost.add(name)
            return None
        if found.status_code != 200:
            return None
        document: dict[str, Any] = found.json()
        if document["status"] == "done":
            self._compare(name, known, found.content, document)
        known.settled = known.settled or document["status"] in ("done", "failed")
        return document

    def _compare(self, name: str, known: Known, body: bytes, document: dict[str, Any]) -> None:
        if known.result is None:
            known.result = body
        elif known.result != body:
            self.changed.add(name)
        if tuple(image["sha256"] for image in document["images"]) not in known.images:
            self.foreign.add(name)

    def _live(self, number: int) -> None:
        chance, numbers = random.Random(number), itertools.count()
        own: list[str] = []
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not self._enough.is_set():
                what = chance.random() if self._restless and own else 0.0
                if what < 0.7:
                    name = f"study-{number}-{next(numbers)}"
                    if self._post(client, name, chance):
                        own.append(name)
                elif what < 0.9:
                    self.look(client, chance.choice(own[-30:]))
                else:
                    self._replace(client, chance.choice(own[-30:]), chance)
                self._enough.wait(self._pause_s)

    def _post(self, client: httpx.Client, name: str, chance: random.Random) -> bool:
        """Whether the study was taken, or may have been."""
        mammogram, ultrasound = chance.choice(self._pairs)
        images = tuple(_sha256(data) for data in (mammogram, ultrasound))
        with self._lock:
            known = self.studies.setdefault(name, Known())
        known.images.add(images)
        try:
            answer = client.post(
                f"/v1/studies?wait={chance.choice((0, 0, 20))}",
                files=[("mammogram", mammogram), ("ultrasound", ultrasound)],
                data={"study_id": name},
            )
        except httpx.HTTPError as error:
            self._count(type(error).__name__)
            return not isinstance(error, httpx.ConnectError)
        self._count(str(answer.status_code))
        if answer.status_code in (200, 202):
            known.images, known.acknowledged = {images}, True
        if answer.status_code == 200:
            self._compare(name, known, answer.content, answer.json())
        if answer.status_code == 429:
            known.images.discard(images)
            self._enough.wait(0.1)  # less than Retry-After: the queue is to stay full
        return known.acknowledged

    def _replace(self, client: httpx.Client, name: str, chance: random.Random) -> None:
        known = self.studies[name]
        was_acknowledged, known.acknowledged = known.acknowledged, False
        try:
            answer = client.delete(f"/v1/studies/{name}")
        except httpx.HTTPError:
            return  # it may be there or not
        if answer.status_code == 404 and was_acknowledged and not known.settled:
            self.lost.add(name)
        if answer.status_code not in (204, 404):
            return
        with self._lock:
            self.deleted += answer.status_code == 204
            self.studies[name] = Known()
        self._post(client, name, chance)

    def _count(self, answer: str) -> None:
        with self._lock:
            self.answers[answer] += 1


def names(known: dict[str, Known]) -> Iterator[str]:
    """Of all studies that may be there."""
    return (name for name, each in known.items() if each.acknowledged or each.images)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
