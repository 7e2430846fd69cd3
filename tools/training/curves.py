"""Training curves, as the paper's figure 5: accuracy and loss by epoch, as CSV and PNG."""

from __future__ import annotations

import csv
from pathlib import Path

from mammosono.tools.training.columns import LOSS_PARTS, WORK
from mammosono.tools.training.pace import Pace
from mammosono.tools.training.validate import Glance


class Curves:
    """curves.csv and curves.png in a run folder; one row an epoch."""

    def __init__(self, folder: Path) -> None:
        self._csv = folder / "curves.csv"
        self._png = folder / "curves.png"

    def add(
        self,
        epoch: int,
        means: dict[str, float],
        seen: Glance | None,
        pace: Pace | None = None,
    ) -> None:
        """Append an epoch (a row of the same or a later epoch is replaced) and redraw."""
        rows = [row for row in self.rows() if int(row["epoch"]) < epoch]
        row = {"epoch": str(epoch), **{k: f"{v:.5f}" for k, v in means.items()}}
        for name, values in (("auc", seen.auc), ("dice", seen.dice)) if seen else ():
            row |= {f"val_{name}_{modality}": f"{v:.4f}" for modality, v in values.items()}
        for name in WORK if pace else ():
            value = getattr(pace, name)
            if value is not None:
                row[name] = f"{value:.4f}"
        rows.append(row)
        columns = list(dict.fromkeys(key for r in rows for key in r))
        temporary = self._csv.with_suffix(".part")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(self._csv)
        self._draw(rows)

    def rows(self) -> list[dict[str, str]]:
        """The epochs so far, as written."""
        if not self._csv.exists():
            return []
        with self._csv.open(newline="") as file:
            return list(csv.DictReader(file))

    def _draw(self, rows: list[dict[str, str]]) -> None:
        from matplotlib.figure import Figure  # a second to import: only where it is drawn

        figure = Figure(figsize=(11, 4.2), layout="constrained")
        accuracy, loss = figure.subplots(1, 2)
        epochs = [int(row["epoch"]) for row in rows]
        accuracy.plot(epochs, [float(r["accuracy"]) for r in rows], label="training accuracy")
        names = [c for c in dict.fromkeys(k for r in rows for k in r) if c.startswith("val_")]
        for name in names:
            points = [(int(r["epoch"]), float(r[name])) for r in rows if r.get(name)]
            accuracy.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name[4:])
        accuracy.set(xlabel="epoch", ylim=(0, 1), title="accuracy; validation AUC and Dice")
        parts = [c for c in LOSS_PARTS if c in rows[0]]
        for part in parts:
            loss.plot(epochs, [float(r[part]) for r in rows], label=part.replace("_", " "))
        loss.set(xlabel="epoch", yscale="log", title="training loss by part")
        for axes in (accuracy, loss):
            axes.grid(alpha=0.3)
            axes.legend(fontsize=8)
        figure.savefig(self._png, dpi=110)
