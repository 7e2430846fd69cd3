"""build-engine at a terminal: what it starts, what it shows, how it refuses."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_graphs import write_bundle

from mammosono.engines.bundle import Bundle
from mammosono.tools.export.build_engine import BuildFailed, activity, build_engine, lasting_line

EVENTS: list[dict[str, Any]] = [
    {"event": "stage", "stage": "trunk", "precision": "fp16", "number": 1, "of": 1},
    {"event": "progress", "stage": "trunk", "timed": 7, "layer": "/stem/Conv"},
    {"event": "built", "stage": "trunk", "precision": "fp16", "log": ["9 s", "1 warnings"]},
    {"event": "trial", "stages": 1},
    {"event": "trying", "stage": "trunk"},
    {"event": "verdict", "stage": "trunk", "figures": {"masks.mean": 0.00123}, "reason": ""},
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


def python(folder: Path, *lines: str) -> Path:
    """A "Python" that notes how it was started, and then does this."""
    script = folder / "python3.6"
    note = f"printf '%s\\n' \"$@\" > {folder}/arguments; env > {folder}/environment"
    script.write_text("\n".join(("#!/bin/sh", note, *lines)))
    script.chmod(0o755)
    return script


def says(*events: dict[str, Any]) -> str:
    return "\n".join(f"echo '{json.dumps(event)}'" for event in events)


def run(bundle: Bundle, folder: Path, *lines: str, **options: Any) -> str:
    """What stands on the console of somebody who is not at a terminal."""
    console = Console(file=io.StringIO(), width=120)
    options.setdefault("python", python(folder, *lines))
    try:
        build_engine(Path(bundle.folder), console, plans=folder / "plans", **options)
    finally:
        shown = console.file.getvalue()  # type: ignore[attr-defined]
    return str(shown)


def refused(bundle: Bundle, folder: Path, *lines: str, **options: Any) -> str:
    with pytest.raises(BuildFailed) as raised:
        run(bundle, folder, *lines, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_devices_python_is_started_with_what_was_asked_for(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/another/python")
    run(bundle, tmp_path, workspace_mb=128, precision="fp32")
    arguments = (tmp_path / "arguments").read_text().splitlines()
    at = arguments.index("mammosono.engines.trt.build")
    assert arguments[at + 1 :] == [
        bundle.folder, "--plans", f"{tmp_path}/plans", "--precision", "fp32",
        "--workspace-mb", "128",
    ]  # fmt: skip
    assert "/of/another/python" not in (tmp_path / "environment").read_text()


def test_what_was_built_and_how_good_it_is_stays_on_the_screen(
    bundle: Bundle, tmp_path: Path
) -> None:
    shown = run(bundle, tmp_path, says(*EVENTS), "echo a library of its own words")
    assert "trunk: built, fp16, 9 s; 1 warnings" in shown
    assert "trunk: good; masks.mean 0.00123" in shown
    assert f"Plans: {tmp_path}/plans" in shown
    assert "own words" not in shown


def test_what_is_being_done_is_said() -> None:
    assert [now for event in EVENTS if (now := activity(event))] == [
        "trunk, fp16, 1 of 1",
        "trunk: 7 kernels timed, now /stem/Conv",
        "trying the plans",
        "trying trunk",
    ]


def test_a_stage_that_is_built_again_is_said_with_the_reason() -> None:
    failed = {"event": "verdict", "stage": "heads", "figures": {}, "reason": "NaN"}
    assert lasting_line(failed) == "heads: not good; NaN"
    again = {"event": "fallback", "stage": "heads", "precision": "fp32", "reason": "NaN"}
    assert lasting_line(again) == "heads: to be built again, fp32"


def test_a_failure_is_one_line_after_the_end_of_the_log(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    log = tmp_path / "plans" / "build.log"
    lines = f"seq -f 'line %g' 40 > {log}"
    error = says({"event": "error", "message": "stage trunk: memory ran out; add swap"})
    console = Console(file=io.StringIO(), width=120)
    with pytest.raises(BuildFailed, match=r"^stage trunk: memory ran out; add swap$"):
        build_engine(
            Path(bundle.folder), console, python=python(tmp_path, lines, error, "exit 2"),
            plans=tmp_path / "plans",
        )  # fmt: skip
    shown = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.strip() for line in shown if line.strip()] == [f"line {n}" for n in range(29, 41)]


def test_the_log_of_an_earlier_build_is_not_shown_for_this_one(
    bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "build.log").write_text("of the build before\n")
    console = Console(file=io.StringIO())
    held = says({"event": "error", "message": "the service holds the device; stop it"})
    with pytest.raises(BuildFailed, match="the service holds the device"):
        build_engine(
            Path(bundle.folder), console, python=python(tmp_path, held, "exit 2"),
            plans=tmp_path / "plans",
        )  # fmt: skip
    assert "before" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_python_that_does_not_get_that_far_is_refused_with_its_last_words(
    bundle: Bundle, tmp_path: Path
) -> None:
    text = refused(
        bundle, tmp_path, "echo \"ModuleNotFoundError: No module named 'numpy'\" >&2", "exit 1"
    )
    assert "the build ended with status 1 (ModuleNotFoundError: No module named 'numpy')" in text
    assert "--python" in text


def test_a_python_that_is_not_there_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    text = refused(bundle, tmp_path, python=tmp_path / "python3.5")
    assert text.startswith("the worker's Python cannot be started (No such file or directory)")


def test_a_python_without_tensorrt_is_refused_by_its_own_reason(
    bundle: Bundle, tmp_path: Path
) -> None:
    assert "TensorRT's module" in refused(bundle, tmp_path, python=None)


def test_the_command_needs_no_torch() -> None:
    ask = "import sys, mammosono.tools.export.build_engine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", ask], env=os.environ).returncode == 0
