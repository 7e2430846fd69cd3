"""One address opens all the connections that it can: the others are answered as if it were not."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_bench import FakeReader, running, until

from mammosono.appliance.http import server
from mammosono.appliance.http.listener import most_connections
from mammosono.appliance.http.places import Places
from mammosono.appliance.security.clients import client_of
from mammosono.appliance.security.exposure import StartRefused

CROWD, HONEST = "127.0.0.9", "127.0.0.2"

clients = st.sampled_from([f"10.0.0.{n}" for n in range(30)])


@given(st.integers(1, 40), st.floats(0.05, 1), st.lists(st.tuples(clients, st.booleans())))
def test_a_client_without_a_place_gets_one_as_long_as_any_is_free(
    total: int, share: float, steps: list[tuple[str, bool]]
) -> None:
    places, held = Places(total, share), dict[str, int]()
    for client, comes in steps:
        mine, taken = held.get(client, 0), sum(held.values())
        if comes:
            got = places.take(client)
            assert not got or taken < total
            assert got or mine or taken == total
            held[client] = mine + got
        elif mine:
            places.leave(client)
            held[client] = mine - 1
        assert places.held(client) == held.get(client, 0)


def greed(places: Places, client: str) -> int:
    """How many places a client gets that takes all it can."""
    return sum(1 for _ in range(10_000) if places.take(client))


def test_one_client_gets_its_share_and_the_next_as_large_a_share_of_the_rest() -> None:
    places = Places(512, 0.25)
    assert [greed(places, client) for client in "abc"] == [128, 96, 72]
    assert greed(places, "a") == 0


def test_with_a_share_of_one_a_proxy_may_have_all() -> None:
    assert greed(Places(512, 1), "proxy") == 512


def test_what_counts_as_one_client_is_a_machine() -> None:
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff") != client_of("2001:db8:0:1::1")
    assert client_of("fe80::1%eth0") == client_of("fe80::2%eth0")
    assert client_of("::ffff:10.0.0.1") == client_of("10.0.0.1") != client_of("10.0.0.2")


# -- over real sockets


class Crowd:
    """Connections of one address on which nothing is sent; those that are cut are opened again."""

    def __init__(self, port: int, number: int) -> None:
        self._port = port
        self._sockets = [self._open() for _ in range(number)]
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._come_back, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        self._leaving.set()
        self._thread.join(60)
        for opened in self._sockets:
            opened.close()

    def _open(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), 60, (CROWD, 0))

    def _come_back(self) -> None:
        place = 0
        while not self._leaving.wait(0.001):
            place = (place + 1) % len(self._sockets)
            if cut(self._sockets[place], 0):
                self._sockets[place].close()
                self._sockets[place] = self._open()


@contextlib.contextmanager
def crowd(port: int, number: int) -> Iterator[None]:
    all_of_them = Crowd(port, number)
    try:
        yield
    finally:
        all_of_them.leave()


def cut(opened: socket.socket, seconds: float) -> bool:
    """Whether the server has ended the connection, or does within that time."""
    opened.settimeout(seconds)
    try:
        return opened.recv(1) == b""
    except (TimeoutError, BlockingIOError):
        return False
    except ConnectionError:
        return True


def waits(url: str, trust: ssl.SSLContext | bool = True) -> list[float]:
    """Seconds of ten requests of another address, each on a connection of its own."""
    seconds = []
    for _ in range(10):
        transport = httpx.HTTPTransport(verify=trust, local_address=HONEST)
        started = time.monotonic()
        with httpx.Client(transport=transport, timeout=2) as client:
            assert client.get(url + "/healthz").status_code == 200
        seconds.append(time.monotonic() - started)
    return seconds


def test_520_idle_connections_of_one_address_shut_out_no_other() -> None:
    with running(FakeReader()) as client:
        port = client.base_url.port
        assert port is not None
        with crowd(port, 520):
            assert max(waits(f"http://127.0.0.1:{port}")) < 2


@contextlib.contextmanager
def process(state: Path, files: int, **settings: object) -> Iterator[int]:
    """The port of `mammosono serve`, a process that may open so many files. It has no model."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    given = {"state": state, "bundle": state, "port": port} | settings
    environment = {f"MAMMOSONO_{name.upper()}": str(value) for name, value in given.items()}
    with (state.parent / "log").open("wb") as log:
        serving = subprocess.Popen(
            [sys.executable, "-c", "from mammosono.appliance.cli import main; main()", "serve"],
            env={**os.environ, **environment},
            stderr=log,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)),
        )
    try:
        until(lambda: answers(port) or serving.poll() is not None)
        yield port
    finally:
        serving.terminate()
        serving.wait(60)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 60, (HONEST, 0)).close()
    except ConnectionError:
        return False
    return True


@pytest.mark.slow
def test_700_connections_that_never_begin_their_tls_handshake_shut_out_no_other(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    with process(state, 600, tls="on") as port:
        until((state / "tls" / "certificate.pem").exists)
        trust = ssl.create_default_context(cafile=state / "tls" / "certificate.pem")
        with crowd(port, 700):
            assert max(waits(f"https://localhost:{port}", trust)) < 2
    assert "out of system resource" not in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_a_tls_handshake_that_is_not_finished_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HANDSHAKE_S", 0.5)
    with running(FakeReader(), ready=False, state=tmp_path, tls="on") as client:
        port = client.base_url.port
        with socket.create_connection(("127.0.0.1", port), 60) as opened:
            opened.sendall(b"\x16\x03\x01\x02\x00")  # half a ClientHello
            assert cut(opened, 30)


def test_one_connection_too_many_is_cut_and_the_others_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "most_connections", lambda: 4)
    with running(FakeReader(), ready=False, connection_share=1) as client:
        port = client.base_url.port
        until(lambda: client.get("/readyz").status_code == 200)
        others = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(3)]
        with socket.create_connection(("127.0.0.1", port), 60) as one_too_many:
            started = time.monotonic()
            assert cut(one_too_many, 60)
            # At once, and not when the deadline for its head has passed.
            assert time.monotonic() - started < server.HANDSHAKE_S / 2
        assert client.get("/healthz").status_code == 200
        assert not any(cut(each, 0) for each in others)
        for each in others:
            each.close()
        until(lambda: httpx.get(client.base_url.join("/healthz")).status_code == 200)


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limit of files: the last is the one that holds."""
    held = [(1024, 4096)]
    monkeypatch.setattr("resource.getrlimit", lambda _: held[-1])
    monkeypatch.setattr("resource.setrlimit", lambda _, limit: held.append(limit))
    return held


@pytest.mark.parametrize(
    ("limit", "raised_to", "connections"),
    [
        ((1024, 4096), (1152, 4096), 512),
        ((1024, -1), (1152, -1), 512),
        ((20_000, 20_000), (20_000, 20_000), 512),
        ((-1, -1), (-1, -1), 512),
        ((256, 600), (600, 600), 236),
        ((600, 600), (600, 600), 236),
    ],
)
def test_there_are_no_more_connections_than_files_for_them(
    limits: list[tuple[int, int]],
    limit: tuple[int, int],
    raised_to: tuple[int, int],
    connections: int,
) -> None:
    limits.append(limit)
    assert most_connections() == connections
    assert limits[-1] == raised_to


def test_a_process_that_may_open_next_to_no_files_does_not_start(
    limits: list[tuple[int, int]],
) -> None:
    limits.append((128, 128))
    with pytest.raises(StartRefused, match="ulimit -n"):
        most_connections()
