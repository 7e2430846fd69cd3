"""What all commands share: one line on standard error, no control characters, quick help."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from mammosono.appliance.cli import app
from mammosono.appliance.commands import kit
from mammosono.tools import console

HEAVY = {"cv2", "numpy", "fastapi", "pydantic", "pydicom", "onnxruntime", "httpx", "cryptography"}


def test_a_refusal_is_one_line_with_name_and_code_and_ends_with_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for arguments, line in (
        (("no room", "full", "a.png"), "error: a.png: no room (full)\n"),
        (("no room",), "error: no room\n"),
        (("two\nlines \x1b[31m", "x"), "error: two?lines ?[31m (x)\n"),
    ):
        with pytest.raises(typer.Exit) as ended:
            kit.fail(*arguments)
        assert ended.value.exit_code == 2
        assert capsys.readouterr() == ("", line)


def test_the_offline_commands_refuse_by_the_same_function() -> None:
    assert console.fail is kit.fail


def test_a_file_s_name_cannot_write_to_the_terminal() -> None:
    name = "a\x1b]0;title\x07\n.png"
    for command in (["post", "--url", "http://127.0.0.1:9"], ["read"]):
        result = CliRunner().invoke(app, [*command, "--mammogram", name])
        assert result.exit_code == 2
        assert result.stderr.rstrip("\n").isprintable()
        assert "a?]0;title??.png" in result.stderr


def test_a_setting_that_does_not_fit_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAMMOSONO_PORT", "many")
    assert kit.settings(port=7).port == 7
    assert kit.settings(port=7, host=None).host == "127.0.0.1"
    with pytest.raises(typer.Exit):
        kit.settings()
    assert capsys.readouterr().err.startswith("error: port: ")


def test_the_help_loads_no_large_library() -> None:
    code = f"import sys, mammosono.appliance.cli; print(*({HEAVY} & set(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "\n"
