"""Tables of text for the terminal and for Markdown, and plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date
from enum import Enum
from typing import Any, Literal

from rich import box
from rich.markup import escape
from rich.table import Table

Rows = list[list[str]]
"""The first row is the head."""


def terminal(
    rows: Rows, title: str = "", *, labels: int = 1, lines: Collection[int] = (), note: str = ""
) -> Table:
    """labels: how many columns hold words, set to the left; the others hold numbers.

    lines: rows above which a line is drawn, the head counting as row 0. note: below the table.
    """
    table = Table(
        title=escape(title) or None,
        title_justify="left",
        caption=escape(note) or None,
        box=box.SIMPLE_HEAD,
    )
    for k, head in enumerate(rows[0]):
        # Folded where the terminal is narrow: a cut number would be another number.
        justify: Literal["left", "right"] = "left" if k < labels else "right"
        table.add_column(escape(head), justify=justify, overflow="fold")
    for k, row in enumerate(rows[1:], start=1):
        if k in lines:
            table.add_section()
        table.add_row(*map(escape, row))
    return table


def markdown(rows: Rows, *, labels: int = 1) -> list[str]:
    """The lines of the table; labels as in `terminal`."""
    rule = ["---" if k < labels else "---:" for k, _ in enumerate(rows[0])]
    return ["| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:])]


def plain(value: Any) -> Any:
    """The value as JSON holds it: dataclasses as objects, enums by their value, a number that is
    not finite as None.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(item) for item in value]
    return value
