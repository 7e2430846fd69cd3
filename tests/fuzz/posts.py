"""Damaged files, and damaged requests, posted to a real appliance."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from faults.appliance import Appliance, alive, rss_mib
from files import PATIENT

from fuzz.mutate import cut, damaged, flipped, integer, patched
from fuzz.seeds import WHOLE

ALLOWED = (503, 507)
"""Of what is the appliance's own fault: it cannot read now, or has no room."""

SAMPLE_EVERY = 50


FILE = "Roe^Richard"
"""Name of the posted file: the answer shows it to who posted it, the log never."""


@dataclass
class Posted:
    """answers: how often each status with its code. wrong: what no post may be answered with.

    readers: process ids that the reader had; more than one is one lost.
    rss_mib: (posts so far, MiB) by process.
    """

    count: int = 0
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    wrong: dict[int, str] = field(default_factory=dict)
    readers: set[int] = field(default_factory=set)
    web_lived: bool = True
    identity_told: bool = False
    rss_mib: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        return self.web_lived and not self.wrong and not self.identity_told


def post(
    folder: Path, count: int, first: int = 0, tell: Callable[[Posted], None] = lambda _: None
) -> Posted:
    """Post files `first` to `first + count - 1`, the request of every third damaged as well."""
    posted, started, log = Posted(), time.monotonic(), folder / "fuzz.log"
    appliance = Appliance(folder / "state", worker=False, min_free_bytes=0)
    appliance.log_to(log)
    appliance.start()
    try:
        appliance.until_ready()
        with httpx.Client(base_url=appliance.url, timeout=240) as client:
            for number in range(first, first + count):
                _one(client, number, posted)
                if number % SAMPLE_EVERY == 0:
                    _sample(appliance, posted)
                posted.count += 1
                tell(posted)
        _sample(appliance, posted)
        posted.web_lived = appliance.answers("/healthz")
    finally:
        if alive(appliance.web):
            appliance.stop()
    logged = log.read_text(errors="replace")
    posted.identity_told |= PATIENT in logged or FILE in logged
    posted.seconds = time.monotonic() - started
    return posted


def _one(client: httpx.Client, number: int, posted: Posted) -> None:
    rng = random.Random(-1 - number)
    part = rng.choice(("mammogram", "ultrasound", "ultrasound", "ultrasound"))
    file = (f"{FILE}.png", damaged(number, WHOLE), "image/png")
    request = client.build_request("POST", "/v1/studies?wait=200", files=[(part, file)])
    body = request.read()
    if number % 3 == 0:
        body = rng.choice((flipped, cut, patched, integer))(body, rng)
    kind = {"content-type": request.headers["content-type"]}
    try:
        answer = client.post("/v1/studies?wait=200", content=body, headers=kind)
    except httpx.HTTPError as error:
        posted.wrong[number] = type(error).__name__
        return
    code = "" if answer.status_code == 200 else f" {answer.json()['code']}"
    posted.answers[f"{answer.status_code}{code}"] += 1
    if answer.status_code >= 500 and answer.status_code not in ALLOWED:
        posted.wrong[number] = f"{answer.status_code}{code}"
    posted.identity_told |= PATIENT in answer.text


def _sample(appliance: Appliance, posted: Posted) -> None:
    for name, pid in appliance.pids().items():
        posted.rss_mib.setdefault(name, []).append((posted.count, rss_mib(pid)))
        if name == "reader":
            posted.readers.add(pid)
