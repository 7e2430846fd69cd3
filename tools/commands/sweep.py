"""`sweep`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from mammosono.appliance.commands.kit import Console, say
from mammosono.tools.commands.shared import Sources
from mammosono.tools.commands.train import network_size
from mammosono.tools.console import bar, fail, refusals


class CellName(str, Enum):
    base = "base"
    alpha_1 = "alpha-1"
    denoise_off = "denoise-off"
    fused = "fused"
    dilated = "dilated"
    alpha_05 = "alpha-0.5"
    alpha_15 = "alpha-1.5"
    gaussian = "gaussian"
    denoise_only = "denoise-only"


def sweep(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of all runs; resumed.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="INDEX", help="index.csv of the labelled images.", dir_okay=False),
    ] = None,
    source: Sources = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Runs of every cell.")] = 3,
    cells: Annotated[
        list[CellName] | None,
        typer.Option(help="This cell alone; may be repeated."),
    ] = None,
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="Passes over the data.")] = 2,
    size: Annotated[str, typer.Option(metavar="HxW", help="Network input.")] = "320x224",
    most: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Training images of a source and label at most."),
    ] = 300,
    show: Annotated[bool, typer.Option("--show", help="Print the table, train nothing.")] = False,
) -> None:
    """Train a compact network with one thing changed at a time, and set the cells side by side.

    The first seed of every cell comes first; stopped by Ctrl-C or killed, the same command goes
    on. DIR gets a run folder for each cell and seed, table.md and table.json.
    """
    console = Console()
    if data is None and not show:
        fail("give the images with --data, or --show to see what is done")
    input_size = network_size(size)
    with refusals():
        from mammosono.tools.sweep.cells import CELLS
        from mammosono.tools.sweep.run import write

        if show or data is None:
            if not out.is_dir():
                fail("there is no sweep in that folder yet")
            say(write(out), end=False)
            return
        from mammosono.tools.data.index import read_index, sources_to_learn_from
        from mammosono.tools.sweep.cells import sweep_material
        from mammosono.tools.sweep.run import CellResult, Task
        from mammosono.tools.sweep.run import sweep as run_sweep
        from mammosono.tools.training.checkpoint import DataMark
        from mammosono.tools.training.display import step_bar

        names = {cell.value for cell in cells or CellName}
        records = read_index(data)
        sources = source or sources_to_learn_from(records)
        with bar(console, "reading images") as progress:
            train, val = sweep_material(records, sources, most, input_size, progress)
        mark = DataMark.of(data, records, sources)
        out.mkdir(parents=True, exist_ok=True)

        def on_cell(name: str, result: CellResult) -> None:
            console.print(f"{name}: {result['seconds']:.0f} s", highlight=False)
            write(out)

        with step_bar(console) as on_step:
            done = run_sweep(
                out,
                [cell for cell in CELLS if cell.name in names],
                seeds,
                Task(epochs, input_size, train, val, mark),
                on_step,
                on_cell,
            )
        say(write(out), end=False)
    if not done:
        console.print("Stopped; the same command goes on from here.", highlight=False)
