"""Check results as a table for people, and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mammosono.appliance.commands.kit import printable
from mammosono.appliance.doctor.check_result import CheckResult, State
from mammosono.appliance.output.document import SOFTWARE

_STYLE = {
    State.OK: "green",
    State.WARN: "bold yellow",
    State.FAIL: "bold red",
    State.NOTE: "cyan",
}
_WORST_FIRST = (State.FAIL, State.WARN, State.NOTE, State.OK)
_WIDEST = 110
"""Columns: a longer line is hard to follow back."""


def print_lines(console: Console, lines: Sequence[CheckResult]) -> None:
    """State, topic, observation and remedy of each check, and a summary."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for line in lines:
        words = Text(printable(line.said, " "))
        if line.remedy:
            for row in line.remedy.splitlines():
                words.append("\n" + printable(row, " "), "dim")
        style = _STYLE[line.state]
        table.add_row(Text(line.state.value, style), Text(line.topic, "bold"), words)
    console.print(table, width=min(console.width, _WIDEST))
    console.print()
    console.print(_summary(lines), highlight=False)


def lines_json(lines: Sequence[CheckResult]) -> str:
    """`state` is that of the worst line; a note counts as ok."""
    document = {
        "software": SOFTWARE,
        "state": worst(lines).value,
        "lines": [asdict(line) for line in lines],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def worst(lines: Sequence[CheckResult]) -> State:
    """fail, warn or ok. The command ends with exit status 1 on fail."""
    states = {line.state for line in lines}
    return next((state for state in (State.FAIL, State.WARN) if state in states), State.OK)


def _summary(lines: Sequence[CheckResult]) -> Text:
    count = Counter(line.state for line in lines)
    counted = ", ".join(f"{count[state]} {state.value}" for state in _WORST_FIRST if count[state])
    said = {
        State.OK: "This appliance is in order.",
        State.WARN: "This appliance is in order but for the warnings.",
        State.FAIL: "This appliance is not in order: mend the failures, from the top down.",
    }
    state = worst(lines)
    return Text.assemble((f"{counted}.  ", "dim"), (said[state], _STYLE[state]))
