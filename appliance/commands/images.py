"""Options of the commands that take the images of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Mammograms = Annotated[
    list[Path] | None,
    typer.Option("--mammogram", "-m", metavar="FILE", help="Mammogram; once for each."),
]
Ultrasounds = Annotated[
    list[Path] | None,
    typer.Option("--ultrasound", "-u", metavar="FILE", help="Ultrasound; once for each."),
]
Lateralities = Annotated[
    list[str] | None,
    typer.Option(
        metavar="L|R",
        help="Side, where the file does not say: of all images, or once for each, mammograms "
        "first.",
    ),
]
Views = Annotated[
    list[str] | None,
    typer.Option(metavar="CC|MLO|...", help="View of the mammograms, likewise."),
]
