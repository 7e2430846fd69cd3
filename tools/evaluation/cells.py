"""Figures as text, and rows of text as tables of Markdown or the terminal."""

from __future__ import annotations

import math

from rich.table import Table

from mammosono.tools.evaluation.bootstrap import Estimate

Rows = list[list[str]]
"""The first row is the head, the first column names what follows."""


def cell(estimate: Estimate) -> str:
    """Value and interval, as 0.714 (0.60 to 0.82); "-" where undefined."""
    if math.isnan(estimate.value):
        return "-"
    return f"{estimate.value:.3f} ({_short(estimate.low)} to {_short(estimate.high)})"


def number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def markdown(rows: Rows) -> list[str]:
    rule = ["---", *("---:" for _ in rows[0][1:])]
    return ["| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:])]


def terminal(rows: Rows) -> Table:
    table = Table()
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if i else "left")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
