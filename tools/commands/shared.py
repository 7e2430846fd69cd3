"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TRAINED_SOURCES = ("BUSI", "CBIS-DDSM")
"""The CC BY sources: the only ones that shipped weights may have seen."""

Index = Annotated[
    Path,
    typer.Option(
        "--data", metavar="INDEX", help="index.csv of the labelled images.", dir_okay=False
    ),
]
Sources = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="NAME", help="Use this source alone; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")]
