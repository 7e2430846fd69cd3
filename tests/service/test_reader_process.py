"""The service outlives its reader: whatever kills or stops that process, another one reads on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from fake_reading import RUBBISH

from mammosono.appliance.errors import ModelUnavailable, ReaderLost, StorageFull
from mammosono.appliance.studies.reader_process.job import (
    Drawing,
    Opening,
    Outcome,
    StoredFile,
    StudyDone,
    StudyJob,
    StudyRefused,
)
from mammosono.appliance.studies.reader_process.process import Patience, ReaderProcess
from mammosono.appliance.values import Modality, Verdict

pytestmark = pytest.mark.slow

FAKE = (sys.executable, str(Path(__file__).parents[1] / "fake_reading.py"))
PATIENT = Patience(start=60, study=60, ping=60, answer=60, retry=(0.01, 0.02))

Test = Callable[[ReaderProcess], Coroutine[Any, Any, None]]


def run(test: Test, patience: Patience = PATIENT, command: tuple[str, ...] = FAKE) -> None:
    async def with_process() -> None:
        process = ReaderProcess(Opening(), patience, command)
        process.start()
        try:
            await test(process)
        finally:
            await process.close()

    asyncio.run(asyncio.wait_for(with_process(), 120))


async def ready(process: ReaderProcess, starts: int = 1) -> None:
    while process.starts < starts or not is_ready(process):
        await asyncio.sleep(0.005)


def is_ready(process: ReaderProcess) -> bool:
    try:
        return bool(process.model)
    except ModelUnavailable:
        return False


async def read(
    process: ReaderProcess,
    folder: Path,
    name: str = "s",
    images: int = 1,
    drawing: Drawing | None = None,
) -> tuple[list[Outcome], bool]:
    outcomes: list[Outcome] = []

    async def keep(outcome: Outcome) -> None:
        outcomes.append(outcome)

    job = StudyJob(name, (StoredFile(Modality.MG, folder / "film", "0" * 64),) * images, drawing)
    return outcomes, await process.read(job, keep)


def test_a_study_is_answered_and_drawn_when_it_is_looked_at(tmp_path: Path) -> None:
    async def test(process: ReaderProcess) -> None:
        await ready(process)
        (outcome,), drawn = await read(process, tmp_path)
        assert isinstance(outcome, StudyDone)
        assert outcome.verdict is Verdict.NEGATIVE
        assert outcome.result == b'{"id":"s","timings_ms":{"total":1.0}}'
        assert not drawn
        assert not (tmp_path / "mask_0.png").exists()
        _, drawn = await read(process, tmp_path, drawing=Drawing(0, outcome.result, tmp_path))
        assert drawn
        assert (tmp_path / "mask_0.png").exists()
        assert process.model.name == "fake"

    run(test)


def test_a_refused_study_says_why(tmp_path: Path) -> None:
    async def test(process: ReaderProcess) -> None:
        await ready(process)
        (outcome,), _ = await read(process, tmp_path, "refuse")
        assert isinstance(outcome, StudyRefused)
        assert outcome.problem["code"] == "corrupt_image"
        assert len((await read(process, tmp_path))[0]) == 1

    run(test)


def test_studies_asked_for_at_once_are_read_one_after_another(tmp_path: Path) -> None:
    async def test(process: ReaderProcess) -> None:
        await ready(process)
        answers = await asyncio.gather(*(read(process, tmp_path, name) for name in "abc"))
        assert [
            outcome.result[:9] for (outcome,), _ in answers if isinstance(outcome, StudyDone)
        ] == [
            b'{"id":"a"',
            b'{"id":"b"',
            b'{"id":"c"',
        ]

    run(test)


@pytest.mark.parametrize("how", ["die", "hang", "garbage"])
def test_a_reader_lost_over_a_study_is_replaced(tmp_path: Path, how: str) -> None:
    async def test(process: ReaderProcess) -> None:
        await ready(process)
        with pytest.raises(ReaderLost):
            await read(process, tmp_path, how)
        await ready(process, starts=2)
        assert len((await read(process, tmp_path))[0]) == 1

    run(test, Patience(start=60, study=2.0, ping=60, answer=60, retry=(0.01, 0.02)))


@pytest.mark.parametrize(("images", "enough"), [(1, False), (8, False), (48, True)])
def test_a_study_of_many_images_may_take_longer_in_proportion(
    tmp_path: Path, images: int, enough: bool
) -> None:
    async def test(process: ReaderProcess) -> None:
        await ready(process)
        if enough:
            assert len((await read(process, tmp_path, "slow", images))[0]) == 1
        else:
            with pytest.raises(ReaderLost, match=r"longer than 0\.8 s"):
                await read(process, tmp_path, "slow", images)

    run(test, Patience(start=60, study=0.8, ping=60, answer=60, retry=(0.01, 0.02)))


@pytest.mark.parametrize("answer", RUBBISH)
def test_an_answer_that_is_none_never_becomes_a_result(tmp_path: Path, answer: str) -> None:
    async def test(process: ReaderProcess) -> None:
        await ready(process)
        outcomes: list[Outcome] = []

        async def keep(outcome: Outcome) -> None:
            outcomes.append(outcome)

        with pytest.raises(ReaderLost):
            await process.read(StudyJob(answer, ()), keep)
        assert outcomes == []

    run(test)


def test_a_process_that_ends_while_its_outcome_is_stored_is_a_lost_reader(tmp_path: Path) -> None:
    async def test(process: ReaderProcess) -> None:
        await ready(process)

        async def slow_disk(_: Outcome) -> None:
            while process.pid is not None:
                await asyncio.sleep(0.005)

        with pytest.raises(ReaderLost):
            await process.read(StudyJob("die while drawing", ()), slow_disk)

    run(test, Patience(start=60, study=60, ping=0.05, answer=60, retry=(0.5, 0.5)))


def test_a_reader_of_another_version_is_told_and_no_study_is_taken_for_it() -> None:
    async def test(process: ReaderProcess) -> None:
        while process.unavailable is None:
            await asyncio.sleep(0.005)
        assert "version" in process.unavailable
        starts = process.starts
        while process.starts <= starts:  # it is tried again
            await asyncio.sleep(0.005)

    run(test, command=(*FAKE, "other version"))


def test_supervision_outlives_what_nobody_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(process: ReaderProcess) -> None:
        monitor = ReaderProcess._monitor

        async def fail_once(_: ReaderProcess) -> None:
            monkeypatch.setattr(ReaderProcess, "_monitor", monitor)
            raise AttributeError("of tomorrow")

        monkeypatch.setattr(ReaderProcess, "_monitor", fail_once)
        await ready(process, starts=2)

    run(test)


def test_a_result_stands_though_the_reader_dies_over_the_pictures(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []

    async def keep(outcome: Outcome) -> None:
        outcomes.append(outcome)

    async def test(process: ReaderProcess) -> None:
        await ready(process)
        with pytest.raises(ReaderLost):
            await process.read(StudyJob("die while drawing", ()), keep)
        assert len(outcomes) == 1

    run(test)


def test_an_outcome_that_cannot_be_kept_does_not_reach_the_next_study(tmp_path: Path) -> None:
    async def refuse(_: Outcome) -> None:
        raise StorageFull("no room")

    async def test(process: ReaderProcess) -> None:
        await ready(process)
        with pytest.raises(StorageFull):
            await process.read(StudyJob("first", ()), refuse)
        await ready(process, starts=2)
        (outcome,), _ = await read(process, tmp_path, "second")
        assert isinstance(outcome, StudyDone)
        assert b"second" in outcome.result

    run(test)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_an_idle_reader_that_is_gone_or_stopped_is_replaced(sign: signal.Signals) -> None:
    async def test(process: ReaderProcess) -> None:
        await ready(process)
        assert process.pid is not None
        os.kill(process.pid, sign)
        await ready(process, starts=2)

    run(test, Patience(start=60, study=60, ping=0.05, answer=0.5, retry=(0.01, 0.02)))


def test_a_model_that_cannot_run_is_told_with_its_reason_and_tried_again(tmp_path: Path) -> None:
    async def test(process: ReaderProcess) -> None:
        while process.starts < 3:
            await asyncio.sleep(0.005)
        with pytest.raises(ModelUnavailable, match="sha256"):
            _ = process.model
        with pytest.raises(ModelUnavailable, match="sha256"):
            await read(process, tmp_path)

    run(test, command=(*FAKE, "unavailable"))


def test_a_reader_that_never_gets_ready_is_replaced() -> None:
    async def test(process: ReaderProcess) -> None:
        with pytest.raises(ModelUnavailable, match="being loaded"):
            _ = process.model
        while process.starts < 2:
            await asyncio.sleep(0.005)

    run(test, Patience(start=0.3, study=1, ping=1, answer=1, retry=(0.01, 0.02)), (*FAKE, "mute"))


def test_closing_lets_the_study_end_and_leaves_no_process(tmp_path: Path) -> None:
    pids: list[int] = []

    async def test(process: ReaderProcess) -> None:
        await ready(process)
        assert process.pid is not None
        pids.append(process.pid)
        reading = asyncio.create_task(read(process, tmp_path))
        await asyncio.sleep(0)
        await process.close()
        assert len((await reading)[0]) == 1

    run(test)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
