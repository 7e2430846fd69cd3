"""Check results as a table for people, and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mammosono.appliance.doctor.check_result import CheckResult, State
from mammosono.appliance.output.document import SOFTWARE
from mammosono.appliance.output.printable import printable

_STYLE = {
    State.OK: "green",
    State.WARN: "bold yellow",
    State.FAIL: "bold red",
    State.NOTE: "cyan",
}
_WORST_FIRST = (State.FAIL, State.WARN, State.NOTE, State.OK)
_WIDEST = 110
"""Columns: a longer result is hard to follow back."""


def print_lines(console: Console, results: Sequence[CheckResult]) -> None:
    """As `print_results`, and a summary."""
    print_results(console, results)
    console.print()
    console.print(_summary(results), highlight=False)


def print_results(console: Console, results: Sequence[CheckResult]) -> None:
    """State, topic, observation and remedy of each check."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for result in results:
        words = Text(printable(result.observation, " "))
        if result.remedy:
            for row in result.remedy.splitlines():
                words.append("\n" + printable(row, " "), "dim")
        style = _STYLE[result.state]
        table.add_row(Text(result.state.value, style), Text(result.topic, "bold"), words)
    console.print(table, width=min(console.width, _WIDEST))


def lines_json(results: Sequence[CheckResult]) -> str:
    """`state` is that of the worst result; a note counts as ok."""
    document = {
        "software": SOFTWARE,
        "state": worst(results).value,
        "lines": [_document(result) for result in results],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _document(result: CheckResult) -> dict[str, str]:
    return {
        "topic": result.topic,
        "state": result.state.value,
        "said": result.observation,
        "remedy": result.remedy,
    }


def worst(results: Sequence[CheckResult]) -> State:
    """fail, warn or ok. The command ends with exit status 1 on fail."""
    states = {result.state for result in results}
    return next((state for state in (State.FAIL, State.WARN) if state in states), State.OK)


def _summary(results: Sequence[CheckResult]) -> Text:
    count = Counter(result.state for result in results)
    counted = ", ".join(f"{count[state]} {state.value}" for state in _WORST_FIRST if count[state])
    sentences = {
        State.OK: "This appliance is in order.",
        State.WARN: "This appliance is in order but for the warnings.",
        State.FAIL: "This appliance is not in order: mend the failures, from the top down.",
    }
    state = worst(results)
    return Text.assemble((f"{counted}.  ", "dim"), (sentences[state], _STYLE[state]))
