"""Kill one of web, reader and worker at a random moment, again and again, under load; and take the
disk's room, or the database's lock, for a while."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from faults.appliance import Appliance
from faults.clients import Clients, Pair, names
from faults.disk import CannotMount, fill, small_disk

DAY_S = 86_400


@dataclass
class Outcome:
    """What became of the studies.

    blows: what was done beside the kills. lost: acknowledged, and not there. changed: whose result
    is not the one that was seen first. foreign: whose result is of other images. retired: by the
    appliance's own retention, as its audit log says. orphans: files that no study has.
    """

    rounds: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    blows: Counter[str] = field(default_factory=Counter)
    not_filled: str = ""
    answers: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    compared: int = 0
    deleted: int = 0
    retired: int = 0
    settled: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    integrity: str = ""
    orphans: int = 0
    seconds: float = 0.0

    @property
    def most_failed(self) -> int:
        """A study fails when it is hit a second time, and a blow hits the one that is read."""
        return self.rounds // 2

    @property
    def held(self) -> bool:
        broken = self.lost or self.changed or self.foreign or self.orphans
        return not broken and self.integrity == "ok" and self.settled["failed"] <= self.most_failed


def fire(
    folder: Path,
    pairs: Sequence[Pair],
    rounds: int,
    seed: int,
    *,
    worker: bool = True,
    max_age_s: float | None = None,
    tell: Callable[[int, str], None] = lambda *_: None,
) -> Outcome:
    """`rounds` kills; then the appliance is left alone, and all that it acknowledged looked up.

    max_age_s: of a study that was read; retention then runs twice a second.
    """
    outcome, started = Outcome(), time.monotonic()
    with contextlib.ExitStack() as stack:
        try:
            disk = stack.enter_context(small_disk(folder / "disk", 64 + 4 * rounds))
        except CannotMount as error:
            outcome.not_filled, disk = str(error), None
        state = (disk or folder) / "state"
        age = {} if max_age_s is None else {"max_age_days": max_age_s / DAY_S}
        constants = {} if max_age_s is None else {"studies.queue.RETENTION_S": 0.5}
        appliance = Appliance(
            state, worker=worker, constants=constants, queue_length=16, min_free_bytes=0, **age
        )
        appliance.log_to(folder / "serve.log")
        stack.callback(appliance.end)
        appliance.start()
        appliance.until_ready()
        with Clients(appliance.url, pairs, count=3, pause_s=0.05) as clients:
            appliance.until(lambda: clients.results > 0)
            _blows(appliance, disk, rounds, random.Random(seed), outcome, tell)
        outcome.answers, outcome.deleted = clients.answers, clients.deleted
        _look_up(appliance, clients, outcome)
        appliance.stop()
        _judge(clients, _retired(state), outcome, may_retire=max_age_s is not None)
        _look_inside(state / "spool", outcome)
    outcome.seconds = time.monotonic() - started
    return outcome


def _blows(
    appliance: Appliance,
    disk: Path | None,
    rounds: int,
    chance: random.Random,
    outcome: Outcome,
    tell: Callable[[int, str], None],
) -> None:
    while outcome.rounds < rounds:
        time.sleep(chance.uniform(0.0, 1.5))
        what = chance.random()
        if what < 0.1:
            outcome.blows["database locked"] += 1
            _lock(appliance, chance.uniform(0.5, 7.0))
            continue
        if what < 0.25 and disk is not None:
            outcome.blows["disk full"] += 1
            hog = fill(disk)
            time.sleep(chance.uniform(0.1, 3.0))
            hog.unlink()
            continue
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


def _lock(appliance: Appliance, seconds: float) -> None:
    database = sqlite3.connect(appliance.state / "spool" / "studies.db", isolation_level=None)
    with contextlib.suppress(sqlite3.OperationalError):  # locked by the appliance just now
        database.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        database.execute("ROLLBACK")
    database.close()


def _look_up(appliance: Appliance, clients: Clients, outcome: Outcome) -> None:
    outcome.acknowledged = len(clients.acknowledged)
    with httpx.Client(base_url=appliance.url, timeout=60) as client:
        for name in list(names(clients.studies)):

            def settled(name: str = name) -> bool:
                found = client.get(f"/v1/studies/{name}")
                return found.status_code == 404 or found.json()["status"] in ("done", "failed")

            appliance.until(settled, 600)
            seen_before = clients.studies[name].result is not None
            document = clients.look(client, name)
            if document is None:
                continue
            outcome.settled[document["status"]] += 1
            outcome.compared += seen_before and document["status"] == "done"
            if document["status"] == "failed":
                outcome.reasons[document["problem"]["code"]] += 1


def _judge(clients: Clients, retired: set[str], outcome: Outcome, *, may_retire: bool) -> None:
    def by_retention(name: str) -> bool:
        """One that was seen settled may go: the process may have died before its log said so."""
        return may_retire and (_audited(name) in retired or clients.studies[name].settled)

    outcome.retired = len(retired)
    outcome.lost = sorted(name for name in clients.lost if not by_retention(name))
    outcome.changed, outcome.foreign = sorted(clients.changed), sorted(clients.foreign)


def _retired(state: Path) -> set[str]:
    """What the audit log calls the studies that the appliance itself removed."""
    found = set()
    for line in (state / "audit.jsonl").read_text().splitlines():
        event = json.loads(line)
        by_itself = all(not who["UserIsRequestor"] for who in event["ActiveParticipant"])
        if event["EventIdentification"]["EventActionCode"] == "D" and by_itself:
            found |= {
                each["ParticipantObjectID"] for each in event["ParticipantObjectIdentification"]
            }
    return found


def _audited(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _look_inside(spool: Path, outcome: Outcome) -> None:
    database = sqlite3.connect(spool / "studies.db")
    outcome.integrity = str(database.execute("PRAGMA integrity_check").fetchone()[0])
    hashes = {row[0] for row in database.execute("SELECT sha256 FROM images")}
    kept = [*spool.glob("uploads/*/*"), *spool.glob("unclaimed/*")]
    outcome.orphans = sum(
        path.name not in hashes or path.parent.name == "unclaimed" for path in kept
    )
    database.close()
