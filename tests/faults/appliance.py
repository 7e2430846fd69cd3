"""A real appliance: `mammosono serve` as a process, on a state folder that outlives it."""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx


class Appliance:
    """The service, its reader process and, if asked for, the worker that computes the network."""

    def __init__(
        self, state: Path, *, worker: bool, constants: Mapping[str, float] = {}, **settings: object
    ) -> None:
        """constants: of the appliance's modules, by dotted name, with other values: shorter pauses
        and deadlines."""
        self.state, self._constants = state, constants
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            **os.environ,
            "MAMMOSONO_STATE": str(state),
            "MAMMOSONO_PORT": str(self.port),
            "MAMMOSONO_THREADS": "1",
            "MAMMOSONO_RUNTIME": "onnxruntime",
            **{f"MAMMOSONO_{name.upper()}": str(value) for name, value in settings.items()},
        }
        if worker:
            self._environment["MAMMOSONO_WORKER_PYTHON"] = sys.executable
        self._process: subprocess.Popen[bytes] | None = None
        self._log = state.parent / "serve.log"

    def log_to(self, file: Path) -> None:
        self._log = file

    def start(self) -> None:
        """Returns once it answers."""
        lines = ["from mammosono.appliance.cli import main"]
        for name, value in self._constants.items():
            module, _, constant = f"mammosono.appliance.{name}".rpartition(".")
            lines += [f"import {module} as module", f"module.{constant} = {value}"]
        command = [sys.executable, "-c", "\n".join([*lines, "main()"]), "serve"]
        log = self._log.open("ab")
        self._process = subprocess.Popen(command, env=self._environment, stderr=log)
        log.close()
        self.until(lambda: self._gone() or self.answers("/healthz"))
        assert not self._gone(), self._log.read_text()[-500:]

    def _gone(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def answers(self, path: str) -> bool:
        """Whether it is answered 200 now."""
        try:
            return httpx.get(self.url + path, timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def until_ready(self) -> None:
        self.until(lambda: self.answers("/readyz"))

    def until(self, condition: object, seconds: float = 120.0) -> None:
        assert callable(condition)
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)

    def count(self, status: str) -> int:
        """Studies of that status, by a look at the database itself."""
        database = sqlite3.connect(self.state / "spool" / "studies.db", timeout=30)
        query = "SELECT count(*) FROM studies WHERE status = ?"
        found = int(database.execute(query, (status,)).fetchone()[0])
        database.close()
        return found

    @property
    def web(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pids(self) -> dict[str, int]:
        """Of those of web, reader and worker that live."""
        found = {"web": self.web} if alive(self.web) else {}
        for name, module in (
            ("reader", b"mammosono.appliance.studies.reader_process"),
            ("worker", b"mammosono.engines.worker"),
        ):
            for pid in descendants(self.web):
                if module in command_of(pid):
                    found[name] = pid
        return found

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        if pid == self.web:
            assert self._process is not None
            self._process.wait()

    def end(self) -> None:
        """Whatever happened: nothing of it is left running."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> tuple[int, float]:
        """SIGTERM; exit status and seconds until it was gone."""
        assert self._process is not None
        started = time.monotonic()
        self._process.terminate()
        return self._process.wait(120), time.monotonic() - started


def descendants(pid: int) -> list[int]:
    """Processes below `pid`, by what /proc tells."""
    below: list[int] = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        lists = [Path(f"/proc/{pid}/task/{task}/children").read_text() for task in tasks]
    except OSError:  # gone meanwhile
        return below
    for child in map(int, " ".join(lists).split()):
        below += [child, *descendants(child)]
    return below


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def rss_mib(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _free_port() -> int:
    """Below the ports that the kernel gives to clients: a client that asks for an appliance that is
    away would sooner or later be connected to itself, and keep it from its own port."""
    for port in random.sample(range(20_000, 30_000), 100):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise OSError("no free port")
