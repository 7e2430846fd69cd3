"""Kill -9 of `mammosono node run`: what was acknowledged is in the reading, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from node_bench import needs_dcmtk
from node_kills import kill_rounds
from orthanc import free_port

pytestmark = [needs_dcmtk, pytest.mark.slow]


def test_a_kill_at_any_moment_loses_nothing_and_has_nothing_read_twice(tmp_path: Path) -> None:
    """`python tests/node/node_kills.py` does it 100 times."""
    outcome = kill_rounds(tmp_path, 4, 7, free_port())
    log = (tmp_path / "node.log").read_text()
    assert outcome.problems == [], log[-3000:]
    assert outcome.rounds == 4
    assert "Muster" not in log
