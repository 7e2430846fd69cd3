"""The queue keeps its word to every study it took: read once, for its owner, and ended whatever
fails meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from queue_bench import ScriptedReader, opened, queue_at, take, upload

from mammosono.appliance.errors import UnknownStudy
from mammosono.appliance.studies.queue import StudyQueue
from mammosono.appliance.studies.spool import Spool, Study
from mammosono.appliance.values import Verdict

BAD_IMAGE = {"status": 422, "code": "corrupt_image", "title": "t", "detail": "d"}

Test = Callable[[StudyQueue, ScriptedReader], Coroutine[Any, Any, None]]


def run(folder: Path, test: Test) -> None:
    async def with_queue() -> None:
        reader = ScriptedReader()
        async with queue_at(folder, reader) as queue:
            await test(queue, reader)

    asyncio.run(asyncio.wait_for(with_queue(), 120))


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
