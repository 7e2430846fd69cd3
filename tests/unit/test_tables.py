"""Tables of text and plain values: what every offline command prints with."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from datetime import date

from rich.console import Console

from mammosono.appliance.values import Modality
from mammosono.tools.tables import markdown, plain, terminal

ROWS = [["set [n]", "label", "AUC"], ["a [b]", "x", "0.913"], ["total", "y", "0.5"]]


@dataclass(frozen=True, slots=True)
class Group:
    day: date
    rates: tuple[float, ...]
    by_modality: dict[Modality, float]


def printed(width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(terminal(ROWS, "Title [1]", labels=2, lines=[2], note="Note [2]"))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_brackets_in_a_table_are_text_and_no_markup() -> None:
    text = "\n".join(printed(80))
    assert all(each in text for each in ("Title [1]", "Note [2]", "set [n]", "a [b]"))


def test_words_stand_left_numbers_right_and_a_line_above_the_row_asked_for() -> None:
    lines = printed(80)
    head, first, last = (
        next(line for line in lines if word in line) for word in ("AUC", "a [", "y")
    )
    assert first.index("x") == head.index("label") == last.index("y")
    assert len(first) == len(last) == len(head)
    assert lines.index(last) == lines.index(first) + 2


def test_a_narrow_terminal_wraps_a_table_and_loses_no_digit() -> None:
    text = "".join(printed(16))
    assert "…" not in text
    assert all(text.count(digit) == 1 for digit in "93")


def test_markdown_sets_words_left_and_numbers_right() -> None:
    assert markdown(ROWS[:2], labels=2) == [
        "| set [n] | label | AUC |",
        "| --- | --- | ---: |",
        "| a [b] | x | 0.913 |",
    ]


def test_plain_values_are_what_json_holds_and_what_is_not_finite_is_null() -> None:
    group = Group(date(2026, 1, 2), (0.5, math.nan, math.inf), {Modality.MG: 1.0})
    assert json.loads(json.dumps(plain(group), allow_nan=False)) == {
        "day": "2026-01-02",
        "rates": [0.5, None, None],
        "by_modality": {"MG": 1.0},
    }
