"""Job queue of studies, and its worker, which has them read one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from mammosono.appliance.errors import (
    ApplianceError,
    ModelUnavailable,
    QueueFull,
    ReaderLost,
    StorageFailed,
    StorageFull,
    StudyNotRead,
)
from mammosono.appliance.output.problem import from_error, from_unexpected
from mammosono.appliance.security.audit_writer import AuditWriter
from mammosono.appliance.studies.broadcast import Broadcast
from mammosono.appliance.studies.reader_process.job import Outcome, StudyDone, StudyJob
from mammosono.appliance.studies.spool import Spool, Status, Study, Upload
from mammosono.appliance.studies.spool_thread import SpoolThread
from mammosono.appliance.telemetry.metrics import Metrics
from mammosono.appliance.values import ModelInfo

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 2
"""Attempts to read a study whose reader is lost each time."""
RETRY_S = 1.0
"""Pause of the worker after reader or disk failed."""
RETENTION_S = 60.0
PICTURES_S = 20.0
"""Longest wait for a picture that is not drawn yet."""


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
        self._undrawn: dict[int, Study] = {}
        self._last_reading_s = 1.0
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    def start(self) -> None:
        """Start the reader and the worker; returns at once."""
        self.reader.start()
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._retain())]

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
        if self.reader.unavailable is not None:
            raise ModelUnavailable(self.reader.unavailable)

    async def impediments(self) -> dict[str, ApplianceError]:
        """The reasons why no study can be taken and read now, by part; empty if there are none."""
        impediments: dict[str, ApplianceError] = {}
        try:
            _ = self.reader.model
        except ApplianceError as error:
            impediments["reader"] = error
        try:
            await self.storage(Spool.check)
            waiting = (await self.storage(Spool.counts))[Status.QUEUED]
            if waiting >= self.storage.spool.queue_length:
                impediments["queue"] = QueueFull(f"{waiting} studies wait; it is worked off.")
        except ApplianceError as error:
            impediments["disk"] = error
        try:
            self._audit.check()
        except ApplianceError as error:
            impediments["audit"] = error
        return impediments

    async def take(self, study_id: str | None, uploads: Sequence[Upload], owner: str) -> Study:
        """Store and queue a study; the one posted before, if it is the same.

        Raises StudyConflict, QueueFull, StorageFull or StorageFailed.
        """
        try:
            study = await self.storage(Spool.accept, study_id, owner, uploads)
        except QueueFull as error:
            error.retry_after_s = math.ceil(self._last_reading_s)
            raise
        if study.status is Status.QUEUED:
            self._pending.set()
            self.broadcast.publish(study)
        return study

    async def wait(self, study: Study, seconds: float) -> Study:
        """The study once settled, or after `seconds`. Raises UnknownStudy."""
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

    async def picture(self, study: Study, name: str) -> Path:
        """The file of a picture; drawn now if that was cut off. Raises StudyNotRead."""
        if study.status is not Status.DONE:
            raise StudyNotRead("Ask for pictures when the status of the study is done.")
        with self.broadcast.subscribe(study.number) as changed:
            path = self.storage.spool.picture(study, name)
            if path is None:
                self._undrawn[study.number] = study
                self._pending.set()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(changed.wait(), PICTURES_S)
                path = self.storage.spool.picture(study, name)
        if path is None:
            raise StudyNotRead("The pictures are being drawn; ask again in a few seconds.")
        return path

    async def _settled(self, study: Study, changed: asyncio.Event) -> Study:
        while not (now := await self.storage(Spool.again, study)).status.settled:
            await changed.wait()
            changed.clear()
        return now

    async def _work(self) -> None:
        await self.storage.open()
        while True:
            await self.reader.ready()
            self._pending.clear()
            try:
                if not await self._next():
                    await self._pending.wait()
            except (StorageFull, StorageFailed, ModelUnavailable) as error:
                logger.error("the queue stands: %s", error)
                await asyncio.sleep(RETRY_S)
            except Exception as error:
                from_unexpected(error)  # to the log
                await asyncio.sleep(RETRY_S)

    async def _next(self) -> bool:
        """Do what is to be done next; False if that is nothing."""
        if self._closing:
            return False
        study = await self.storage(Spool.claim)
        if study is not None:
            self.metrics.claimed(time.time() - study.posted.timestamp())
            self.broadcast.publish(study)
            await self._read(study)
            return True
        if self._undrawn:
            _, study = self._undrawn.popitem()
            await self._draw(study)
            return True
        return False

    async def _read(self, study: Study) -> None:
        started = time.monotonic()

        async def settle(outcome: Outcome) -> None:
            if isinstance(outcome, StudyDone):
                await self.storage(Spool.finish, study, outcome.result, outcome.verdict)
                self._last_reading_s = time.monotonic() - started
                self.metrics.read(study, outcome.verdict.value, outcome.timings_ms)
                ms = 1000 * self._last_reading_s
                logger.info("a study of %d images was read in %.0f ms", len(study.images), ms)
            else:
                await self.storage(Spool.fail, study, outcome.problem)
                self.metrics.failed(str(outcome.problem["code"]))
                logger.info("a study was refused: %s", outcome.problem["code"])
            await self._publish(study)
            await self._audit.read(study, done=isinstance(outcome, StudyDone))

        try:
            if await self.reader.read(await self._job(study), settle):
                self.metrics.drawn(time.monotonic() - started - self._last_reading_s)
                await self.storage(Spool.attach, study)
                await self._publish(study)
        except ReaderLost as error:
            self.metrics.lost()
            await self._lost(study, error)
        except (ModelUnavailable, StorageFull, StorageFailed):
            await self.storage(Spool.requeue, study)
            raise

    async def _lost(self, study: Study, error: ApplianceError) -> None:
        """Once more, and then no more. A study that has its result keeps it."""
        if study.attempts < MAX_ATTEMPTS:
            await self.storage(Spool.requeue, study)
        else:
            problem = from_error(error, f"/v1/studies/{study.study_id}")
            if await self.storage(Spool.fail, study, problem.document()):
                self.metrics.failed(problem.code)
                await self._audit.read(study, done=False)
        await self._publish(study)

    async def _draw(self, study: Study) -> None:
        """Read a study again for its pictures alone: the same model draws the same ones."""

        async def ignore(_: Outcome) -> None: ...

        with contextlib.suppress(ReaderLost):
            if await self.reader.read(await self._job(study), ignore):
                await self.storage(Spool.attach, study)
        await self._publish(study)

    async def _job(self, study: Study) -> StudyJob:
        spool = self.storage.spool
        images = tuple((i.modality, spool.upload_path(i.sha256)) for i in study.images)
        return StudyJob(study.study_id, images, await self.storage(Spool.drawing, study))

    async def _publish(self, study: Study) -> None:
        with contextlib.suppress(ApplianceError):  # deleted meanwhile
            self.broadcast.publish(await self.storage(Spool.again, study))

    async def _retain(self) -> None:
        while True:
            await asyncio.sleep(RETENTION_S)
            try:
                removed = await self.storage(Spool.retain)
            except (StorageFull, StorageFailed) as error:
                logger.error("no studies can be removed: %s", error)
                continue
            if removed.by_age or removed.by_space:
                logger.info(
                    "studies removed: %d by age, %d to make room", removed.by_age, removed.by_space
                )
