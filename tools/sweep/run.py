"""Every cell with every seed, one after another; what is done is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from mammosono.tools.data.sample import Sample, with_views
from mammosono.tools.sweep.cells import Cell, View, cell_config
from mammosono.tools.sweep.measure import measure
from mammosono.tools.training import checkpoint
from mammosono.tools.training.loop import Trainer
from mammosono.tools.training.progress import OnStep
from mammosono.tools.training.record import DataMark

FIGURES = "figures.json"
Result = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What every run of a sweep has in common. Samples hold both views."""

    epochs: int
    input_size: tuple[int, int]
    train: Sequence[Sample]
    val: Sequence[Sample]
    data: DataMark | None = None


def sweep(
    out: Path,
    cells: Sequence[Cell],
    seeds: int,
    task: Task,
    on_step: OnStep,
    on_cell: Callable[[str, Result], None],
) -> bool:
    """Train and measure; the first seed of every cell first. False if stopped by Ctrl-C.

    Each cell and seed has a run folder in `out`: with figures.json it is done, with a checkpoint
    it goes on. Raises what Trainer raises.
    """
    for seed in range(1, seeds + 1):
        for cell in cells:
            folder = out / f"{cell.name}-{seed}"
            if (folder / FIGURES).exists():
                continue
            result = _run(folder, cell, seed, task, on_step)
            if result is None:
                return False
            on_cell(folder.name, result)
    return True


def _run(folder: Path, cell: Cell, seed: int, task: Task, on_step: OnStep) -> Result | None:
    """None if stopped."""
    started = monotonic()
    config = cell_config(cell, seed, task.epochs, task.input_size)
    folder.mkdir(parents=True, exist_ok=True)
    # Not watched on val: weights chosen there could not be measured there.
    trainer = Trainer(folder, config, task.train, (), data=task.data, workers=0)
    if not trainer.fit(on_step, lambda *_: None):
        return None
    network, trained = trainer.learner.averaged, monotonic() - started
    figures = {
        view: {
            modality: asdict(values)
            for modality, values in measure(network, _viewed(task.val, view), config).items()
        }
        for view in cell.judged
    }
    result = {
        "cell": cell.name,
        "what": cell.what,
        "seed": seed,
        "epochs": task.epochs,
        "input_size": list(task.input_size),
        "images": len(trainer.draws) * task.epochs,
        "train_seconds": round(trained, 1),
        "seconds": round(monotonic() - started, 1),
        "figures": figures,
    }
    weights = {"network": network.state_dict(), "epoch": task.epochs}
    checkpoint.save(folder, "best.pt", weights)
    temporary = folder / f".{FIGURES}.part"
    temporary.write_text(json.dumps(result, indent=2) + "\n")
    temporary.replace(folder / FIGURES)
    (folder / "last.pt").unlink(missing_ok=True)  # four times the weights, and never read again
    return result


def _viewed(samples: Sequence[Sample], view: View) -> list[Sample]:
    return [with_views(sample, "only" if view == "denoised" else "off") for sample in samples]
