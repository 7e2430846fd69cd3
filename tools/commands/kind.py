"""`train-kind`, `evaluate-kind` and `add-kind`: is an image what its slot says?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mammosono.appliance.commands.kit import Console, say
from mammosono.tools.commands.shared import Index, Json
from mammosono.tools.console import bar, fail, refusals

if TYPE_CHECKING:
    from mammosono.tools.kind.training import KindTrainer
    from mammosono.tools.training.small import Step

Debian = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        file_okay=False,
        help="Root that Debian packages with pictures were installed or unpacked to (dpkg -x).",
    ),
]


def train_kind(
    data: Index,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Run folder; resumed if it exists.")],
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="Of 100 steps each.")] = 8,
    folds: Annotated[
        bool,
        typer.Option(
            "--folds",
            help="Then also a network for each group of families and hospital left out of "
            "training, in RUN/without-N: for evaluate-kind --run.",
        ),
    ] = False,
    fold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only the fold that leaves out this group of families or this hospital, not the "
            "network of all; may be given more than once.",
        ),
    ] = None,
    debian: Debian = Path("/"),
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of everything drawn.")] = 0,
) -> None:
    """Train the network that tells mammogram, breast ultrasound and anything else apart.

    It learns from the index's images, phantoms, drawings and the pictures in installed packages.
    Ctrl-C stops with a checkpoint; the same command goes on. The run folder gets config.json,
    last.pt, best.pt and curves.csv. A finished fold says how it did on all that it left out, its
    training pictures as well.
    """
    console = Console()
    with refusals():
        from mammosono.tools.data.index import read_index, split_hash
        from mammosono.tools.kind.judge import as_rich, held_out, settle
        from mammosono.tools.kind.material import Amounts, material, missing, spoilt
        from mammosono.tools.kind.training import KindTrainer, KindTraining, chosen_folds

        for line in missing(debian):
            console.print(f"Not learned from: {line}", highlight=False)
        records = [record for record in read_index(data) if record.split != "test"]
        with bar(console, "reading pictures") as on_picture:
            pictures = material(records, Amounts(), debian, on_picture)
        provenance = {
            "split_sha256": split_hash(records),
            "sources": sorted({record.source for record in records}),
            "images": len(records),
            "other": len([one for one in pictures if one.group]),
        }
        runs: list[tuple[Path, tuple[str, ...]]] = [] if fold else [(out, ())]
        if folds or fold:
            chosen = chosen_folds(pictures, fold or ())
            runs += [(out / f"without-{k}", names) for k, names in chosen.items()]
        for run, without in runs:
            config = KindTraining(epochs=epochs, seed=seed, without=without)
            run.mkdir(parents=True, exist_ok=True)
            trainer = KindTrainer(run, config, pictures, provenance)
            if not _fit(trainer, console, f"without {', '.join(without)}" if without else ""):
                console.print("Stopped; the same command goes on from here.", highlight=False)
                return
            least = settle(run, pictures)
            console.print(f"least probability of its own kind: {least}", highlight=False)
            if without:
                rows = held_out(run, [*pictures, *spoilt(pictures)])
                console.print(as_rich(rows, "left out of training"))
    console.print("Trained. Next: mammosono-tools add-kind", highlight=False)


def _fit(trainer: KindTrainer, console: Console, what: str) -> bool:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=1.0)

        def show_step(step: Step) -> None:
            text = f"{what} epoch {step.epoch}, loss {step.loss:.3f}"
            progress.update(task, completed=step.share, description=text)

        def show_epoch(epoch: int, figures: dict[str, float]) -> None:
            text = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
            console.print(f"{what} epoch {epoch}: {text}", highlight=False)

        return trainer.fit(show_step, show_epoch)


def evaluate_kind(
    bundle: Annotated[Path, typer.Option(metavar="BUNDLE", help="Bundle with a kind stage.")],
    data: Index,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Of train-kind --folds: adds what was left out of training."
        ),
    ] = None,
    debian: Debian = Path("/"),
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the tables as JSON.")
    ] = None,
    as_json: Json = False,
) -> None:
    """How many images of each hospital pass, and how many pictures of each family are stopped.

    Images of val and test, phantoms and drawings with other seeds, and every family's pictures
    (most of them trained on). With --run, the same of families and hospitals that a network never
    saw: what to expect of pictures of a new kind.
    """
    with refusals():
        from mammosono.appliance.pipeline.model import open_model
        from mammosono.engines.options import EngineOptions
        from mammosono.tools.data.index import read_index
        from mammosono.tools.kind.judge import as_dict, as_rich, by_bundle, held_out, table
        from mammosono.tools.kind.material import judged

        engine, model = open_model(bundle, EngineOptions(threads=1))
        if model.kind is None:
            fail("the bundle has no kind stage: mammosono-tools add-kind")
        records = [record for record in read_index(data) if record.split != "train"]
        with bar(Console(stderr=True), "reading pictures") as on_picture:
            pictures = judged(records, debian, on_picture)
        least = {modality.value: value for modality, value in model.kind.least.items()}
        tables = {"bundle": table(pictures, by_bundle(engine, model.kind), least)}
        if run is not None:
            each = [held_out(fold, pictures) for fold in sorted(run.glob("without-*"))]
            tables["left out of training"] = [row for rows in each for row in rows]
        text = json.dumps({name: as_dict(rows) for name, rows in tables.items()}, indent=2)
        if out:
            out.write_text(text + "\n", encoding="utf-8")
    if as_json:
        say(text)
        return
    for name, rows in tables.items():
        Console().print(as_rich(rows, name))


def add_kind(
    bundle: Annotated[Path, typer.Option(metavar="BUNDLE", help="Bundle folder to add to.")],
    run: Annotated[Path, typer.Option(metavar="RUN", help="Run folder of `train-kind`.")],
) -> None:
    """Add the stage that tells what an image is to an exported bundle; its reading stays."""
    with refusals():
        from mammosono.tools.export.kind import add_kind as add

        entry = add(bundle, run)["image_kind"]
    say(f"Least probability of an image's own kind: {entry['least']}")
