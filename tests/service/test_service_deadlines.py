"""Nobody holds a request or a connection for longer than they should."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from service_bench import FakeReader, running, study, until
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mammosono.appliance.http import connection
from mammosono.appliance.http.deadlines import RequestDeadline

pytestmark = pytest.mark.slow


def run(app: ASGIApp, seconds: float) -> list[Message]:
    """What is sent for a request to `app` behind the deadline."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    asyncio.run(RequestDeadline(app, seconds)({"type": "http", "headers": []}, receive, send))
    return sent


def test_a_request_without_an_answer_is_given_up_with_503() -> None:
    left = []

    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(20)
        finally:
            left.append("cleaned up")

    start, body = run(stuck, 0.01)
    assert (start["status"], b"deadline_exceeded" in body["body"]) == (503, True)
    assert left == ["cleaned up"]


def test_an_answer_that_has_begun_may_go_on() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": b"late"})

    assert [message.get("body") for message in run(slow, 0.02)] == [None, b"late"]


def test_a_request_that_the_server_cancels_stays_cancelled() -> None:
    async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(cancelled, 60)


# -- the connection itself, over a real socket


def connect(client: httpx.Client) -> socket.socket:
    port = client.base_url.port
    assert port is not None
    opened = socket.create_connection((client.base_url.host, port), 60)
    opened.settimeout(30)
    return opened


def cut(opened: socket.socket) -> bool:
    """Whether the server ends the connection; what it sends before is read away."""
    try:
        while opened.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.3)
    monkeypatch.setattr(connection, "STALL_S", 0.3)


def trickle(opened: socket.socket, byte: bytes, end: Callable[[], bool]) -> float:
    """Send a byte at a time until the server has had enough; the seconds that took."""
    started = time.monotonic()
    while not end() and time.monotonic() < started + 30:
        try:
            opened.sendall(byte)
        except ConnectionError:
            break
        time.sleep(0.02)
    return time.monotonic() - started


def pour(opened: socket.socket, data: bytes) -> None:
    """Ask and never listen, for 20 seconds at most."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        opened.sendall(data)


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "],
    ids=["silent", "half a line", "half a head"],
)
def test_a_client_that_does_not_finish_its_head_is_cut_off(sent: bytes) -> None:
    with running(FakeReader()) as client, connect(client) as opened:
        opened.sendall(sent)
        assert cut(opened)


@pytest.mark.usefixtures("patience")
def test_a_head_that_trickles_gets_no_more_time_for_it() -> None:
    with running(FakeReader()) as client, connect(client) as opened:
        opened.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        assert trickle(opened, b"x", lambda: False) < 20


@pytest.mark.usefixtures("patience")
def test_a_second_request_has_as_long_for_its_head_as_the_first() -> None:
    get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with running(FakeReader()) as client, connect(client) as opened:
        for _ in range(3):
            opened.sendall(get[:20])
            time.sleep(0.1)
            opened.sendall(get[20:])
            answer = http.client.HTTPResponse(opened)
            answer.begin()
            assert (answer.status, answer.read()) == (200, b'{"status":"alive"}')
        opened.sendall(get[:20])
        assert cut(opened)


@pytest.mark.usefixtures("patience")
def test_a_body_that_nobody_asked_for_does_not_hold_the_connection() -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    with running(FakeReader()) as client, connect(client) as opened:
        opened.sendall(head)
        assert trickle(opened, b"x", lambda: False) < 20


@pytest.mark.usefixtures("patience")
def test_a_study_may_take_longer_than_its_head() -> None:
    reader = FakeReader()
    reader.gate.clear()
    with running(reader) as client:
        place = client.post("/v1/studies?wait=0.8", **study()).headers["location"]
        reader.gate.set()
        until(lambda: client.get(place).json()["status"] == "done")


@pytest.mark.usefixtures("patience")
def test_a_client_that_takes_no_answer_is_cut_off() -> None:
    with running(FakeReader()) as client:
        many = b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000
        with connect(client) as opened:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            opened.settimeout(20)
            with pytest.raises(ConnectionError):
                pour(opened, many)
        assert client.get("/healthz").status_code == 200


def test_a_client_that_has_ended_its_side_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "HALF_CLOSED_S", 0.3)
    with running(FakeReader()) as client, connect(client) as opened:
        opened.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert opened.recv(65536)
        opened.shutdown(socket.SHUT_WR)
        started = time.monotonic()
        assert cut(opened)
        assert time.monotonic() - started < 10  # a beat of the stream comes every 15


def test_who_watches_does_not_keep_the_appliance_from_stopping() -> None:
    heard: list[str] = []

    def watch(url: httpx.URL) -> None:
        with httpx.stream("GET", url, timeout=60) as stream:
            heard.extend(stream.iter_lines())

    with running(FakeReader()) as client:
        url = client.base_url.join("/v1/events")
        watching = threading.Thread(target=watch, args=(url,))
        watching.start()
        until(lambda: bool(heard))
        started = time.monotonic()
    assert time.monotonic() - started < 10
    watching.join(60)
    assert not watching.is_alive()
    assert heard[0] == ": listening"
