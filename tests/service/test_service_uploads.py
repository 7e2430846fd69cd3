"""Uploads that go slowly, of clients or of the disk, hold up no one else."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_bench import FakeReader, png, problem, running, study

from mammosono.appliance.errors import UploadTooSlow
from mammosono.appliance.http import form, pace, upload_slots
from mammosono.appliance.http.pace import paced
from mammosono.appliance.security import tokens
from mammosono.appliance.security.roles import Role
from mammosono.appliance.security.tokens import Tokens

SLOW, HONEST = "127.0.0.9", "127.0.0.2"


@contextlib.contextmanager
def trickling(client: httpx.Client, number: int, *headers: str) -> Iterator[None]:
    """So many uploads of one client, a byte every now and then; those that end are begun again."""
    head = (
        "POST /v1/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n" + "".join(headers) + "\r\n--b\r\n"
    ).encode()
    done = threading.Event()

    def begin() -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", client.base_url.port), 60, (SLOW, 0))
        opened.sendall(head)
        return opened

    sockets = [begin() for _ in range(number)]

    def trickle() -> None:
        while not done.wait(0.05):
            for place, opened in enumerate(sockets):
                try:
                    opened.sendall(b"C")
                except OSError:
                    opened.close()
                    sockets[place] = begin()

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    try:
        time.sleep(0.5)  # until they hold what they can get
        yield
    finally:
        done.set()
        thread.join(60)
        for opened in sockets:
            opened.close()


def posted(client: httpx.Client, **more: Any) -> float:
    """Seconds until a study of another client is taken."""
    url = client.base_url.join("/v1/studies?wait=0")
    transport = httpx.HTTPTransport(local_address=HONEST)
    with httpx.Client(transport=transport, timeout=60) as other:
        started = time.monotonic()
        assert other.post(url, **study(**more)).status_code == 202
        return time.monotonic() - started


@pytest.mark.parametrize("max_uploads", [2, 3, 4])
def test_eight_trickling_uploads_of_one_address_hold_up_no_other(max_uploads: int) -> None:
    with (
        running(FakeReader(), max_uploads=max_uploads) as client,
        trickling(client, 8),
    ):
        assert posted(client) < 2


def test_eight_trickling_uploads_of_one_token_hold_up_no_other(tmp_path: Path) -> None:
    held = Tokens(tmp_path / tokens.FILE)
    bearers = [f"Bearer {held.add(f'ward-{n}', [Role.WORKSTATION])}" for n in (1, 2)]
    with (
        running(FakeReader(), state=tmp_path) as client,
        trickling(client, 8, f"Authorization: {bearers[0]}\r\n"),
    ):
        assert posted(client, headers={"Authorization": bearers[1]}) < 2


def test_who_trickles_again_and_again_waits_behind_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "PATIENCE_S", 1.5)
    with running(FakeReader(), max_uploads=1) as client, trickling(client, 8):
        assert posted(client) < 4  # what is left to the one that holds the place


def test_a_trickle_is_cut_off_long_before_the_time_for_a_whole_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "PATIENCE_S", 0.5)

    head = (
        b"POST /v1/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
    )
    with running(FakeReader(), max_uploads=1) as client:
        with socket.create_connection(("127.0.0.1", client.base_url.port), 60) as opened:
            opened.sendall(head)
            opened.settimeout(0.1)
            received = b""
            end = time.monotonic() + 20
            while not received and time.monotonic() < end:
                opened.sendall(b"C")
                with contextlib.suppress(TimeoutError):
                    received = opened.recv(65536)
            assert received.startswith(b"HTTP/1.1 408 ")
        assert client.post("/v1/studies", **study()).status_code == 200


async def sent(*chunks: tuple[float, int]) -> AsyncIterator[bytes]:
    """Chunks of a client: seconds before each, and its bytes."""
    for seconds, size in chunks:
        await asyncio.sleep(seconds)
        yield bytes(size)


async def size_of(chunks: AsyncIterator[bytes], work_s: float = 0.0) -> int:
    size = 0
    async for chunk in paced(chunks):
        await asyncio.sleep(work_s)
        size += len(chunk)
    return size


def test_what_has_been_sent_buys_time_and_the_appliance_s_own_costs_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "PATIENCE_S", 0.3)
    quick, slow = (0.0, pace.LEAST_RATE), (0.5, 1)
    assert asyncio.run(size_of(sent(quick, slow))) == pace.LEAST_RATE + 1
    assert asyncio.run(size_of(sent(*[(0.0, 1)] * 4), work_s=0.2)) == 4
    with pytest.raises(UploadTooSlow, match="16 KiB a second"):
        asyncio.run(size_of(sent(slow)))
    with pytest.raises(UploadTooSlow):
        asyncio.run(size_of(sent(*[(0.1, 1)] * 10)))


# -- a disk that takes its time


class Disk:
    """Stands still between `stop` and `go`."""

    def __init__(self) -> None:
        self.moves, self.stopped = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.stopped.set()
        assert self.moves.wait(30)


def slow_hash(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hash:
        def __init__(self) -> None:
            self._hash = hashlib.sha256()
            self.hexdigest = self._hash.hexdigest

        def update(self, data: bytes) -> None:
            disk()
            self._hash.update(data)

    class Hashes:
        sha256 = Hash

    monkeypatch.setattr(form, "hashlib", Hashes)


def slow_folder(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    class Folder(tempfile.TemporaryDirectory[str]):
        def __init__(self, **more: Any) -> None:
            disk()
            super().__init__(**more)

    monkeypatch.setattr(upload_slots.tempfile, "TemporaryDirectory", Folder)


def slow_removal(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    class Folder(tempfile.TemporaryDirectory[str]):
        def cleanup(self) -> None:
            disk()
            super().cleanup()

    monkeypatch.setattr(upload_slots.tempfile, "TemporaryDirectory", Folder)


@pytest.mark.parametrize("slow", [slow_hash, slow_folder, slow_removal])
def test_while_the_disk_takes_its_time_over_an_upload_the_others_are_answered(
    slow: Callable[[Disk, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    with running(FakeReader()) as client:
        with monkeypatch.context() as patched:
            slow(disk, patched)
            status: list[int] = []
            post = threading.Thread(
                target=lambda: status.append(
                    httpx.post(client.base_url.join("/v1/studies"), **study()).status_code
                )
            )
            post.start()
            assert disk.stopped.wait(30)
            try:
                assert client.get("/healthz", timeout=5).status_code == 200
                assert status == []
            finally:
                disk.moves.set()
                post.join(60)
        assert status == [200]


def test_an_upload_whose_time_is_up_is_cleaned_up_after_its_last_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk = Disk()
    with running(FakeReader(), state=tmp_path, upload_s=0.3) as client:
        with monkeypatch.context() as patched:
            slow_hash(disk, patched)
            threading.Timer(1.0, disk.moves.set).start()
            files = [("mammogram", png(1))]
            problem(client.post("/v1/studies", files=files), 408, "upload_timeout")
            assert disk.moves.is_set()
        assert not list((tmp_path / "spool" / "incoming").iterdir())
