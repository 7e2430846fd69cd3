"""`train`."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tools.commands.shared import TRAINED_SOURCES, Index, Sources
from tools.console import bar, fail, refusals


class Preset(str, Enum):
    compact = "compact"
    compact_scratch = "compact-scratch"
    middle = "middle"
    paper = "paper"


def train(
    data: Index,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Run folder; resumed if it exists.")],
    preset: Annotated[
        Preset, typer.Option(help="The configuration to start from.")
    ] = Preset.compact,
    source: Sources = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Passes over the data.")
    ] = None,
    rate: Annotated[float | None, typer.Option(metavar="X", help="Peak learning rate.")] = None,
    batch: Annotated[int | None, typer.Option(metavar="N", min=1, help="Images a batch.")] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW", help="Network input, for a shorter first run at low resolution."
        ),
    ] = None,
    initial: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Start from the best weights of this run.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of everything drawn.")] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Processes that augment.")] = 1,
) -> None:
    """Train the network; Ctrl-C stops with a checkpoint, the same command goes on from it.

    The run folder gets config.json, last.pt, best.pt, curves.csv and curves.png.
    """
    input_size = None if size is None else _size(size)
    given = {"epochs": epochs, "learning_rate": rate, "batch_size": batch, "seed": seed}
    console = Console()
    with refusals():
        from tools.data.index import read_index
        from tools.network.config import preset as named
        from tools.training.loop import Trainer
        from tools.training.material import split_material
        from tools.training.report import show_epoch, step_bar
        from tools.training.weights import best_network

        config = named(preset.value)
        if input_size is not None:
            geometry = replace(config.network.geometry, input_size=input_size)
            config = replace(config, network=replace(config.network, geometry=geometry))
        config = replace(config, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
        start = best_network(initial, config.network).state_dict() if initial else None
        records = read_index(data)
        with bar(console, "reading images") as told:
            train_samples, val_samples = split_material(
                records, source or TRAINED_SOURCES, config.network.geometry.input_size, told
            )
        out.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(out, config, train_samples, val_samples, workers=workers, initial=start)
        with step_bar(console) as on_step:
            finished = trainer.fit(on_step, lambda *epoch: show_epoch(console, *epoch))
    if finished:
        console.print("Trained. Next: mammosono-tools export", highlight=False)
    else:
        console.print("Stopped; the same command goes on from here.", highlight=False)


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        fail("--size is HEIGHTxWIDTH, for example 448x320")
    if height % 64 or width % 64 or min(height, width) < 64:
        fail("--size must be multiples of 64")
    return height, width
