"""The desk takes studies, has them read one at a time, and knows what became of each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from mammosono.appliance.errors import (
    ApplianceError,
    ModelUnavailable,
    QueueFull,
    ReaderLost,
    StorageFailed,
    StorageFull,
)
from mammosono.appliance.http.errors import StudyNotRead
from mammosono.appliance.http.form import StudyForm
from mammosono.appliance.output.problem import from_error, from_unexpected
from mammosono.appliance.security.audit_writer import Trail
from mammosono.appliance.studies.broadcast import Bell
from mammosono.appliance.studies.reader_process.job import Done, Job, Outcome
from mammosono.appliance.studies.spool import Spool, Status, Study
from mammosono.appliance.studies.spool_thread import Archive
from mammosono.appliance.telemetry.metrics import Metrics
from mammosono.appliance.values import ModelInfo

logger = logging.getLogger(__name__)

READINGS = 2
"""How often a study is begun whose reader is lost over it."""
PAUSE_S = 1.0
"""Before the queue is looked at again when reader or disk failed."""
RETAIN_S = 60.0
PICTURES_S = 20.0
"""How long a picture that is not drawn yet is waited for."""


class Reading(Protocol):
    """What the desk needs of mammosono.appliance.studies.reader_process.process.ReaderProcess."""

    def start(self) -> None: ...

    @property
    def model(self) -> ModelInfo: ...

    @property
    def unavailable(self) -> str | None: ...

    async def ready(self) -> None: ...

    async def read(self, job: Job, on_outcome: Callable[[Outcome], Awaitable[None]]) -> bool: ...

    async def close(self) -> None: ...


class Desk:
    """Lives on the event loop. What it knows is in the archive: it can be killed at any time."""

    def __init__(self, archive: Archive, reading: Reading, trail: Trail) -> None:
        self.archive, self.reading, self.bell = archive, reading, Bell()
        self._trail = trail
        self.metrics = Metrics()
        self._work_waits = asyncio.Event()
        self._undrawn: dict[int, Study] = {}
        self._last_reading_s = 1.0
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    def start(self) -> None:
        """Begin to open the reader and to work off the queue; returns at once."""
        self.reading.start()
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._keep_house())]

    async def close(self) -> None:
        """Let the study being read end; those that wait are read when the box is started again."""
        self._closing = True
        self.bell.close()
        await self.reading.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.archive.close()

    def check(self) -> None:
        """Raise ModelUnavailable if what is taken now would not be read before somebody helps."""
        if self.reading.unavailable is not None:
            raise ModelUnavailable(self.reading.unavailable)

    async def impediments(self) -> dict[str, ApplianceError]:
        """What keeps a study from being taken and read now; empty if nothing does."""
        found: dict[str, ApplianceError] = {}
        try:
            _ = self.reading.model
        except ApplianceError as error:
            found["reader"] = error
        try:
            await self.archive(Spool.check)
            waiting = (await self.archive(Spool.counts))[Status.QUEUED]
            if waiting >= self.archive.spool.queue_length:
                found["queue"] = QueueFull(f"{waiting} studies wait; it is worked off.")
        except ApplianceError as error:
            found["disk"] = error
        try:
            self._trail.check()
        except ApplianceError as error:
            found["audit"] = error
        return found

    async def take(self, form: StudyForm, owner: str) -> Study:
        """Keep and queue the study, or find it where it was posted before.

        Raises StudyConflict, QueueFull, StorageFull or StorageFailed.
        """
        try:
            study = await self.archive(Spool.accept, form.study_id, owner, form.uploads)
        except QueueFull as error:
            error.retry_after_s = math.ceil(self._last_reading_s)
            raise
        if study.status is Status.QUEUED:
            self._work_waits.set()
            self.bell.ring(study)
        return study

    async def wait(self, study: Study, seconds: float) -> Study:
        """The study as it stands once settled, or after `seconds`. Raises UnknownStudy."""
        with self.bell.listen(study.number) as heard, contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._settled(study, heard), seconds)
        return await self.archive(Spool.get, study.study_id)

    async def delete(self, study_id: str, owner: str | None) -> Study:
        """Forget the study; one that waits will not be read. Raises UnknownStudy.

        owner: whose it must be; None, anybody's.
        """
        study = await self.archive(Spool.delete, study_id, owner)
        self.bell.ring(study)
        return study

    async def picture(self, study: Study, name: str) -> Path:
        """The file of a picture; drawn now if that was cut off. Raises StudyNotRead."""
        if study.status is not Status.DONE:
            raise StudyNotRead("Ask for pictures when the status of the study is done.")
        with self.bell.listen(study.number) as heard:
            path = self.archive.spool.picture(study, name)
            if path is None:
                self._undrawn[study.number] = study
                self._work_waits.set()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(heard.wait(), PICTURES_S)
                path = self.archive.spool.picture(study, name)
        if path is None:
            raise StudyNotRead("The pictures are being drawn; ask again in a few seconds.")
        return path

    async def _settled(self, study: Study, heard: asyncio.Event) -> None:
        while not (await self.archive(Spool.get, study.study_id)).status.settled:
            await heard.wait()
            heard.clear()

    async def _work(self) -> None:
        await self.archive.open()
        while True:
            await self.reading.ready()
            self._work_waits.clear()
            try:
                if not await self._next():
                    await self._work_waits.wait()
            except (StorageFull, StorageFailed, ModelUnavailable) as error:
                logger.error("the queue stands: %s", error)
                await asyncio.sleep(PAUSE_S)
            except Exception as error:
                from_unexpected(error)  # to the log
                await asyncio.sleep(PAUSE_S)

    async def _next(self) -> bool:
        """Do what is to be done next; False if that is nothing."""
        if self._closing:
            return False
        study = await self.archive(Spool.claim)
        if study is not None:
            self.metrics.claimed(time.time() - study.posted.timestamp())
            self.bell.ring(study)
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
            if isinstance(outcome, Done):
                await self.archive(Spool.finish, study, outcome.result, outcome.verdict)
                self._last_reading_s = time.monotonic() - started
                self.metrics.read(study, outcome.verdict.value, outcome.timings_ms)
                ms = 1000 * self._last_reading_s
                logger.info("a study of %d images was read in %.0f ms", len(study.images), ms)
            else:
                await self.archive(Spool.fail, study, outcome.problem)
                self.metrics.failed(str(outcome.problem["code"]))
                logger.info("a study was refused: %s", outcome.problem["code"])
            await self._ring(study)
            await self._trail.read(study, done=isinstance(outcome, Done))

        try:
            if await self.reading.read(await self._job(study), settle):
                self.metrics.drawn(time.monotonic() - started - self._last_reading_s)
                await self.archive(Spool.attach, study)
                await self._ring(study)
        except ReaderLost as error:
            self.metrics.lost()
            await self._lost(study, error)
        except (ModelUnavailable, StorageFull, StorageFailed):
            await self.archive(Spool.requeue, study)
            raise

    async def _lost(self, study: Study, error: ApplianceError) -> None:
        """Once more, and then no more. A study that has its result keeps it."""
        if study.attempts < READINGS:
            await self.archive(Spool.requeue, study)
        else:
            problem = from_error(error, f"/v1/studies/{study.study_id}")
            if await self.archive(Spool.fail, study, problem.document()):
                self.metrics.failed(problem.code)
                await self._trail.read(study, done=False)
        await self._ring(study)

    async def _draw(self, study: Study) -> None:
        """Read a study again for its pictures alone: the same model draws the same ones."""

        async def ignore(_: Outcome) -> None: ...

        with contextlib.suppress(ReaderLost):
            if await self.reading.read(await self._job(study), ignore):
                await self.archive(Spool.attach, study)
        await self._ring(study)

    async def _job(self, study: Study) -> Job:
        spool = self.archive.spool
        images = tuple((i.modality, spool.upload_path(i.sha256)) for i in study.images)
        return Job(study.study_id, images, await self.archive(Spool.drawing, study))

    async def _ring(self, study: Study) -> None:
        with contextlib.suppress(ApplianceError):  # deleted meanwhile
            self.bell.ring(await self.archive(Spool.get, study.study_id))

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(RETAIN_S)
            try:
                gone = await self.archive(Spool.retain)
            except (StorageFull, StorageFailed) as error:
                logger.error("no studies can be removed: %s", error)
                continue
            if gone.by_age or gone.by_space:
                logger.info(
                    "studies removed: %d by age, %d to make room", gone.by_age, gone.by_space
                )
