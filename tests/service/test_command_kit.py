"""What all commands share: one line on standard error, no control characters, quick help."""

from __future__ import annotations

import ast
import http.server
import io
import json
import logging
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import readings
import rich.console
import typer
from rich.table import Table
from rich.text import Text
from service_bench import png
from typer.testing import CliRunner

from mammosono.appliance.cli import app
from mammosono.appliance.commands import kit
from mammosono.appliance.output.terminal import print_reading
from mammosono.appliance.telemetry import logs
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


ROOT = Path(__file__).parents[2]
NASTY = "a\x1b[2J\x1b]0;title\x07\x9b31m\u202eb\rc"
"""Clears the screen, sets the title, a colour by the one-byte code, turns the writing round."""


def test_commands_print_through_the_kit_alone() -> None:
    kit_file = ROOT / "appliance" / "commands" / "kit.py"
    files = [*(ROOT / "appliance" / "commands").glob("*.py"), *(ROOT / "tools").rglob("*.py")]
    assert kit_file in files
    for file in files:
        if file == kit_file:
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            direct = {"typer.echo", "typer.secho", "click.echo", "print", "rich.print"}
            assert called not in direct, file
            if (
                isinstance(node, ast.ImportFrom)
                and node.module == "rich.console"
                and "commands" in str(file)
            ):
                assert "Console" not in {alias.name for alias in node.names}, file


@pytest.mark.parametrize("terminal", [True, False])
def test_whatever_a_console_prints_moves_no_cursor(terminal: bool) -> None:
    out = io.StringIO()
    console = kit.Console(file=out, force_terminal=terminal, color_system=None, width=200)
    table = Table("Name")
    table.add_row(NASTY)
    for shown in (NASTY, Text(NASTY), table):
        console.print(shown, highlight=False, markup=False)
    console.log(NASTY, markup=False)
    said = out.getvalue()
    assert "title" in said
    assert all(sign.isprintable() or sign == "\n" for sign in said)


def test_lines_and_documents_are_printed_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kit.say(f"one {NASTY}\ntwo")
    kit.say_json(json.dumps({"name": NASTY, "sign": "ü\U000e0001"}, ensure_ascii=False, indent=1))
    line, two, document = capsys.readouterr().out.split("\n", 2)
    assert line.isprintable()
    assert two == "two"
    assert all(row.isprintable() for row in document.splitlines())
    assert json.loads(document) == {"name": NASTY, "sign": "ü\U000e0001"}
    assert "ü" in document


def test_a_reading_whose_words_are_a_server_s_is_printed_as_lines() -> None:
    out = io.StringIO()
    pair = readings.pair()
    warned = replace(pair.images[0], warnings=(NASTY, "two\nlines"))
    model = replace(pair.model, name=NASTY)
    print_reading(
        rich.console.Console(file=out, width=300),
        NASTY,
        replace(pair, images=(warned, *pair.images[1:]), model=model),
    )
    said = out.getvalue()
    assert "! two?lines" in said
    assert all(sign.isprintable() or sign == "\n" for sign in said)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_log_line_is_one_line_without_control_characters(
    form: logs.LogFormat,
) -> None:
    lines = logs.TextLines(lambda: None) if form == "text" else logs.JsonLines(lambda: None)
    record = logging.LogRecord("x", logging.INFO, "f", 1, "%s\nsecond", (NASTY,), None)
    assert lines.format(record).isprintable()


class Refusing(http.server.BaseHTTPRequestHandler):
    """An appliance, or who took its place, whose refusal writes to the terminal."""

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        problem = {
            "type": "urn:mammosono:problem:corrupt_image", "title": NASTY, "status": 422,
            "detail": NASTY + "[/x]", "code": "corrupt_image",
        }  # fmt: skip
        body = json.dumps(problem).encode()
        self.send_response(422)
        self.send_header("Content-Type", "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_s_words_cannot_write_to_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        folder = tmp_path / "a\x1b]0;title\x07"
        folder.mkdir()
        for kind in ("mg", "us"):
            (folder / f"[bold]x\x1b[2J_{kind}.png").write_bytes(png(1))
        posted = CliRunner().invoke(app, ["post", "--url", url, "-m", str(next(folder.iterdir()))])

        def stop(_: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("mammosono.appliance.commands.workstation.time.sleep", stop)
        watched = CliRunner().invoke(app, ["watch", str(folder), "--url", url, "--settle", "0"])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert posted.exit_code == 2
    assert "31m" in posted.stderr
    assert "31m" in watched.stderr, watched.output
    assert "[bold]x" in watched.stderr
    for said in (posted.output, watched.output):
        assert all(sign.isprintable() or sign == "\n" for sign in said)
