"""examples/own_data.sh runs as written: from an index to a bundle that reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")

SCRIPT = Path(__file__).parents[2] / "examples" / "own_data.sh"


def test_own_data_end_to_end(tmp_path: Path) -> None:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", SCRIPT, tmp_path],
        env={**os.environ, "PATH": programs, "EPOCHS": "1", "SIZE": "128x96"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "demo" / "result.json").is_file()
    assert "model compact" in done.stdout
