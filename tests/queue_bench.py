"""What the tests of the study queue share: the queue on a real spool, with a reader that does as it
is told."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import readings

from mammosono.appliance.security.audit import AuditLog
from mammosono.appliance.security.audit_writer import AuditWriter
from mammosono.appliance.studies.queue import StudyQueue
from mammosono.appliance.studies.reader_process.job import Outcome, StudyDone, StudyJob
from mammosono.appliance.studies.spool import Spool, Study, Upload
from mammosono.appliance.studies.spool_thread import SpoolThread
from mammosono.appliance.telemetry.metrics import Metrics
from mammosono.appliance.values import Modality, ModelInfo, Verdict

OnOutcome = Callable[[Outcome], Awaitable[None]]
Read = Callable[[StudyJob, OnOutcome], Awaitable[bool]]

_names = itertools.count()


async def read_well(job: StudyJob, on_outcome: OnOutcome) -> bool:
    document = {"id": job.study_id, "model": {"sha256": readings.MODEL.sha256}}
    await on_outcome(StudyDone(json.dumps(document).encode(), Verdict.NEGATIVE, {"total": 1.0}))
    if job.drawing is None:
        return False
    (job.drawing.pictures / f"mask_{job.drawing.index}.png").write_bytes(b"mask")
    return True


class ScriptedReader:
    """Reads as `read_well` does, or as `script` says, one entry a reading."""

    def __init__(self) -> None:
        self.model: ModelInfo = readings.MODEL
        self.unavailable: str | None = None
        self.script: list[Read] = []
        self.jobs: list[StudyJob] = []
        self.may_read = asyncio.Event()
        self.may_read.set()

    def start(self) -> None: ...

    async def ready(self) -> None:
        await self.may_read.wait()

    async def read(self, job: StudyJob, on_outcome: OnOutcome) -> bool:
        self.jobs.append(job)
        return await (self.script.pop(0) if self.script else read_well)(job, on_outcome)

    async def close(self) -> None: ...


def open_spool(folder: Path) -> Spool:
    return Spool(folder / "spool", queue_length=8, max_age_s=3600, min_free_bytes=0)


@asynccontextmanager
async def queue_at(
    folder: Path, reader: ScriptedReader, open_it: Callable[[Path], Spool] = open_spool
) -> AsyncIterator[StudyQueue]:
    """A queue at work; its spool and audit log lie in `folder`."""
    audit = AuditWriter(AuditLog(folder / "audit.jsonl"))
    storage = SpoolThread(lambda: open_it(folder))
    queue = StudyQueue(storage, reader, audit, Metrics())
    queue.start()
    try:
        yield queue
    finally:
        await queue.close()
        await audit.stopped()


async def opened(queue: StudyQueue) -> Spool:
    await until(lambda: queue.storage.is_open)
    return queue.storage.spool


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    async def hold() -> None:
        while not condition():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(hold(), seconds)


async def take(
    queue: StudyQueue, study_id: str, data: bytes = b"pixels", owner: str = "ward-1"
) -> Study:
    spool = await opened(queue)
    return await queue.take(study_id, [upload(spool, data)], owner)


def upload(spool: Spool, data: bytes) -> Upload:
    path = spool.incoming / f"part-{next(_names)}"
    path.write_bytes(data)
    return Upload(Modality.MG, path, hashlib.sha256(data).hexdigest(), len(data))
