"""What the cells did, side by side: mean and spread over seeds."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from mammosono.tools.sweep.cells import CELLS
from mammosono.tools.sweep.measure import TOLERANCE_PX
from mammosono.tools.sweep.run import FIGURES

COLUMNS = {
    "dice": "Dice",
    "boundary_f": f"boundary F ({TOLERANCE_PX:g} px)",
    "ap50": "box AP50",
    "ap": "box AP50:95",
    "auc": "AUC",
}
Row = dict[str, Any]


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


def rows(results: Sequence[Mapping[str, Any]]) -> list[Row]:
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
            "seeds": len(found),
            "n": found[0]["n"],
            "mean": {name: fmean(f[name] for f in found) for name in COLUMNS},
            "spread": {
                name: stdev(f[name] for f in found) if len(found) > 1 else math.nan
                for name in COLUMNS
            },
        }
        for (cell, view, modality), found in groups.items()
    ]


def as_markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """A table for each modality, and what it rests on."""
    if not results:
        return "No cell is done yet.\n"
    scales = sorted({(tuple(r["input_size"]), r["epochs"], r["images"]) for r in results})
    lines = []
    for modality in sorted({row["modality"] for row in rows(results)}):
        chosen = [row for row in rows(results) if row["modality"] == modality]
        lines += [
            f"### {modality} (n = {chosen[0]['n']} validation images)",
            "",
            f"| cell | changed | judged on | seeds | {' | '.join(COLUMNS.values())} |",
            "| --- | --- | --- | --- |" + " --- |" * len(COLUMNS),
        ]
        for row in chosen:
            figures = " | ".join(_cell(row["mean"][c], row["spread"][c]) for c in COLUMNS)
            lines.append(
                f"| {row['cell']} | {row['what']} | {row['judged']} | {row['seeds']} | {figures} |"
            )
        lines.append("")
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
    entries = [_without_nan(row) for row in rows(results)]
    (out / "table.json").write_text(json.dumps(entries, indent=2, allow_nan=False) + "\n")
    return text


def _cell(mean: float, spread: float) -> str:
    return f"{mean:.3f}" if math.isnan(spread) else f"{mean:.3f} ± {spread:.3f}"


def _without_nan(row: Row) -> Row:
    return {
        key: {k: None if math.isnan(v) else round(v, 5) for k, v in value.items()}
        if isinstance(value, dict)
        else value
        for key, value in row.items()
    }
