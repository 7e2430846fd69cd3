"""The desk takes studies, has them read one at a time, and knows what became of each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone

from appliance.errors import (
    ApplianceError,
    ModelUnavailable,
    QueueFull,
    StudyConflict,
    UnknownStudy,
)
from appliance.service import problems
from appliance.service.answer import StudyReader, answer
from appliance.service.form import StudyForm
from appliance.service.studies import Status, Studies, Study

logger = logging.getLogger(__name__)


class Desk:
    """Lives on the event loop, where all its state changes; only opening the reader, decoding and
    reading leave it, for one thread of their own.
    """

    def __init__(
        self, open_reader: Callable[[], StudyReader], studies: Studies, queue_length: int
    ) -> None:
        self.studies = studies
        self._open_reader = open_reader
        self._queue_length = queue_length
        self._reader: StudyReader | None = None
        self._failure: ApplianceError | None = None
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._settled: dict[str, asyncio.Event] = {}
        self._last_reading_s = 1.0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to open the reader and to work off the queue; returns at once."""
        self._worker = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Let the study being read end, and close the reader."""
        if self._worker:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        # On the reader's own thread, hence after whatever it is still doing.
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close_reader)
        self._thread.shutdown()

    def reader(self) -> StudyReader:
        """The open reader. Raises ModelUnavailable with the reason why there is none."""
        self.check()
        if self._reader is None:
            raise ModelUnavailable("The model is being loaded; try again in a few seconds.")
        return self._reader

    def check(self) -> None:
        """Raise ModelUnavailable if no study will ever be read here."""
        if self._failure is not None:
            raise self._failure.with_traceback(None)

    def take(self, form: StudyForm) -> Study:
        """Queue the study, or find it where it was posted before.

        Raises StudyConflict, QueueFull or ModelUnavailable.
        """
        self.check()
        fingerprint = tuple((upload.modality, upload.sha256) for upload in form.uploads)
        known = self._known(form.study_id, fingerprint)
        if known is not None:
            return known
        waiting = sum(study.status is Status.QUEUED for study in self.studies.list())
        if waiting >= self._queue_length:
            raise QueueFull(
                "Wait the seconds of Retry-After, then post the study again.",
                retry_after_s=math.ceil(self._last_reading_s),
            )
        study = Study(
            study_id=form.study_id or secrets.token_urlsafe(16),
            posted=datetime.now(timezone.utc),
            fingerprint=fingerprint,
            status=Status.QUEUED,
            uploads=form.uploads,
        )
        self.studies.put(study)
        self._settled[study.study_id] = asyncio.Event()
        self._queue.put_nowait(study.study_id)
        return study

    async def wait(self, study_id: str, seconds: float) -> Study:
        """The study as it stands once settled, or after `seconds`. Raises UnknownStudy."""
        settled = self._settled.get(study_id)
        if settled is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(settled.wait(), seconds)
        return self.studies.get(study_id)

    def delete(self, study_id: str) -> None:
        """Forget the study; one that waits will not be read. Raises UnknownStudy."""
        self.studies.delete(study_id)
        self._announce(study_id)

    def _known(self, study_id: str | None, fingerprint: object) -> Study | None:
        """The study posted before under this id, unless that post came to nothing."""
        if study_id is None:
            return None
        try:
            study = self.studies.get(study_id)
        except UnknownStudy:
            return None
        same = study.fingerprint == fingerprint
        if study.problem is not None and (not same or study.problem.status >= 500):
            # Nothing was read under this id: better images, or a better day, may have it.
            self.studies.delete(study_id)
            return None
        if not same:
            raise StudyConflict("Post other images under an id of their own.")
        return study

    async def _work(self) -> None:
        await self._open()
        while True:
            study_id = await self._queue.get()
            with contextlib.suppress(UnknownStudy):  # deleted meanwhile
                await self._settle(self.studies.get(study_id))
            self._announce(study_id)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._reader = await loop.run_in_executor(self._thread, self._open_reader)
        except ApplianceError as error:
            self._failure = error
            logger.error("the model cannot be run: %s", error)
        except Exception as error:
            problem = problems.from_unexpected(error)
            self._failure = ModelUnavailable(
                f"The model could not be opened; the log tells why under {problem.instance}."
            )

    async def _settle(self, study: Study) -> None:
        if study.status is not Status.QUEUED:  # deleted and posted again: queued twice
            return
        self.studies.put(replace(study, status=Status.READING))
        settled = await self._read(study)
        # Deleted meanwhile, or deleted and posted again: then this answer is of no use.
        if self.studies.get(study.study_id).status is Status.READING:
            self.studies.put(settled)

    async def _read(self, study: Study) -> Study:
        loop = asyncio.get_running_loop()
        instance = f"/v1/studies/{study.study_id}"
        started = time.monotonic()
        try:
            reading, result = await loop.run_in_executor(
                self._thread, answer, self.reader(), study.study_id, study.uploads
            )
        except ApplianceError as error:
            logger.info("a study was refused: %s", error.code)
            problem = problems.from_error(error, instance)
            return replace(study, status=Status.FAILED, uploads=(), problem=problem)
        except Exception as error:
            problem = problems.from_unexpected(error)
            return replace(study, status=Status.FAILED, uploads=(), problem=problem)
        self._last_reading_s = time.monotonic() - started
        logger.info(
            "a study of %d images was read in %.0f ms",
            len(reading.images),
            1000 * self._last_reading_s,
        )
        return replace(study, status=Status.DONE, uploads=(), reading=reading, result=result)

    def _announce(self, study_id: str) -> None:
        settled = self._settled.pop(study_id, None)
        if settled is not None:
            settled.set()

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
