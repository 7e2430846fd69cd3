"""Run of the sweep: every cell with every seed, one after another, then side by side in a table.

What is done is not done again.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from time import monotonic
from typing import Any

from mammosono.tools import tables
from mammosono.tools.data.sample import Sample, with_views
from mammosono.tools.sweep.cells import CELLS, Cell, View, cell_config
from mammosono.tools.sweep.measure import TOLERANCE_PX, measure
from mammosono.tools.training import checkpoint
from mammosono.tools.training.checkpoint import DataMark
from mammosono.tools.training.display import OnStep
from mammosono.tools.training.loop import Trainer

FIGURES = "figures.json"
CellResult = dict[str, Any]

COLUMNS = {
    "dice": "Dice",
    "boundary_f": f"boundary F ({TOLERANCE_PX:g} px)",
    "ap50": "box AP50",
    "ap": "box AP50:95",
    "auc": "AUC",
}
CellRow = dict[str, Any]


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
    on_cell: Callable[[str, CellResult], None],
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


def _run(folder: Path, cell: Cell, seed: int, task: Task, on_step: OnStep) -> CellResult | None:
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


def finished(out: Path) -> list[dict[str, Any]]:
    """The results of the runs that are done, in the order of the cells and seeds.

    Raises ValueError if one cannot be read.
    """
    places = {cell.name: k for k, cell in enumerate(CELLS)}
    results = []
    for path in out.glob(f"*/{FIGURES}"):
        try:
            results.append(json.loads(path.read_text()))
        except ValueError:
            raise ValueError(f"{path.parent.name}/{FIGURES} is damaged: delete it") from None
    return sorted(results, key=lambda r: (places.get(r["cell"], len(places)), r["seed"]))


def rows(results: Sequence[Mapping[str, Any]]) -> list[CellRow]:
    """One row for a cell, a view it was judged on and a modality; `mean` and `spread` (sample
    standard deviation over seeds, NaN for one) of each of COLUMNS."""
    groups: defaultdict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    what = {}
    for result in results:
        what[result["cell"]] = result["what"]
        for view, by_modality in result["figures"].items():
            for modality, figures in by_modality.items():
                groups[result["cell"], view, modality].append(figures)
    return [
        {
            "cell": cell,
            "what": what[cell],
            "judged": view,
            "modality": modality,
            "seeds": len(seeds),
            "n": seeds[0]["n"],
            "mean": {name: fmean(f[name] for f in seeds) for name in COLUMNS},
            "spread": {
                name: stdev(f[name] for f in seeds) if len(seeds) > 1 else math.nan
                for name in COLUMNS
            },
        }
        for (cell, view, modality), seeds in groups.items()
    ]


def as_markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """A table for each modality, and what it rests on."""
    if not results:
        return "No cell is done yet.\n"
    scales = sorted({(tuple(r["input_size"]), r["epochs"], r["images"]) for r in results})
    lines = []
    for modality in sorted({row["modality"] for row in rows(results)}):
        chosen = [row for row in rows(results) if row["modality"] == modality]
        table = [["cell", "changed", "judged on", "seeds", *COLUMNS.values()]]
        for row in chosen:
            figures = (_cell(row["mean"][c], row["spread"][c]) for c in COLUMNS)
            table.append([row["cell"], row["what"], row["judged"], f"{row['seeds']}", *figures])
        n = chosen[0]["n"]
        lines += [f"### {modality} (n = {n} validation images)", ""]
        lines += [*tables.markdown(table, labels=3), ""]
    for (height, width), epochs, images in scales:
        lines.append(f"Input {height}x{width}, {epochs} epochs, {images} images drawn a run.")
    lines.append(
        "Mean ± sample standard deviation over seeds. Dice and boundary F at the finding threshold "
        "with the best mean Dice on the same images; boundary F within "
        f"{TOLERANCE_PX:g} px of the network's input; AP of lesion boxes whatever their kind."
    )
    return "\n".join(lines) + "\n"


def write(out: Path) -> str:
    """Write table.md and table.json into `out` from what is done; the table comes back."""
    results = finished(out)
    text = as_markdown(results)
    (out / "table.md").write_text(text, encoding="utf-8")
    entries = tables.plain([_rounded(row) for row in rows(results)])
    (out / "table.json").write_text(json.dumps(entries, indent=2, allow_nan=False) + "\n")
    return text


def _cell(mean: float, spread: float) -> str:
    return f"{mean:.3f}" if math.isnan(spread) else f"{mean:.3f} ± {spread:.3f}"


def _rounded(row: CellRow) -> CellRow:
    return {
        key: {k: round(v, 5) for k, v in value.items()} if isinstance(value, dict) else value
        for key, value in row.items()
    }
