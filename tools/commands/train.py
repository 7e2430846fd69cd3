"""`train` and `train-denoiser`."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mammosono.appliance.commands.kit import Console
from mammosono.tools.commands.shared import Index, Sources
from mammosono.tools.console import bar, fail, refusals

if TYPE_CHECKING:
    from mammosono.tools.denoiser.training import DenoiserTrainer
    from mammosono.tools.network.config import TrainConfig
    from mammosono.tools.training.small import Step


class Preset(str, Enum):
    compact = "compact"
    compact_scratch = "compact-scratch"
    middle = "middle"
    paper = "paper"


class PrecisionName(str, Enum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Modalities(str, Enum):
    MG = "MG"
    US = "US"
    both = "both"


class Denoised(str, Enum):
    both = "both"
    only = "only"
    off = "off"


def train(
    data: Index,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Run folder; resumed if it exists.")],
    preset: Annotated[
        Preset | None,
        typer.Option(help="The configuration to start from.  [default: compact]"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="JSON with the fields to change, or config.json of a run; options go before it.",
        ),
    ] = None,
    source: Sources = None,
    modality: Annotated[
        Modalities | None,
        typer.Option(help="Whose images to learn from, and alone to read.  [default: both]"),
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(
            metavar="K/N",
            help="Hold back fold K of N, by case, of train and val together, in place of val.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Passes over the data.")
    ] = None,
    rate: Annotated[float | None, typer.Option(metavar="X", help="Peak learning rate.")] = None,
    batch: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Images a step, over all devices.")
    ] = None,
    micro_batch: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Images a pass on one device.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW", help="Network input, for a shorter first run at low resolution."
        ),
    ] = None,
    denoised: Annotated[
        Denoised | None,
        typer.Option(help="Draw pictures before and after denoising, only after, or only before."),
    ] = None,
    denoiser: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Run of `train-denoiser`: mammograms are denoised as a bundle with it will do. "
            "[default: non-local means]",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="End after N looks at val without a better score; 0: never."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of everything drawn.")] = None,
    initial: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Start from the best weights of this run.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep decoded and denoised pictures here for the next run: they are your data.",
        ),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="GPUs (or CPU processes) of this machine; not with torchrun."
        ),
    ] = None,
    precision: Annotated[
        PrecisionName | None,
        typer.Option(help="Of the passes; auto: half where the hardware has it."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="Processes that augment, a device.  [default: by the cores]"
        ),
    ] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(metavar="X", min=0, help="Between checkpoints inside an epoch.")
    ] = 10.0,
    checkpoint_steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The same by steps.")
    ] = None,
) -> None:
    """Train the network; Ctrl-C stops with a checkpoint, the same command goes on from it.

    The run folder gets config.json, last.pt, best.pt, curves.csv, curves.png and tensorboard.
    """
    given = {
        "epochs": epochs,
        "learning_rate": rate,
        "batch_size": batch,
        "micro_batch": micro_batch,
        "views": denoised and denoised.value,
        "modalities": modality and _CODES[modality],
        "patience": patience,
        "seed": seed,
        "precision": precision and precision.value,
    }
    input_size = None if size is None else network_size(size)
    with refusals():
        from mammosono.tools.data.folds import Fold, refold
        from mammosono.tools.data.index import read_index, select, sources_to_learn_from
        from mammosono.tools.data.sample_store import SampleStore
        from mammosono.tools.denoiser.training import best_denoiser
        from mammosono.tools.denoiser.validation import with_network
        from mammosono.tools.training.checkpoint import DataMark, best_network
        from mammosono.tools.training.datasets import split_material
        from mammosono.tools.training.devices import close_fabric, open_fabric
        from mammosono.tools.training.display import show_epoch, step_bar
        from mammosono.tools.training.exportable import gaps
        from mammosono.tools.training.loop import Trainer

        chosen = _configured(preset and preset.value, config, given, input_size)
        start = best_network(initial, chosen.network).state_dict() if initial else None
        records = [
            record for record in read_index(data) if record.modality.value in chosen.modalities
        ]
        if not records:
            fail(f"the index holds no {' or '.join(chosen.modalities)} image")
        sources = source or sources_to_learn_from(records)
        held_back = Fold.parse(fold) if fold else None
        divided = refold(records, sources, held_back) if held_back else records
        gaussian = with_network(best_denoiser(denoiser)[0]) if denoiser else None
        mark = DataMark.of(data, records, sources, denoiser, initial, held_back)
        canvas = chosen.network.geometry.input_size
        made = f"{canvas} {chosen.views != 'off'} {mark.denoiser_sha256}"
        fabric = open_fabric(devices, chosen.precision)
        console = Console(quiet=not fabric.is_global_zero)
        for line in gaps(select(divided, sources=sources), chosen.modalities):
            console.print(f"Not to be exported later: {line}", highlight=False)
        for name in sorted(set(chosen.class_free) - set(sources)):
            console.print(f"class_free: {name} is no source of this run", highlight=False)
        with bar(console, "reading images") as on_sample:
            train_samples, val_samples = split_material(
                divided,
                sources,
                canvas,
                on_sample,
                chosen.views,
                gaussian,
                SampleStore(keep, made) if keep else None,
            )
        out.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(
            out,
            chosen,
            train_samples,
            val_samples,
            fabric=fabric,
            data=mark,
            workers=_spare_cores(fabric.world_size) if workers is None else workers,
            checkpoint_minutes=checkpoint_minutes,
            checkpoint_steps=checkpoint_steps,
            initial=start,
        )
        with step_bar(console) as on_step:
            finished = trainer.fit(on_step, lambda *epoch: show_epoch(console, *epoch))
        close_fabric()
    if not finished:
        console.print("Stopped; the same command goes on from here.", highlight=False)
        return
    if trainer.stopped_early:
        console.print(f"No better on val for {chosen.patience} looks: ended.", highlight=False)
    console.print("Trained. Next: mammosono-tools export", highlight=False)


_CODES: dict[Modalities, tuple[str, ...]] = {
    Modalities.MG: ("MG",),
    Modalities.US: ("US",),
    Modalities.both: ("MG", "US"),
}


def network_size(text: str) -> tuple[int, int]:
    """(height, width) of `--size`, or a refusal."""
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        fail("--size is HEIGHTxWIDTH, for example 448x320")
    if height % 32 or width % 32 or min(height, width) < 64:
        fail("--size must be multiples of 32, from 64 on")
    return height, width


def _configured(
    preset: str | None,
    file: Path | None,
    given: dict[str, Any],
    input_size: tuple[int, int] | None,
) -> TrainConfig:
    """The preset, changed by the file, changed by the options. Raises OSError, ValueError."""
    from mammosono.tools.network import config as presets
    from mammosono.tools.network.config import read_settings

    config = read_settings(file, preset) if file else presets.preset(preset or "compact")
    if input_size is not None:
        geometry = replace(config.network.geometry, input_size=input_size)
        config = replace(config, network=replace(config.network, geometry=geometry))
    return replace(config, **{k: v for k, v in given.items() if v is not None})


def _spare_cores(ranks: int) -> int:
    """Worker processes a rank: the machine's cores but one a rank, at most 16."""
    import os

    local = int(os.environ.get("LOCAL_WORLD_SIZE", ranks))
    return min(max(len(os.sched_getaffinity(0)) // local - 1, 1), 16)


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
        from mammosono.tools.denoiser.training import (
            DenoiserTrainer,
            DenoiserTraining,
            best_denoiser,
            material,
        )
        from mammosono.tools.denoiser.validation import as_rich, compare_methods

        config = DenoiserTraining(
            self_supervised=self_supervised, epochs=epochs, minutes=minutes, seed=seed
        )
        records = read_index(data)
        with bar(console, "reading pictures") as on_picture:
            learned = material(records, source, self_supervised, on_picture)
        out.mkdir(parents=True, exist_ok=True)
        trainer = DenoiserTrainer(out, config, learned.pictures, learned.trials, learned.provenance)
        finished = _fit(trainer, console)
        if finished and compare:
            with bar(console, "comparing") as on_method:
                rows = compare_methods(best_denoiser(out)[0], learned.trials, on_method)
            console.print(as_rich(rows, learned.trials))
    if finished:
        console.print("Trained. Next: mammosono-tools export --denoiser", highlight=False)
    else:
        console.print("Stopped; the same command goes on from here.", highlight=False)


def _fit(trainer: DenoiserTrainer, console: Console) -> bool:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=1.0)

        def show_step(step: Step) -> None:
            text = f"epoch {step.epoch}, noise left {step.loss:.4f}"
            progress.update(task, completed=step.share, description=text)

        def show_epoch(epoch: int, figures: dict[str, float]) -> None:
            text = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
            console.print(f"epoch {epoch}: {text}", highlight=False)

        return trainer.fit(show_step, show_epoch)


def take_denoiser(
    bundle: Annotated[Path, typer.Option(metavar="BUNDLE", help="Bundle folder to take it from.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="Run folder to write.")],
) -> None:
    """Write a bundle's mammogram denoiser as a run, for `train` and `export --denoiser`."""
    with refusals():
        from mammosono.tools.denoiser.from_bundle import write_denoiser_run

        write_denoiser_run(bundle, out)
    Console().print(f"Denoiser: {out}", highlight=False, soft_wrap=True)


def take_run(
    bundle: Annotated[Path, typer.Option(metavar="BUNDLE", help="Bundle folder to take it from.")],
    modality: Annotated[Modalities, typer.Option(metavar="<MG|US>", help="Whose network.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="Run folder to write.")],
) -> None:
    """Write a bundle's network as a run of one modality, for `train --initial` and `export`."""
    with refusals():
        from mammosono.appliance.values import Modality
        from mammosono.tools.export.from_bundle import write_network_run

        if modality is Modalities.both:
            raise ValueError("name the modality whose network is taken: MG or US")
        write_network_run(bundle, Modality(modality.value), out)
    Console().print(f"Run: {out}", highlight=False, soft_wrap=True)
