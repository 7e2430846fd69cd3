"""A case read by the appliance: posted by HTTP as a workstation posts it, and what its result may
say beside the images that were not read."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mammosono.appliance.errors import StorageError
from mammosono.appliance.node.pairing import FURTHER_EXAM, IDENTITY_CONFLICT, IMAGES_LEFT_OUT
from mammosono.appliance.node.store import NodeStore, Status, StoredReading
from mammosono.appliance.node.uids import Written
from mammosono.appliance.values import Verdict
from mammosono.appliance.workstation.client import ApplianceClient, PostRefused, Unavailable

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 600.0
GIVEN_UP_S = 72 * 3600.0
UNAVAILABLE = "appliance_unavailable"
"""Problem code of a case for which the appliance had no answer in all that time."""
FILES_LOST = "files_lost"
"""Problem code of a case whose files are gone."""

Write = Callable[[StoredReading, Written | None], Written | None]
"""Given a reading with its document, and what was written of the version before, what was written
of it; the same bytes again after a kill."""

_NO_NEGATIVE = "; a negative cannot be given."
NOT_READ = {
    IMAGES_LEFT_OUT: "More images came than are read together, and some were not read",
    FURTHER_EXAM: "Another exam of the patient lies as near and was not read with these",
    IDENTITY_CONFLICT: "Another exam under this patient ID states another birth date or sex",
}
_DAMAGED = "An image that was to be read could not be"


def limited(document: dict[str, Any], no_negative: tuple[str, ...]) -> dict[str, Any]:
    """The result document with what was not read: where it says "negative", it is indeterminate.

    no_negative: codes, each of which becomes a warning with its reason."""
    if not no_negative:
        return document
    sentences = [NOT_READ.get(code, _DAMAGED) + _NO_NEGATIVE for code in no_negative]
    warnings = list(document.get("warnings", []))
    reasons = list(document.get("reasons", []))
    told: dict[str, Any] = {
        "warnings": [*warnings, *sentences],
        # Reasons are the codes of the warnings, and behind them others.
        "reasons": [*reasons[: len(warnings)], *no_negative, *reasons[len(warnings) :]],
    }
    if document["verdict"] == Verdict.NEGATIVE.value:
        told |= {"verdict": Verdict.INDETERMINATE.value, "decided_by": []}
    return document | told


@dataclass(order=True, slots=True)
class _Job:
    """not_before: by the monotonic clock. began: when it was first tried."""

    not_before: float
    number: int
    reading: StoredReading
    began: float
    pause_s: float = FIRST_PAUSE_S


class ReadingThread:
    """Posts cases, one at a time; one that has to wait holds up no other.

    A result is on the disk before `settled` is told; then `write` makes of it what is sent, and is
    tried again until it returns.
    """

    def __init__(
        self,
        store: NodeStore,
        connect: Callable[[], ApplianceClient],
        settled: Callable[[StoredReading, str], None],
        write: Write | None = None,
        take_back: Callable[[str], object] = lambda case: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """settled: told of each reading and its verdict or problem code. write: called with each
        reading, and with the same one again after a kill. take_back: with a case whose patient was
        forgotten while it was written."""
        self._store, self._connect = store, connect
        self._settled, self._write, self._monotonic = settled, write, monotonic
        self._take_back = take_back
        self._jobs: queue.PriorityQueue[_Job] = queue.PriorityQueue()
        self._number = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reading", daemon=True)

    def start(self) -> None:
        """Go on with what a stop interrupted, too."""
        for reading in self._store.readings():
            unwritten = reading.status is Status.READ and not reading.written
            if reading.status is Status.WAITING or (unwritten and self._write is not None):
                self.add(reading)
        self._thread.start()

    def stop(self) -> None:
        """What is being read goes on at the appliance, and is asked for after the next start."""
        self._stop.set()
        self._thread.join(1.0)

    def add(self, reading: StoredReading) -> None:
        now = self._monotonic()
        self._number += 1
        self._jobs.put(_Job(now, self._number, reading, now))

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                job = self._jobs.get(timeout=0.2)
            except queue.Empty:
                continue
            if job.not_before > self._monotonic():
                self._jobs.put(job)
                self._stop.wait(0.2)
                continue
            self._do(job)

    def _do(self, job: _Job) -> None:
        try:
            self._read_and_write(job)
        except Unavailable as error:
            logger.warning("case %s waits: %s", job.reading.case[:8], error)
            self._again(job, error.retry_after_s)
        except StorageError as error:
            logger.error("case %s waits: %s", job.reading.case[:8], error)
            self._again(job)
        except Exception as error:
            # Its words may quote a file, and with it a name.
            logger.error("case %s: %s", job.reading.case[:8], type(error).__name__)
            self._again(job)

    def _read_and_write(self, job: _Job) -> None:
        reading = self._store.get(job.reading)
        if reading is None:  # the patient was forgotten
            self._take_back(job.reading.case)
            return
        if reading.status is Status.WAITING:
            self._read(reading, job)
            reading = self._store.get(job.reading)
        if reading is not None and reading.status is Status.READ and self._write is not None:
            written = self._write(reading, self._store.written_before(reading))
            if not self._store.mark_written(reading, written):
                self._take_back(reading.case)

    def _read(self, reading: StoredReading, job: _Job) -> None:
        """Raises Unavailable, StorageError."""
        try:
            with self._connect() as appliance:
                document = appliance.read(reading.images, reading.study_id)
        except PostRefused as error:
            logger.error("case %s was refused: %s", reading.case[:8], error)
            self._fail(reading, str(error.problem.get("code", "refused")))
        except FileNotFoundError:
            self._fail(reading, FILES_LOST)
        except Unavailable:
            if self._monotonic() - job.began < GIVEN_UP_S:
                raise
            self._fail(reading, UNAVAILABLE)
        else:
            result = limited(document, reading.no_negative)
            if not self._store.finish(reading, result):
                self._delete(reading)
            else:
                logger.info("case %s version %s is read", reading.case[:8], reading.version)
                self._settled(reading, result["verdict"])

    def _delete(self, reading: StoredReading) -> None:
        """The patient was forgotten while this was being read."""
        with self._connect() as appliance:
            if not appliance.delete(reading.study_id):
                logger.error("the appliance still holds %s; delete it there", reading.study_id)

    def _fail(self, reading: StoredReading, code: str) -> None:
        if self._store.fail(reading, code):
            self._settled(reading, code)

    def _again(self, job: _Job, after_s: float | None = None) -> None:
        pause = max(job.pause_s, after_s or 0.0)
        self._number += 1
        longer = min(2 * job.pause_s, LONGEST_PAUSE_S)
        later = self._monotonic() + pause
        self._jobs.put(_Job(later, self._number, job.reading, job.began, longer))
