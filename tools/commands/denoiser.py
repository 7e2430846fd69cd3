"""`train-denoiser`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mammosono.tools.commands.shared import Index
from mammosono.tools.console import bar, refusals

if TYPE_CHECKING:
    from mammosono.tools.denoiser.training import DenoiserTrainer, Step

SOURCE = "CBIS-DDSM"


def train_denoiser(
    data: Index,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Run folder; resumed if it exists.")],
    self_supervised: Annotated[
        bool,
        typer.Option(
            "--self-supervised", help="Learn from noisy pictures alone, as if none were clean."
        ),
    ] = False,
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="Of 500 steps each.")] = 25,
    minutes: Annotated[
        float | None, typer.Option(metavar="X", min=0.01, help="Train for so long in their place.")
    ] = None,
    source: Annotated[
        str, typer.Option(metavar="NAME", help="Films of this source; phantoms always.")
    ] = SOURCE,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of everything drawn.")] = 0,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="In the end, set it beside NLM, BayesShrink and bm3d."),
    ] = False,
) -> None:
    """Train the network that removes a mammogram's noise; Ctrl-C stops with a checkpoint.

    It learns from phantoms without noise and from films that hardly have any, with noise drawn
    anew each time. The run folder gets config.json, last.pt, best.pt and curves.csv.
    """
    console = Console()
    with refusals():
        from mammosono.tools.data.index import read_index
        from mammosono.tools.denoiser.compare import as_rich, compare_methods
        from mammosono.tools.denoiser.datasets import material
        from mammosono.tools.denoiser.training import (
            DenoiserTrainer,
            DenoiserTraining,
            best_denoiser,
        )

        config = DenoiserTraining(
            self_supervised=self_supervised, epochs=epochs, minutes=minutes, seed=seed
        )
        records = read_index(data)
        with bar(console, "reading pictures") as told:
            found = material(records, source, self_supervised, told)
        out.mkdir(parents=True, exist_ok=True)
        trainer = DenoiserTrainer(out, config, found.pictures, found.trials, found.provenance)
        finished = _fit(trainer, console)
        if finished and compare:
            with bar(console, "comparing") as told:
                rows = compare_methods(best_denoiser(out)[0], found.trials, told)
            console.print(as_rich(rows, found.trials))
    if finished:
        console.print("Trained. Next: mammosono-tools export --denoiser", highlight=False)
    else:
        console.print("Stopped; the same command goes on from here.", highlight=False)


def _fit(trainer: DenoiserTrainer, console: Console) -> bool:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=1.0)

        def show_step(step: Step) -> None:
            said = f"epoch {step.epoch}, noise left {step.left:.4f}"
            progress.update(task, completed=step.share, description=said)

        def show_epoch(epoch: int, figures: dict[str, float]) -> None:
            said = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
            console.print(f"epoch {epoch}: {said}", highlight=False)

        return trainer.fit(show_step, show_epoch)
