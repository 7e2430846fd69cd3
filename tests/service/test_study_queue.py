"""The queue keeps its word to every study it took: read once, for its owner, and ended whatever
fails meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from queue_bench import (
    OnOutcome,
    ScriptedReader,
    opened,
    queue_at,
    read_well,
    take,
    until,
    upload,
)

from mammosono.appliance.errors import (
    ModelUnavailable,
    ReaderLost,
    StorageFailed,
    StorageFull,
    StudyNotRead,
    UnknownStudy,
)
from mammosono.appliance.studies import queue as study_queue
from mammosono.appliance.studies.queue import StudyQueue
from mammosono.appliance.studies.reader_process.job import (
    StudyJob,
    StudyRefused,
)
from mammosono.appliance.studies.spool import Spool, Status, Study
from mammosono.appliance.values import Verdict

BAD_IMAGE = {"status": 422, "code": "corrupt_image", "title": "t", "detail": "d"}

Test = Callable[[StudyQueue, ScriptedReader], Coroutine[Any, Any, None]]


def run(folder: Path, test: Test) -> None:
    async def with_queue() -> None:
        reader = ScriptedReader()
        async with queue_at(folder, reader) as queue:
            await test(queue, reader)

    asyncio.run(asyncio.wait_for(with_queue(), 120))


async def lose(job: StudyJob, on_outcome: OnOutcome) -> bool:
    raise ReaderLost("The reader was lost over this study: the process died.")


async def unavailable(job: StudyJob, on_outcome: OnOutcome) -> bool:
    raise ModelUnavailable("The model is being loaded.")


def claimed(spool: Spool) -> Study:
    study = spool.claim()
    assert study is not None
    return study


# Whose study it is


@pytest.mark.parametrize("owner", ["ward-1", "ward-2"])
@pytest.mark.parametrize("failed", [False, True], ids=["deleted", "failed"])
def test_who_waits_never_gets_the_study_posted_later_under_the_same_id(
    tmp_path: Path, owner: str, failed: bool
) -> None:
    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        spool = await opened(queue)
        reader.may_read.clear()
        mine = await take(queue, "s", b"mine")
        waiting = asyncio.create_task(queue.wait(mine, 60))
        await asyncio.sleep(0.05)

        def replace(spool: Spool) -> Study:
            if failed:
                spool.fail(claimed(spool), BAD_IMAGE)
            spool.delete("s")
            return spool.accept("s", owner, [upload(spool, b"theirs")])

        theirs = await queue.storage(replace)
        await queue.storage(lambda spool: spool.finish(claimed(spool), b"theirs", Verdict.POSITIVE))
        queue.broadcast.publish(mine)
        with pytest.raises(UnknownStudy):
            await waiting
        assert spool.get("s").number == theirs.number

    run(tmp_path, test)


# A claimed study ends


async def picture_in_time(queue: StudyQueue, study: Study) -> Path:
    """As a client asks that is told to come again."""
    while True:
        try:
            return await queue.picture(study, 0, "mask_0.png")
        except StudyNotRead:
            await asyncio.sleep(0.02)


class BadDisk:
    """Makes calls of the spool fail, each `times` times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        self._patch, self._error, self.refused = monkeypatch, error, 0

    def refuse(self, name: str, times: int = 2) -> None:
        method = getattr(Spool, name)
        left = times

        def refusing(*arguments: Any, **how: Any) -> Any:
            nonlocal left
            if left > 0:
                left -= 1
                self.refused += 1
                raise self._error
            return method(*arguments, **how)

        self._patch.setattr(Spool, name, refusing)


@pytest.fixture(params=[StorageFull("full"), StorageFailed("locked")], ids=["full", "locked"])
def disk(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> BadDisk:
    monkeypatch.setattr(study_queue, "RETRY_S", 0.02)
    return BadDisk(monkeypatch, request.param)


@pytest.mark.parametrize("call", ["claim", "drawing", "finish", "attach", "discard"])
def test_a_study_is_read_though_the_disk_refuses_it_for_a_while(
    tmp_path: Path, disk: BadDisk, call: str
) -> None:
    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        disk.refuse(call)
        study = await queue.wait(await take(queue, "s"), 30)
        assert study.status is Status.DONE
        assert len(reader.jobs) == 1  # the result that could not be stored was kept
        assert (await picture_in_time(queue, study)).read_bytes() == b"mask"
        await until(lambda: disk.refused > 0)

    run(tmp_path, test)


@pytest.mark.parametrize("call", ["fail", "requeue"])
def test_a_study_whose_reader_is_lost_ends_though_the_disk_refuses_it_for_a_while(
    tmp_path: Path, disk: BadDisk, call: str
) -> None:
    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        disk.refuse(call)
        reader.script = [lose, lose]
        study = await queue.wait(await take(queue, "s"), 30)
        assert study.problem is not None
        assert (study.problem["code"], study.attempts) == ("reader_lost", 2)
        assert disk.refused == 2

    run(tmp_path, test)


def test_a_study_whose_reader_is_lost_once_is_read_again_and_twice_fails(tmp_path: Path) -> None:
    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        reader.script = [lose, read_well, lose, lose]
        once = await queue.wait(await take(queue, "once", b"1"), 30)
        assert (once.status, once.attempts) == (Status.DONE, 2)
        twice = await queue.wait(await take(queue, "twice", b"2"), 30)
        assert twice.problem is not None
        assert (twice.problem["code"], twice.attempts) == ("reader_lost", 2)
        assert len(reader.jobs) == 4

    run(tmp_path, test)


def test_a_study_is_queued_again_though_the_disk_refuses_it_while_no_model_runs(
    tmp_path: Path, disk: BadDisk
) -> None:
    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        disk.refuse("requeue")
        reader.script = [unavailable, lose]
        study = await queue.wait(await take(queue, "s"), 30)
        # Only what a reader had begun is an attempt: the reader that was lost was the first.
        assert (study.status, study.attempts) == (Status.DONE, 2)

    run(tmp_path, test)


def test_the_queue_says_why_it_stands_and_until_when(tmp_path: Path, disk: BadDisk) -> None:
    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        disk.refuse("finish", times=10)
        study = await take(queue, "s")
        await until(lambda: disk.refused > 1)
        assert type((await queue.impediments())["worker"]) in (StorageFull, StorageFailed)
        await queue.wait(study, 30)
        assert await queue.impediments() == {}

    run(tmp_path, test)


@pytest.mark.parametrize("error", [AttributeError("x"), MemoryError(), RecursionError()])
def test_a_failure_that_nobody_listed_ends_its_study_and_the_next_one_is_read(
    tmp_path: Path, error: Exception
) -> None:
    async def fail(job: StudyJob, on_outcome: OnOutcome) -> bool:
        raise error

    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        reader.script = [fail]
        first = await queue.wait(await take(queue, "first"), 30)
        assert first.problem is not None
        assert (first.problem["code"], first.problem["status"]) == ("internal", 500)
        assert (await queue.wait(await take(queue, "next"), 30)).status is Status.DONE
        # A better day may have it: it is read when it is posted again.
        assert (await queue.wait(await take(queue, "first"), 30)).status is Status.DONE

    run(tmp_path, test)


def test_a_result_that_cannot_be_kept_for_no_listed_reason_ends_its_study_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Spool.finish

    def fail(spool: Spool, study: Study, result: bytes, verdict: Verdict) -> bool:
        if study.study_id == "first":
            raise AttributeError("x")
        return finish(spool, study, result, verdict)

    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        monkeypatch.setattr(Spool, "finish", fail)
        first = await queue.wait(await take(queue, "first"), 30)
        assert first.problem is not None
        assert first.problem["code"] == "internal"
        assert (await queue.wait(await take(queue, "next"), 30)).status is Status.DONE
        assert not queue.failed

    run(tmp_path, test)


def test_a_study_whose_row_cannot_be_read_ends_as_failed_and_the_next_one_is_read(
    tmp_path: Path,
) -> None:
    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        spool = await opened(queue)
        reader.may_read.clear()
        await take(queue, "s", b"1")
        await queue.storage(
            lambda s: s._database.execute("UPDATE images SET modality = 'XX'").rowcount
        )
        following = await take(queue, "next", b"2")
        reader.may_read.set()
        assert (await queue.wait(following, 30)).status is Status.DONE
        failed = spool.get("s")
        assert failed.problem is not None
        assert (failed.problem["code"], failed.problem["status"]) == ("storage_damaged", 503)
        assert await queue.impediments() == {}
        assert len(reader.jobs) == 1

    run(tmp_path, test)


def test_a_study_deleted_while_it_is_read_is_counted_nowhere_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        deleted = asyncio.Event()

        async def wait_and_read(job: StudyJob, on_outcome: OnOutcome) -> bool:
            await queue.delete("s", None)
            deleted.set()
            return await read_well(job, on_outcome)

        async def wait_and_refuse(job: StudyJob, on_outcome: OnOutcome) -> bool:
            await queue.delete("t", None)
            await on_outcome(StudyRefused(BAD_IMAGE))
            return False

        reader.script = [wait_and_read, wait_and_refuse]
        await take(queue, "s")
        await take(queue, "t")
        await queue.wait(await take(queue, "u"), 30)
        assert not any((tmp_path / "spool" / "pictures").glob("*"))
        counted = queue.metrics.exposition({}, 0, True).decode()
        assert 'mammosono_studies_total{outcome="negative"} 1.0' in counted
        assert "corrupt_image" not in counted
        log = tmp_path / "audit.jsonl"
        await until(lambda: log.exists() and '"EventActionCode":"U"' in log.read_text())
        assert log.read_text().count('"EventActionCode":"U"') == 1

    run(tmp_path, test)


@pytest.mark.parametrize("part", ["claim", "retain"])
def test_a_part_of_the_service_that_ends_is_said_and_takes_no_more_studies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fail(_: Spool) -> None:
        raise AttributeError("of tomorrow")

    monkeypatch.setattr(study_queue, "RETENTION_S", 0.02)
    monkeypatch.setattr(Spool, part, fail)

    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        await until(lambda: queue.failed)
        with pytest.raises(ModelUnavailable):
            queue.check()
        assert "worker" in await queue.impediments()
        said = queue.metrics.exposition({}, 0, False).decode()
        assert "mammosono_background_tasks_failed_total 1.0" in said

    run(tmp_path, test)


def test_who_waits_for_a_study_is_told_at_once_when_the_service_ends(tmp_path: Path) -> None:
    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        reader.may_read.clear()
        waiting = asyncio.create_task(queue.wait(await take(queue, "s"), 60))
        await asyncio.sleep(0.05)
        queue.broadcast.close()
        assert (await asyncio.wait_for(waiting, 10)).status is Status.QUEUED

    run(tmp_path, test)


# Whose pictures they are


def test_pictures_are_drawn_by_the_model_that_read_them_and_by_no_other(
    tmp_path: Path,
) -> None:
    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        one = await queue.wait(await take(queue, "one", b"1"), 30)
        other = await queue.wait(await take(queue, "other", b"2"), 30)
        assert (await queue.picture(one, 0, "mask_0.png")).read_bytes() == b"mask"

        reader.model = replace(reader.model, sha256="cd" * 32)
        with pytest.raises(StudyNotRead, match="replaced"):
            await queue.picture(other, 0, "mask_0.png")
        assert len(reader.jobs) == 3  # nothing was drawn for it
        assert (await queue.picture(one, 0, "mask_0.png")).read_bytes() == b"mask"

    run(tmp_path, test)


def test_nothing_is_drawn_before_somebody_looks_and_then_that_image_alone(tmp_path: Path) -> None:
    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        spool = await opened(queue)
        uploads = [upload(spool, b"1"), upload(spool, b"2")]
        study = await queue.wait(await queue.take("s", uploads, "ward-1"), 30)
        assert [job.drawing for job in reader.jobs] == [None]
        await queue.picture(study, 1, "mask_1.png")
        drawing = reader.jobs[-1].drawing
        assert drawing is not None
        assert (drawing.index, drawing.result) == (1, study.result)
        assert queue.storage.spool.picture(study, "mask_0.png") is None

        await queue.picture(study, 0, "mask_0.png")
        await queue.picture(study, 1, "mask_1.png")
        assert len(reader.jobs) == 3  # what was drawn is kept beside what is drawn later

    run(tmp_path, test)


def test_who_waits_for_the_pictures_of_a_study_that_is_deleted_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_queue, "PICTURES_S", 0.5)

    async def draw_slowly(job: StudyJob, on_outcome: OnOutcome) -> bool:
        await asyncio.sleep(2)
        return False

    async def test(queue: StudyQueue, reader: ScriptedReader) -> None:
        reader.script = [read_well, draw_slowly]
        study = await queue.wait(await take(queue, "s"), 30)
        waiting = asyncio.ensure_future(queue.picture(study, 0, "mask_0.png"))
        await asyncio.sleep(0.1)
        await queue.delete("s", None)
        with pytest.raises(UnknownStudy):
            await waiting

    run(tmp_path, test)
