"""Kill -9 of `mammosono node run`: what was acknowledged is in the reading, once."""

from __future__ import annotations

import os
from pathlib import Path

import images
import pytest
from node_bench import LOCAL, NODE, needs_dcmtk, rss_mib, run, saved
from node_kills import Child, kill_rounds
from orthanc import free_port

pytestmark = [needs_dcmtk, pytest.mark.slow]


def test_a_kill_at_any_moment_loses_nothing_and_has_nothing_read_twice(tmp_path: Path) -> None:
    """`python tests/node/node_kills.py` does it 100 times."""
    outcome = kill_rounds(tmp_path, 4, 7, free_port())
    log = (tmp_path / "node.log").read_text()
    assert outcome.problems == [], log[-3000:]
    assert outcome.rounds == 4
    assert "Muster" not in log


def stored(port: int, file: Path, count: int) -> None:
    """So many new instances, in one association."""
    done = run("storescu", "--repeat", str(count), "+II", "-R", "-aet", "MG1", "-aec", NODE,
               LOCAL, str(port), str(file), timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_memory_and_open_files_do_not_grow_with_what_was_stored(tmp_path: Path) -> None:
    """An instance held costs its row in memory, some kilobytes, and nothing else."""
    child = Child(tmp_path / "state", "http://127.0.0.1:1", free_port())
    file = saved(images.ultrasound(), tmp_path, "still")
    child.start()
    try:
        assert child.process is not None
        stored(child.port, file, 100)
        before, files = rss_mib(child.process.pid), open_files(child.process.pid)
        stored(child.port, file, STORES)
        after = rss_mib(child.process.pid)
        assert after - before < 8 + STORES * 8 / 1024, (before, after)
        assert open_files(child.process.pid) <= files + 2
        held = list((child.state / "node" / "held").glob("*/*.dcm"))
        assert len(held) == STORES + 100
    finally:
        child.end()


STORES = 300


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
