"""Kill one of web, reader and worker at a random moment, again and again, under load."""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from faults.appliance import Appliance
from faults.clients import Clients, Pair


@dataclass
class Outcome:
    """What became of the studies. `lost` and `doubled` must stay empty."""

    rounds: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    settled: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    integrity: str = ""
    orphans: int = 0
    seconds: float = 0.0


def fire(
    folder: Path,
    pairs: Sequence[Pair],
    rounds: int,
    seed: int,
    *,
    worker: bool = True,
    tell: Callable[[int, str], None] = lambda *_: None,
) -> Outcome:
    """`rounds` kills; then the appliance is left alone, and what it acknowledged is looked up."""
    chance, outcome, started = random.Random(seed), Outcome(), time.monotonic()
    appliance = Appliance(folder / "state", worker=worker, queue_length=16, min_free_bytes=0)
    appliance.start()
    appliance.until_ready()
    with Clients(appliance.url, pairs, count=3, pause_s=0.05) as clients:
        for _ in range(rounds):
            time.sleep(chance.uniform(0.0, 1.5))
            living = appliance.pids()
            name = chance.choice(sorted(living))
            appliance.kill(living[name])
            outcome.killed[name] += 1
            outcome.rounds += 1
            tell(outcome.rounds, name)
            if name == "web":
                appliance.start()
            if chance.random() < 0.5:
                appliance.until_ready()  # else the next blow falls while it starts
    outcome.answers = clients.answers
    _look_up(appliance, clients.acknowledged, outcome)
    appliance.stop()
    _look_inside(folder / "state" / "spool", outcome)
    outcome.seconds = time.monotonic() - started
    return outcome


def _look_up(appliance: Appliance, acknowledged: Sequence[str], outcome: Outcome) -> None:
    outcome.acknowledged = len(acknowledged)
    with httpx.Client(base_url=appliance.url, timeout=60) as client:
        for study_id in acknowledged:
            place = f"/v1/studies/{study_id}"

            def settled(place: str = place) -> bool:
                found = client.get(place)
                return found.status_code == 404 or found.json()["status"] in ("done", "failed")

            appliance.until(settled, 600)
            found = client.get(place)
            if found.status_code != 200:
                outcome.lost.append(study_id)
                continue
            document = found.json()
            outcome.settled[document["status"]] += 1
            if document["status"] == "failed":
                outcome.reasons[document["problem"]["code"]] += 1
            if client.get(place).content != found.content:
                outcome.changed.append(study_id)


def _look_inside(spool: Path, outcome: Outcome) -> None:
    database = sqlite3.connect(spool / "studies.db")
    outcome.integrity = str(database.execute("PRAGMA integrity_check").fetchone()[0])
    hashes = {row[0] for row in database.execute("SELECT sha256 FROM images")}
    outcome.orphans = sum(path.name not in hashes for path in spool.glob("uploads/*/*"))
    database.close()
