"""The node at work: the listener's images into the store and the pairing, its cases to the
appliance."""

from __future__ import annotations

import fcntl
import logging
import os
import resource
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mammosono.appliance.errors import StorageError, StorageFailed
from mammosono.appliance.node.config import MIB, NodeConfig, Sender
from mammosono.appliance.node.destinations import Destination, Dimse
from mammosono.appliance.node.metrics import NodeMetrics
from mammosono.appliance.node.outbox import Entry
from mammosono.appliance.node.outcome import Became, Outcome
from mammosono.appliance.node.pairing import (
    Arrived,
    Closed,
    Event,
    Expire,
    Forgotten,
    Instance,
    Opened,
    Post,
    Settled,
    Ticked,
    restored,
    step,
)
from mammosono.appliance.node.patient_key import Names, names_of
from mammosono.appliance.node.reading import ReadingThread, Write
from mammosono.appliance.node.store import DATABASE, NodeStore, Status, StoredReading
from mammosono.appliance.security import audit
from mammosono.appliance.security import audit_events as events
from mammosono.appliance.security.audit import AuditLog
from mammosono.appliance.workstation.client import ApplianceClient

logger = logging.getLogger(__name__)

FOLDER = "node"
"""Of the state folder."""
METRICS_FILE = "metrics.prom"
TICK_S = 1.0
_METRICS_S = 15.0
_CLOCK_S = 60.0
_HOUR_S = 3600.0
SAME_REFUSAL_S = 60.0
"""Refusals of one sender within this time are one line and one audit event."""
_MOST_REFUSALS = 1000
_STUDIES_OF_EVENT = 100


def open_store(state: Path) -> tuple[NodeStore, Names]:
    """Raises StorageError, SecretLost, OSError."""
    folder = state / FOLDER
    names = names_of(folder, made=not (folder / DATABASE).exists())
    return NodeStore(folder), names


class NodeService:
    """Receiver of a Listener. Its lock is held for every step of the pairing, so that what the
    store has and what the pairing knows are the same."""

    def __init__(
        self,
        config: NodeConfig,
        state: Path,
        *,
        write: Write | None = None,
        take_back: Callable[[str], object] = lambda case: None,
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        """state: the appliance's state folder. write: makes of a reading what is sent, into the
        outbox; returns when that is on the disk. take_back: a case, out of it
        again. Raises StorageError, SecretLost, OSError."""
        self._config, self._state_folder = config, state
        folder = state / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._only = _only_process(folder / "lock")
        self.store, self.names = open_store(state)
        self.store.sweep()
        self.metrics = NodeMetrics()
        self._free_bytes = free_bytes or self.store.free_bytes
        self._audit = AuditLog(state / audit.FILE)
        self._lock = threading.RLock()
        self._refusals: OrderedDict[tuple[str, ...], float] = OrderedDict()
        self._pairing = restored(self.store.instances(), self.store.posted(), self.now())
        self._reading = ReadingThread(self.store, self._appliance, self._settled, write, take_back)
        self._due: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        self._reading.start()
        try:
            while not stop.wait(TICK_S):
                self.tick()
        finally:
            self._reading.stop()

    def close(self) -> None:
        self.store.close()
        os.close(self._only)

    def tick(self) -> None:
        """What is due now; what the disk refuses is due again the next time."""
        try:
            if self.store.changed():
                self._reload()
            self._advance()
            if self._is_due("clock", _CLOCK_S):
                self.store.tick()
            if self._is_due("retire", _HOUR_S):
                self.store.retire(self._config.keep.results_days)
            if self._is_due("metrics", _METRICS_S):
                self._write_metrics()
        except (StorageError, OSError) as error:
            logger.error("the node's disk refuses: %s", type(error).__name__)

    # What the listener tells, from its threads.

    def opened(self, association: str, sender: Sender) -> None:
        self.metrics.association("accepted")
        self._record(events.association_accepted(sender.ae_title, sender.address))
        self._tell(Opened(association, f"{sender.ae_title}@{sender.address}"))

    def closed(self, association: str, sender: Sender, stored: int, studies: Sequence[str]) -> None:
        self._tell(Closed(association))
        logger.info("%s sent %s images of %s exams", sender.ae_title, stored, len(studies))
        for begin in range(0, len(studies), _STUDIES_OF_EVENT):
            some = studies[begin : begin + _STUDIES_OF_EVENT]
            self._record(events.instances_stored(sender.ae_title, sender.address, some, stored))

    def turned_away(self, outcome: str, title: str, address: str) -> None:
        self.metrics.association(outcome)
        if not self._is_new_refusal(outcome, title, address):
            return
        logger.warning("a connection of %s from %s was refused: %s", title, address, outcome)
        self._record(events.association_refused(title, address))

    def store_image(self, association: str, instance: Instance, file: Path) -> bool:
        with self._lock:
            new = self.store.add(instance, file)
            self._tell(Arrived(instance, association))
            return new

    def counted(self, outcome: str) -> None:
        self.metrics.instance(outcome)

    def has_room(self, share: float = 1.0) -> bool:
        try:
            return self._free_bytes() >= share * self._config.keep.min_free_bytes
        except StorageError:
            return False

    def now(self) -> float:
        return self.store.now()

    def sent(self, destination: Destination, became: Sequence[tuple[Entry, Outcome]]) -> None:
        """What the sender tells, from its threads."""
        for _, outcome in became:
            self.metrics.sent(outcome.became.value)
        stored = [entry for entry, outcome in became if outcome.became is Became.STORED]
        if stored:
            way = destination.way
            title, address = (
                (way.ae_title, way.host)
                if isinstance(way, Dimse)
                else (destination.name, urlsplit(way.url).hostname or "")
            )
            cases = sorted({entry.case for entry in stored})
            self._record(events.instances_sent(title, address, cases, len(stored)))

    # The pairing.

    def _tell(self, event: Event) -> None:
        with self._lock:
            self._pairing, _ = step(self._pairing, event, self.now(), self._config.rules)

    def _advance(self) -> None:
        with self._lock:
            after, actions = step(self._pairing, Ticked(), self.now(), self._config.rules)
            begun = []
            for action in actions:
                if isinstance(action, Post):
                    begun.append(self.store.begin(action))
                elif isinstance(action, Expire):
                    self.store.expire(action.instances)
                    logger.info("%s images have been kept long enough", len(action.instances))
            self._pairing = after
        for reading in begun:
            if reading is not None:
                self._reading.add(reading)

    def _reload(self) -> None:
        """Another process has changed the database: somebody was forgotten."""
        with self._lock:
            held = {each.key for each in self.store.instances()}
            for key, patient in self._pairing.patients.items():
                if not patient.instances.keys() <= held:
                    self._tell(Forgotten(key))
                    for instance in self.store.instances(key):
                        self._tell(Arrived(instance))

    def _settled(self, reading: StoredReading, outcome: str) -> None:
        self.metrics.settled(outcome)
        self._tell(Settled(reading.patient, reading.case))

    def _appliance(self) -> ApplianceClient:
        box = self._config.box
        token = None
        if box.token_file is not None:
            token = self._config.path(box.token_file).read_text("utf-8").strip()
        ca = self._config.path(box.ca) if box.ca is not None else None
        return ApplianceClient(box.url, token, ca)

    def _write_metrics(self) -> None:
        counts = dict.fromkeys((status.value for status in Status), 0)
        for reading in self.store.readings():
            counts[reading.status.value] += 1
        with self._lock:
            held = sum(len(each.instances) for each in self._pairing.patients.values())
            open_ = len(self._pairing.open)
        named = self._config.metrics_file
        file = self._config.path(named) if named else self._state_folder / FOLDER / METRICS_FILE
        free = self._free_bytes()
        self.metrics.write(file, cases=counts, held=held, open_=open_, free_bytes=free)

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now - self._due.get(what, -every_s) < every_s:
            return False
        self._due[what] = now
        return True

    def _is_new_refusal(self, *what: str) -> bool:
        now = time.monotonic()
        with self._lock:
            last = self._refusals.get(what)
            if last is not None and now - last < SAME_REFUSAL_S:
                return False
            self._refusals[what] = now
            self._refusals.move_to_end(what)
            if len(self._refusals) > _MOST_REFUSALS:
                self._refusals.popitem(last=False)
            return True

    def _record(self, event: Mapping[str, Any]) -> None:
        """As the service: a log that cannot be written keeps no image out."""
        try:
            self._audit.append(event)
        except OSError as error:
            logger.error("the audit log cannot be written: %s", error.strerror)


def limit_memory(config: NodeConfig) -> None:
    """Of this process: what a peer makes it take ends in an error, not in the machine's."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (config.memory_mib * MIB, most))


def _only_process(file: Path) -> int:
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise StorageFailed(
            "Another node runs on this state folder; end it, or give another MAMMOSONO_STATE."
        ) from None
    return handle
