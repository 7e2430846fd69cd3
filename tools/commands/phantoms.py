"""`phantoms`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mammosono.tools.console import refusals


def phantoms(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the PNGs and index.csv.")],
    count: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Pictures of each modality; 12 fill every split."),
    ] = 12,
    seed: Annotated[int, typer.Option(metavar="N", help="First seed.")] = 1,
) -> None:
    """Draw labelled test pictures with exact masks, as an index that train and evaluate read.

    Their source is `phantom`: the name to give with --source.
    """
    with refusals():
        from mammosono.tools.data.draw import draw_index

        path = draw_index(out, count, seed)
    Console().print(f"Drawn: {path}", highlight=False, soft_wrap=True)
