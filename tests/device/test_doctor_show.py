"""What is printed, for a person and for a program."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from mammosono.appliance.doctor.check_result import CheckResult, State, failed
from mammosono.appliance.doctor.show import lines_json, print_lines, worst
from mammosono.engines.errors import EngineUnavailable

WELL = CheckResult("Disk", State.OK, "11.0 GiB of 29.0 GiB")
NOTED = CheckResult("Clocks", State.NOTE, "not a Jetson")
WARNED = CheckResult("Power mode", State.WARN, "5W (mode 1)", "sudo nvpmodel -m 0")
FAILED = CheckResult(
    "Plans", State.FAIL, "trunk: another GPU", "mammosono-tools build-engine BUNDLE"
)


def printed(*lines: CheckResult, width: int = 80) -> list[str]:
    out = io.StringIO()
    print_lines(Console(file=out, width=width), lines)
    return [row.rstrip() for row in out.getvalue().splitlines()]


def test_state_first_then_topic_then_what_was_seen_and_the_remedy_beneath() -> None:
    rows = printed(WELL, WARNED)
    assert rows[0] == "ok    Disk        11.0 GiB of 29.0 GiB"
    assert rows[1] == "warn  Power mode  5W (mode 1)"
    assert rows[2] == "                  sudo nvpmodel -m 0"
    assert rows[3] == ""


def test_each_command_of_a_remedy_has_its_own_line() -> None:
    rows = printed(CheckResult("Swap", State.WARN, "none", "on the host:\nmkswap\nswapon"))
    assert [row.strip() for row in rows[1:4]] == ["on the host:", "mkswap", "swapon"]


@pytest.mark.parametrize(
    ("lines", "state", "words"),
    [
        ((WELL, NOTED), State.OK, "1 note, 1 ok.  This appliance is in order."),
        (
            (WELL, WARNED),
            State.WARN,
            "1 warn, 1 ok.  This appliance is in order but for the warnings.",
        ),
        (
            (WELL, WARNED, FAILED, FAILED),
            State.FAIL,
            "2 fail, 1 warn, 1 ok.  This appliance is not in order",
        ),
    ],
)
def test_the_summary_is_that_of_the_worst_line(
    lines: tuple[CheckResult, ...], state: State, words: str
) -> None:
    assert worst(lines) is state
    assert printed(*lines, width=100)[-1].startswith(words)


def test_nothing_that_a_driver_says_reaches_the_terminal_as_markup_or_control_code() -> None:
    rows = printed(CheckResult("GPU", State.FAIL, "[bold]a\x1b[31m\nb[/]", "[red]c"))
    assert rows[0] == "fail  GPU  [bold]a [31m b[/]"
    assert "[red]c" in rows[1]


def test_a_narrow_terminal_loses_nothing() -> None:
    words = "".join(printed(CheckResult("Swap", State.WARN, "X" * 90, "Y" * 90), width=40))
    assert words.count("X") == 90
    assert words.count("Y") == 90


def test_a_program_gets_the_same_lines_and_the_worst_state() -> None:
    document = json.loads(lines_json((WELL, FAILED)))
    assert document["state"] == "fail"
    assert document["software"].startswith("mammosono ")
    assert document["lines"][1] == {
        "topic": "Plans",
        "state": "fail",
        "said": "trunk: another GPU",
        "remedy": "mammosono-tools build-engine BUNDLE",
    }


def test_our_errors_bring_their_own_remedy() -> None:
    line = failed("Engine", EngineUnavailable("no plan for trunk; run: build-engine BUNDLE"))
    assert line == CheckResult(
        "Engine", State.FAIL, "no plan for trunk", "run: build-engine BUNDLE"
    )
    assert failed("Engine", EngineUnavailable("no plan")).remedy
