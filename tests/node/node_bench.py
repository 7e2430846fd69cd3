"""What the node's tests share: a node in this process or of its own, and real DICOM programs."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import _config

from mammosono.appliance.node import config as configuration
from mammosono.appliance.node.listener import Listener
from mammosono.appliance.node.reading import Write
from mammosono.appliance.node.service import NodeService

LOCAL = "127.0.0.1"
SENDER = {"ae_title": "MG1", "address": LOCAL}
NODE = "MAMMOSONO"
SUCCESS = "0x0000"

needs_dcmtk = pytest.mark.skipif(
    not (shutil.which("storescu") and shutil.which("echoscu")),
    reason="dcmtk is not installed; apt-get install dcmtk",
)


@contextlib.contextmanager
def library_kept() -> Iterator[None]:
    """What a listener changes of this process is as before."""
    folder, hook, stack = tempfile.tempdir, threading.excepthook, threading.stack_size()
    chunked = _config.STORE_RECV_CHUNKED_DATASET
    try:
        yield
    finally:
        tempfile.tempdir, threading.excepthook = folder, hook
        threading.stack_size(stack)
        _config.STORE_RECV_CHUNKED_DATASET = chunked


@dataclass
class Node:
    """A node in this process. Time in it passes as `tick` is called."""

    service: NodeService
    listener: Listener
    state: Path

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def held(self) -> list[Path]:
        return sorted((self.state / "node" / "held").glob("*/*.dcm"))

    @property
    def incoming(self) -> list[Path]:
        return sorted((self.state / "node" / "incoming").iterdir())

    def count(self, name: str, **labels: str) -> float:
        metric = f"mammosono_node_{name}"
        return self.service.metrics._registry.get_sample_value(metric, labels) or 0.0


@contextlib.contextmanager
def node(
    folder: Path,
    *,
    write: Write | None = None,
    take_back: Callable[[str], object] = lambda case: None,
    free_bytes: Callable[[], int] | None = None,
    **tables: Any,
) -> Iterator[Node]:
    """tables: of dicom.toml."""
    state = folder / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    given = {"port": 0, "sender": [SENDER], "keep": {"min_free_bytes": 0}, **tables}
    config = configuration.parse(given, folder)
    with library_kept():
        service = NodeService(
            config, state, write=write, take_back=take_back, free_bytes=free_bytes
        )
        try:
            with Listener(
                config, service.names, service, service.store.incoming, state
            ) as listener:
                yield Node(service, listener, state)
        finally:
            service.close()


def run(program: str, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=timeout, errors="replace"
    )


def echo(
    port: int, *options: str, calling: str = "MG1", called: str = NODE, timeout: float = 30
) -> bool:
    """Whether C-ECHO is answered."""
    try:
        done = run(
            "echoscu", "-aet", calling, "-aec", called, *options, LOCAL, str(port), timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def send(
    port: int, files: Sequence[Path], *options: str, calling: str = "MG1", called: str = NODE
) -> list[str]:
    """The statuses by which each was answered, in order, as storescu says them."""
    words = [str(file) for file in files]
    done = run(
        "storescu", "-v", "-R", "-nh", "-aet", calling, "-aec", called, *options, LOCAL, str(port),
        *words, timeout=300,
    )  # fmt: skip
    said = done.stdout + done.stderr
    lines = [line for line in said.splitlines() if "Received Store Response" in line]
    statuses = []
    for line in lines:
        inside = line.partition("(")[2].partition(")")[0]
        statuses.append("0x0000" if inside == "Success" else inside)
    return statuses


def saved(ds: Dataset, folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def connected(port: int, source: str = LOCAL) -> socket.socket:
    made = socket.socket()
    made.settimeout(20)
    made.bind((source, 0))
    made.connect((LOCAL, port))
    return made


def rss_mib(pid: int | None = None) -> float:
    status = Path(f"/proc/{pid or os.getpid()}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


PYTHON = sys.executable
