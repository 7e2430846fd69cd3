"""systemd/watch_container.py run for real, with a service to watch and a socket for systemd."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from systemd_units import SYSTEMD

from mammosono.appliance.security.tls import server_context
from mammosono.appliance.settings import Settings

pytestmark = pytest.mark.slow

WATCHER = SYSTEMD / "watch_container.py"
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
NOT_READY = json.dumps({"status": 503, "detail": "No engines;\nrun: build-engine"})


class Service:
    """Answers as told: `health` and `ready` are a status and a body. tls: by HTTPS."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.health = (200, "{}")
        self.ready = (200, "{}")
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = service.health if self.path == "/healthz" else service.ready
                self.send_response(status)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)


@contextmanager
def answering(tls: ssl.SSLContext | None = None) -> Iterator[Service]:
    service = Service(tls)
    thread = threading.Thread(target=service.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield service
    finally:
        service.server.shutdown()
        thread.join()
        service.server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    with answering() as service:
        yield service


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """Where the watcher's messages arrive."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(60)
        yield receiver


def python36() -> str | None:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in (shutil.which("python3.6"), *map(str, pyenv.glob("versions/3.6*/bin/python"))):
        if found and subprocess.run([found, "-V"], capture_output=True).returncode == 0:
            return found
    return None


@contextmanager
def watching(
    port: int,
    command: list[str],
    systemd: socket.socket | None = None,
    python: str = sys.executable,
    tls: str = "off",
) -> Iterator[subprocess.Popen[bytes]]:
    """The watcher as systemd starts it, with a watchdog of 0.4 s."""
    path = os.environ["PATH"]
    environment = {"PATH": path, "WATCHDOG_USEC": "400000", "MAMMOSONO_TLS": tls}
    if systemd is not None:
        environment["NOTIFY_SOCKET"] = systemd.getsockname()
    arguments = [python, "-I", str(WATCHER), "127.0.0.1", str(port), *command]
    watcher = subprocess.Popen(arguments, env=environment)
    try:
        yield watcher
    finally:
        if watcher.poll() is None:
            watcher.terminate()
        watcher.wait(60)


def get_request_quietly(get_request: Any) -> Any:
    """A handshake that fails is nobody's request."""

    def quietly(server: HTTPServer) -> Any:
        try:
            return get_request(server)
        except ssl.SSLError as error:
            raise OSError(str(error)) from None

    return quietly


def message(systemd: socket.socket) -> list[str]:
    return systemd.recv(4096).decode().split("\n")


@pytest.mark.parametrize("python", [sys.executable, python36()], ids=["this Python", "Python 3.6"])
def test_systemd_hears_that_the_service_is_ready_and_that_it_lives(
    service: Service, systemd: socket.socket, python: str | None
) -> None:
    if python is None:
        pytest.skip("no Python 3.6 that starts on this machine")
    with watching(service.port, SLEEP, systemd, python):
        for _ in range(3):
            assert message(systemd) == ["READY=1", "WATCHDOG=1", "STATUS=ready"]


@pytest.mark.parametrize("python", [sys.executable, python36()], ids=["this Python", "Python 3.6"])
def test_a_service_with_tls_is_heard_whoever_signed_its_certificate(
    tmp_path: Path, systemd: socket.socket, python: str | None
) -> None:
    if python is None:
        pytest.skip("no Python 3.6 that starts on this machine")
    context = server_context(Settings(state=tmp_path, tls="on"))
    with answering(context) as service, watching(service.port, SLEEP, systemd, python, tls="auto"):
        assert message(systemd) == ["READY=1", "WATCHDOG=1", "STATUS=ready"]


@pytest.mark.parametrize("python", [sys.executable, python36()], ids=["this Python", "Python 3.6"])
def test_a_service_that_asks_its_clients_for_a_certificate_lives(
    tmp_path: Path, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch, python: str | None
) -> None:
    if python is None:
        pytest.skip("no Python 3.6 that starts on this machine")
    context = server_context(Settings(state=tmp_path, tls="on"))
    context.verify_mode = ssl.CERT_REQUIRED
    # The handshake is the client's first failure, and on a thread of its own the server's.
    monkeypatch.setattr(HTTPServer, "get_request", get_request_quietly(HTTPServer.get_request))
    with answering(context) as service, watching(service.port, SLEEP, systemd, python, tls="auto"):
        # Some of the refusals come before the request is out, and others after.
        for _ in range(20):
            ready, alive, status = message(systemd)
            assert [ready, alive] == ["READY=1", "WATCHDOG=1"]
            assert "client certificate" in status


def test_a_service_that_speaks_no_tls_where_it_should_is_not_alive(
    module: ModuleType, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMMOSONO_TLS", "auto")
    monkeypatch.setattr(module, "ANSWER_S", 1.0)
    assert not module.look("127.0.0.1", service.port)[0]


def test_a_service_that_lives_and_cannot_read_is_left_alone_and_its_reason_shown(
    service: Service, systemd: socket.socket
) -> None:
    service.ready = (503, NOT_READY)
    with watching(service.port, SLEEP, systemd):
        assert message(systemd) == [
            "READY=1",
            "WATCHDOG=1",
            "STATUS=not ready: No engines; run: build-engine",
        ]


def test_a_service_that_stops_answering_is_not_vouched_for(
    service: Service, systemd: socket.socket
) -> None:
    with watching(service.port, SLEEP, systemd):
        assert "WATCHDOG=1" in message(systemd)
        service.health = (500, "")
        deadline = time.monotonic() + 60
        while (got := message(systemd)) != ["STATUS=/healthz: 500"]:
            assert time.monotonic() < deadline, got
        assert message(systemd) == ["STATUS=/healthz: 500"]


def test_nobody_is_told_ready_before_the_service_answers(
    free_port: int, systemd: socket.socket
) -> None:
    with watching(free_port, SLEEP, systemd):
        (only,) = message(systemd)
        assert only.startswith("STATUS=/healthz: ")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_to_the_container_and_its_exit_status_passed_back(
    free_port: int, tmp_path: Path, sent: signal.Signals
) -> None:
    up = tmp_path / "up"
    hold = f"""if True:
        import pathlib, signal, sys
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: sys.exit(number + 40))
        pathlib.Path({str(up)!r}).touch()
        while True:
            signal.pause()"""
    with watching(free_port, [sys.executable, "-c", hold]) as watcher:
        while not up.exists():
            time.sleep(0.01)
        watcher.send_signal(sent)
        assert watcher.wait(60) == sent + 40


def test_a_container_that_ends_ends_the_watcher_at_once(free_port: int) -> None:
    with watching(free_port, [sys.executable, "-c", "raise SystemExit(7)"]) as watcher:
        assert watcher.wait(60) == 7


def test_a_killed_client_is_told_as_a_shell_would(free_port: int) -> None:
    killed = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    with watching(free_port, killed) as watcher:
        assert watcher.wait(60) == 128 + 9


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("watch_container", WATCHER)
    assert spec is not None
    assert spec.loader is not None
    monkeypatch.setenv("MAMMOSONO_TLS", "off")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_service_that_takes_the_connection_and_says_nothing_is_not_alive(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        alive, text = module.look("127.0.0.1", silent.getsockname()[1])
    assert not alive
    assert text == "/healthz: timed out"


def test_the_address_of_every_network_reaches_this_machine(
    module: ModuleType, service: Service
) -> None:
    assert module.look("0.0.0.0", service.port) == (True, "ready")


@pytest.mark.parametrize("body", ["", "<html>", "[]", "{}", '"detail"', "null"])
def test_an_answer_that_is_no_problem_document_is_told_by_its_status(
    module: ModuleType, body: str
) -> None:
    assert module.reason(503, body) == "/readyz: 503"


def test_the_watcher_runs_under_the_system_s_python() -> None:
    options = ["-t=3.6-", "--no-tips", "--violations", "--eval-annotations", str(WATCHER)]
    start = "import vermin; vermin.main()"
    done = subprocess.run([sys.executable, "-c", start, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
