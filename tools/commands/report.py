"""`report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mammosono.tools.console import refusals


def report(
    evaluations: Annotated[
        list[Path], typer.Argument(metavar="EVALUATION...", help="Folders that `evaluate` wrote.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="HTML file to write.", dir_okay=False)],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="INDEX",
            help="index.csv of the images, for the pictures; they go into the report.",
            dir_okay=False,
        ),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="Run folder of `train`, for its curves; may be repeated."),
    ] = None,
    paper: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="The paper's Table I as printed; see docs/judging.md.",
            dir_okay=False,
        ),
    ] = None,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Print a PDF beside it, with an installed Chromium.")
    ] = False,
) -> None:
    """Make one self-contained HTML file of evaluations: tables, curves, pictures, caveats."""
    console = Console()
    with refusals():
        from mammosono.tools.report.page import make_report, print_pdf

        make_report(evaluations, out, index=data, runs=run or (), paper=paper)
        if pdf:
            print_pdf(out, out.with_suffix(".pdf"))
    for file in (out, out.with_suffix(".pdf")) if pdf else (out,):
        console.print(f"Report: {file}", highlight=False, soft_wrap=True)
