"""Health is asked for by everybody, at any time: it costs the disk nothing and waits for nobody."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from queue_bench import ScriptedReader, opened, queue_at, take
from service_bench import FakeReader, problem, running, study, until

from mammosono.appliance.errors import StorageError, StorageFailed, StorageFull
from mammosono.appliance.security.audit import AuditLog
from mammosono.appliance.security.audit_writer import AuditWriter
from mammosono.appliance.studies import queue as study_queue
from mammosono.appliance.studies.queue import StudyQueue
from mammosono.appliance.studies.spool import Spool

ROUTES = ["/healthz", "/readyz", "/v2/health/ready", "/metrics"]


def files_of(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of the last write of every file, and of every folder: of one that was made and
    removed again its folder tells."""
    found = {path: path.stat() for path in folder.rglob("*")}
    return {path: (status.st_size, status.st_mtime_ns) for path, status in found.items()}


@pytest.mark.parametrize("route", ROUTES)
def test_health_writes_nothing(tmp_path: Path, route: str) -> None:
    with running(FakeReader(), state=tmp_path) as client:
        assert client.post("/v1/studies", **study()).status_code == 200
        picture = client.get("/v1/studies").json()["studies"][0]["id"]
        assert client.get(f"/v1/studies/{picture}/images/0/mask.png").status_code == 200
        client.get("/readyz")
        before = files_of(tmp_path)
        for _ in range(20):
            assert client.get(route).status_code == 200
        assert files_of(tmp_path) == before


def test_health_is_told_while_the_audit_log_waits_for_the_disk(tmp_path: Path) -> None:
    with running(FakeReader(), state=tmp_path) as client:
        with (tmp_path / "audit.jsonl.lock").open("rb") as log:
            fcntl.flock(log, fcntl.LOCK_EX)  # as a write that does not end
            post = threading.Thread(
                target=lambda: httpx.post(client.base_url.join("/v1/studies"), **study())
            )
            post.start()
            until(lambda: len(client.get("/v1/studies").json()["studies"]) == 1)
            for route in ROUTES:
                assert client.get(route, timeout=5).status_code == 200
            assert post.is_alive()  # until the audit log has it, it is not answered
        post.join(60)


class Log(AuditLog):
    """On a disk that takes nothing while `full` is set."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.full = True

    def append(self, event: object) -> str:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().append(event)  # type: ignore[arg-type]


def test_events_that_the_disk_refused_are_said_and_written_when_it_takes_them(
    tmp_path: Path,
) -> None:
    log = Log(tmp_path / "audit.jsonl")
    audit = AuditWriter(log)

    async def healthy() -> bool:
        try:
            await audit.check()
        except StorageFailed:
            return False
        return True

    async def test() -> None:
        assert await healthy()
        await audit.sign_in_failed("10.0.0.9")
        for _ in range(3):
            assert not await healthy()
            await asyncio.sleep(0.01)
        log.full = False
        await eventually(healthy)
        assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == 1
        await audit.stopped()

    asyncio.run(test())


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1000):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


@pytest.mark.parametrize("error", [StorageFailed("locked"), StorageFull("full")])
def test_a_disk_that_cannot_be_written_is_found_without_a_request_and_said_until_it_can(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: StorageError,
) -> None:
    monkeypatch.setattr(study_queue, "RETENTION_S", 0.01)
    monkeypatch.setattr(study_queue, "RETRY_S", 0.01)
    retain, broken = Spool.retain, True

    def refuse(spool: Spool) -> object:
        if broken:
            raise error
        return retain(spool)

    async def test() -> None:
        nonlocal broken
        async with queue_at(tmp_path, ScriptedReader()) as queue:
            await opened(queue)
            monkeypatch.setattr(Spool, "retain", refuse)

            async def well() -> bool:
                return await queue.impediments() == {}

            async def ill() -> bool:
                return (await queue.impediments()).get("disk") is error

            await eventually(ill)
            broken = False
            await eventually(well)

    with caplog.at_level(logging.ERROR):
        asyncio.run(test())
    assert caplog.text.count("no studies can be removed") == 1


def test_a_study_that_the_disk_refuses_has_it_looked_at_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StorageFailed("input/output error")

    async def test(queue: StudyQueue) -> None:
        await opened(queue)
        monkeypatch.setattr(Spool, "accept", refuse)
        monkeypatch.setattr(Spool, "retain", refuse)
        assert await queue.impediments() == {}
        with pytest.raises(StorageFailed):
            await take(queue, "s")

        async def ill() -> bool:
            return "disk" in await queue.impediments()

        await eventually(ill)

    async def with_queue() -> None:
        async with queue_at(tmp_path, ScriptedReader()) as queue:
            await test(queue)
            monkeypatch.undo()

    asyncio.run(with_queue())


@pytest.mark.parametrize("route", ["/readyz", "/v2/health/ready"])
def test_a_folder_that_cannot_be_written_is_told(
    route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(FakeReader()) as client:
        monkeypatch.setattr("os.access", lambda *_: False)
        assert client.get(route).status_code == 503
        problem(client.get("/readyz"), 503, "storage_failed")
