"""`evaluate`."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tools.commands.shared import Index, Sources
from tools.console import bar, refusals


class Split(str, Enum):
    train = "train"
    val = "val"
    test = "test"


def evaluate(
    bundle: Annotated[Path, typer.Option(metavar="BUNDLE", help="Bundle folder to judge.")],
    data: Index,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for tables and per-image rows.")],
    split: Annotated[Split, typer.Option(help="Which images.")] = Split.test,
    source: Sources = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print metrics.json, nothing else.")
    ] = False,
) -> None:
    """Run the device's own reader over labelled images and measure it, with 95 % intervals."""
    console = Console()
    with refusals():
        from tools.judge.evaluate import run_evaluation
        from tools.judge.table import as_dict, as_rich

        with bar(Console(stderr=True) if as_json else console, "reading") as told:
            evaluation = run_evaluation(
                bundle, data, split.value, out, sources=source, progress=told
            )
    if as_json:
        typer.echo(json.dumps(as_dict(evaluation), indent=2, allow_nan=False))
    else:
        console.print(as_rich(evaluation))
