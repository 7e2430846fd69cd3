"""Job queue of studies, and its worker, which has them read one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from mammosono.appliance.errors import (
    ApplianceError,
    ModelUnavailable,
    QueueFull,
    ReaderLost,
    StorageDamaged,
    StorageError,
    StorageFailed,
    StudyNotRead,
)
from mammosono.appliance.output.problem import Problem, from_error, from_unexpected
from mammosono.appliance.security.audit_writer import AuditWriter
from mammosono.appliance.studies.broadcast import Broadcast
from mammosono.appliance.studies.reader_process.job import (
    Drawing,
    Outcome,
    StoredFile,
    StudyJob,
    StudyRefused,
)
from mammosono.appliance.studies.spool import Spool, Status, Study, Upload
from mammosono.appliance.studies.spool_thread import SpoolThread
from mammosono.appliance.telemetry.metrics import Metrics
from mammosono.appliance.values import ModelInfo

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MAX_ATTEMPTS = 2
"""Attempts to read a study whose reader is lost each time."""
RETRY_S = 1.0
"""Pause of the worker after reader or disk failed."""
RETENTION_S = 60.0
"""Between two rounds that delete what is old, and show whether the disk can be written."""
PICTURES_S = 20.0
"""Longest wait for a picture that is not drawn yet."""


_STARTS_AGAIN = "A part of the service failed, and it starts again; try in a few seconds."
_REPLACED = "The model was replaced before they were drawn; post the images as a new study."


StoreOutcome = Callable[..., Awaitable[bool]]
"""A call of the spool: `storage(Spool.fail, study, problem)`."""


class StudyReader(Protocol):
    """Interface of mammosono.appliance.studies.reader_process.process.ReaderProcess."""

    def start(self) -> None: ...

    @property
    def model(self) -> ModelInfo: ...

    @property
    def unavailable(self) -> str | None: ...

    async def ready(self) -> None: ...

    async def read(
        self, job: StudyJob, on_outcome: Callable[[Outcome], Awaitable[None]]
    ) -> bool: ...

    async def close(self) -> None: ...


class StudyQueue:
    """Runs on the event loop. All of its state is in the spool: it can be killed at any time."""

    def __init__(
        self, storage: SpoolThread, reader: StudyReader, audit: AuditWriter, metrics: Metrics
    ) -> None:
        self.storage, self.reader, self.broadcast = storage, reader, Broadcast()
        self._audit = audit
        self.metrics = metrics
        self._pending = asyncio.Event()
        self._undrawn: dict[tuple[int, int], Study] = {}
        self._last_reading_s = 1.0
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = self._failed = False
        self._standstill: ApplianceError | None = None
        self._unwritable: StorageError | None = None
        self._retention_due = asyncio.Event()

    def start(self) -> None:
        """Start the reader and the worker; returns at once."""
        self.reader.start()
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._retain())]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    @property
    def failed(self) -> bool:
        """Whether a background task has ended: only a new process will read studies again."""
        return self._failed

    async def close(self) -> None:
        """Let the study being read end; those that wait are read after the next start."""
        self._closing = True
        self.broadcast.close()
        await self.reader.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.storage.close()

    def check(self) -> None:
        """Raise ModelUnavailable if no study can be read until an operator acts."""
        if self._failed:
            raise ModelUnavailable(_STARTS_AGAIN)
        if self.reader.unavailable is not None:
            raise ModelUnavailable(self.reader.unavailable)

    async def impediments(self) -> dict[str, ApplianceError]:
        """The reasons why no study can be taken and read now, by part; empty if there are none.

        Asked for by everybody at any time: writes nothing, and waits for no sync.
        """
        impediments: dict[str, ApplianceError] = {}
        if self._failed:
            impediments["worker"] = ModelUnavailable(_STARTS_AGAIN)
        elif isinstance(self._standstill, StorageError):
            impediments["worker"] = self._standstill
        try:
            _ = self.reader.model
        except ApplianceError as error:
            impediments["reader"] = error
        if self._unwritable is not None:
            impediments["disk"] = self._unwritable
        try:
            await self.storage(Spool.check)
            waiting = (await self.storage(Spool.counts))[Status.QUEUED]
            if waiting >= self.storage.spool.queue_length:
                impediments["queue"] = QueueFull(f"{waiting} studies wait; it is worked off.")
        except ApplianceError as error:
            impediments["disk"] = error
        try:
            await self._audit.check()
        except ApplianceError as error:
            impediments["audit"] = error
        return impediments

    async def take(self, study_id: str | None, uploads: Sequence[Upload], owner: str) -> Study:
        """Store and queue a study; the one posted before, if it is the same.

        Raises StudyConflict, QueueFull or StorageError.
        """
        try:
            study = await self.storage(Spool.accept, study_id, owner, uploads)
        except QueueFull as error:
            error.retry_after_s = math.ceil(self._last_reading_s)
            raise
        except StorageFailed:
            self._retention_due.set()  # a look would not tell that the disk cannot be written
            raise
        if study.status is Status.QUEUED:
            self._pending.set()
            self.broadcast.publish(study)
        return study

    async def wait(self, study: Study, seconds: float) -> Study:
        """The study once settled; as it is after `seconds`, or when the queue closes.

        Raises UnknownStudy."""
        with (
            self.broadcast.subscribe(study.number) as changed,
            contextlib.suppress(asyncio.TimeoutError),
        ):
            return await asyncio.wait_for(self._settled(study, changed), seconds)
        return await self.storage(Spool.again, study)

    async def delete(self, study_id: str, owner: str | None) -> Study:
        """Forget the study; one that waits will not be read. Raises UnknownStudy.

        owner: whose it must be; None, anybody's.
        """
        study = await self.storage(Spool.delete, study_id, owner)
        self.broadcast.publish(study)
        return study

    async def picture(self, study: Study, index: int, name: str) -> Path:
        """The file of a picture of one of its images; drawn now if nobody has looked at it before.
        Raises StudyNotRead, or UnknownStudy if the study is deleted meanwhile."""
        if study.status is not Status.DONE:
            raise StudyNotRead("Ask for pictures when the status of the study is done.")
        with self.broadcast.subscribe(study.number) as changed:
            path = self.storage.spool.picture(study, name)
            if path is None:
                self._require_same_model(study)
                self._undrawn[study.number, index] = study
                self._pending.set()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._drawn(study, index, changed), PICTURES_S)
                path = self.storage.spool.picture(study, name)
        if path is None:
            await self.storage(Spool.again, study)
            raise StudyNotRead("The pictures are being drawn; ask again in a few seconds.")
        return path

    async def _drawn(self, study: Study, index: int, changed: asyncio.Event) -> None:
        """Returns once the image is drawn, or cannot be: others of the study may be before it."""
        while (study.number, index) in self._undrawn:
            await changed.wait()
            changed.clear()

    def _require_same_model(self, study: Study) -> None:
        """Raises StudyNotRead if another model is there now: its pictures would be of other
        findings."""
        with contextlib.suppress(ModelUnavailable):
            if self.reader.model.sha256 != _reader_of(study.result):
                raise StudyNotRead(_REPLACED)

    async def _settled(self, study: Study, changed: asyncio.Event) -> Study:
        while not (now := await self.storage(Spool.again, study)).status.settled:
            if self.broadcast.closed:
                break
            await changed.wait()
            changed.clear()
        return now

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._closing:
            return
        self._failed = True
        self.metrics.task_failed()
        from_unexpected(task.exception() or RuntimeError())  # to the log
        logger.critical("a background task has ended; the service ends, to be started again")

    async def _work(self) -> None:
        await self.storage.open()
        while True:
            await self.reader.ready()
            self._pending.clear()
            try:
                idle = not await self._next()
                self._standstill = None
                if idle:
                    await self._pending.wait()
            except (StorageError, ModelUnavailable) as error:
                await self._stand_still(error)

    async def _stand_still(self, error: ApplianceError) -> None:
        if str(error) != str(self._standstill):
            logger.error("the queue stands: %s", error)
        self._standstill = error
        await asyncio.sleep(RETRY_S)

    async def _insist(
        self, method: Callable[Concatenate[Spool, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Calls the spool until the disk permits: a claimed study is not let go of before."""
        while True:
            try:
                result = await self.storage(method, *args, **kwargs)
            except StorageError as error:
                await self._stand_still(error)
            else:
                self._standstill = None
                return result

    async def _next(self) -> bool:
        """Do what is to be done next; False if that is nothing."""
        if self._closing:
            return False
        study = await self.storage(Spool.claim)
        if study is not None and study.damaged:
            await self._fail(study, _unreadable(study).document())
            return True
        if study is not None:
            self.metrics.claimed(time.time() - study.posted.timestamp())
            self.broadcast.publish(study)
            await self._read(study)
            return True
        if self._undrawn:
            (_, index), study = next(iter(self._undrawn.items()))
            await self._draw(study, index)
            return True
        return False

    async def _read(self, study: Study) -> None:
        """Ends with the study settled or queued again, whatever fails meanwhile."""
        started = time.monotonic()
        unsettled: list[Outcome] = []

        async def settle(outcome: Outcome) -> None:
            unsettled.append(outcome)
            # If the disk refuses it now, the reader goes on: the outcome is kept for later.
            with contextlib.suppress(StorageError):
                await self._settle(study, outcome, started, self.storage)
                unsettled.clear()

        try:
            await self.reader.read(self._job(study), settle)
        except ReaderLost as error:
            self.metrics.lost()
            if not unsettled:
                await self._lost(study, error)
        except ModelUnavailable:
            await self._insist(Spool.requeue, study, begun=False)
            raise
        except Exception as error:
            problem = from_unexpected(error)
            if not unsettled:
                await self._fail(study, problem.document())
        for outcome in unsettled:
            try:
                await self._settle(study, outcome, started, self._insist)
            except Exception as error:
                await self._fail(study, from_unexpected(error).document())

    async def _settle(
        self, study: Study, outcome: Outcome, started: float, storage: StoreOutcome
    ) -> None:
        """Store the outcome. One of a study that was deleted meanwhile is dropped, and counted
        nowhere. Raises StorageError if `storage` does."""
        if isinstance(outcome, StudyRefused):
            await self._fail(study, outcome.problem, storage)
            return
        if not await storage(Spool.finish, study, outcome.result, outcome.verdict):
            return
        self._last_reading_s = time.monotonic() - started
        self.metrics.read(study, outcome.verdict.value, outcome.timings_ms, outcome.unread)
        ms = 1000 * self._last_reading_s
        logger.info("a study of %d images was read in %.0f ms", len(study.images), ms)
        for code in outcome.unread:
            logger.info("an image of it was not read: %s", code)
        await self._publish(study)
        await self._audit.read(study, done=True)

    async def _fail(
        self, study: Study, problem: Mapping[str, Any], storage: StoreOutcome | None = None
    ) -> None:
        if not await (storage or self._insist)(Spool.fail, study, problem):
            return
        self.metrics.failed(str(problem["code"]))
        logger.info("a study was refused: %s", problem["code"])
        await self._publish(study)
        await self._audit.read(study, done=False)

    async def _lost(self, study: Study, error: ApplianceError) -> None:
        """Once more, and then no more. A study that has its result keeps it."""
        if study.attempts < MAX_ATTEMPTS:
            await self._insist(Spool.requeue, study)
            await self._publish(study)
        else:
            await self._fail(study, from_error(error, f"/v1/studies/{study.study_id}").document())

    async def _draw(self, study: Study, index: int) -> None:
        """Draw one image of a study by the model that read it."""
        started = time.monotonic()

        async def ignore(outcome: Outcome) -> None:
            """It is the result that is here."""

        try:
            folder = await self._insist(Spool.drawing, study)
            drawing = Drawing(index, study.result, folder)
            drawn = await self.reader.read(replace(self._job(study), drawing=drawing), ignore)
        except ReaderLost:
            drawn = False
        except ModelUnavailable:
            raise
        except Exception as error:
            from_unexpected(error)  # to the log
            drawn = False
        if drawn:
            self.metrics.drawn(time.monotonic() - started)
            await self._attach(study)
        del self._undrawn[study.number, index]
        await self._publish(study)
        await self._discard(study)

    def _job(self, study: Study) -> StudyJob:
        spool = self.storage.spool
        images = tuple(
            StoredFile(i.modality, spool.upload_path(i.sha256), i.sha256, i.posted)
            for i in study.images
        )
        return StudyJob(study.study_id, images)

    async def _attach(self, study: Study) -> None:
        """Keep the pictures; without room for them they are drawn again when they are asked for."""
        try:
            await self.storage(Spool.attach, study)
        except StorageError as error:
            logger.warning("pictures cannot be kept: %s", error)

    async def _discard(self, study: Study) -> None:
        with contextlib.suppress(StorageError):  # removed at the next start
            await self.storage(Spool.discard, study)

    async def _publish(self, study: Study) -> None:
        with contextlib.suppress(ApplianceError):  # deleted meanwhile
            self.broadcast.publish(await self.storage(Spool.again, study))

    async def _retain(self) -> None:
        pause_s = RETENTION_S
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._retention_due.wait(), pause_s)
            self._retention_due.clear()
            if not self.storage.is_open:
                continue
            try:
                removed = await self.storage(Spool.retain)
            except StorageError as error:
                if str(error) != str(self._unwritable):
                    logger.error("no studies can be removed: %s", error)
                self._unwritable, pause_s = error, RETRY_S
                continue
            self._unwritable, pause_s = None, RETENTION_S
            if removed.by_age or removed.by_space:
                logger.info(
                    "studies removed: %d by age, %d to make room", removed.by_age, removed.by_space
                )


def _unreadable(study: Study) -> Problem:
    error = StorageDamaged("The study was damaged on the disk; post the images again.")
    return from_error(error, f"/v1/studies/{study.study_id}")


def _reader_of(result: bytes) -> str:
    """SHA-256 of the bundle that a result document names."""
    return str(json.loads(result)["model"]["sha256"])
