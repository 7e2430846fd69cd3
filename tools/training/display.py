"""Display of a run: timing and progress, lines at a terminal, curves.csv and .png, TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars

from mammosono.tools.network.config import LOSS_PARTS
from mammosono.tools.training.validate import Validation

WORK = ("images_per_second", "wait_share", "gpu_memory_gib")
"""What curves.csv holds of an epoch, beside its number, the losses, the accuracy and val_*."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Throughput:
    """images_per_second: over all devices, since the epoch (or its resumed rest) began.
    wait_share: of that time, how much the network waited for images, 0 to 1 (of this rank).
    gpu_memory_gib: the most that tensors of this rank took; None without a GPU.
    """

    images_per_second: float
    wait_share: float
    gpu_memory_gib: float | None


class StepTimer:
    """Times an epoch's steps and the waiting before each."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._started = monotonic()
        self._waited = 0.0
        self._images = 0

    def waiting_for(self, made: Iterator[T]) -> Iterator[T]:
        """The same items; the time until each comes is waiting."""
        while True:
            before = monotonic()
            item = next(made, None)
            self._waited += monotonic() - before
            if item is None:
                return
            yield item

    def add(self, images: int) -> Throughput:
        """After a step of so many images, on all devices."""
        self._images += images
        took = max(monotonic() - self._started, 1e-9)
        cuda = self._device.type == "cuda"
        memory = torch.cuda.max_memory_allocated(self._device) / 2**30 if cuda else None
        return Throughput(self._images / took, self._waited / took, memory)


@dataclass(frozen=True, slots=True)
class Progress:
    """One step's report: losses averaged over the epoch so far, and seconds left."""

    epoch: int
    epochs: int
    step: int
    steps: int
    losses: dict[str, float]
    accuracy: float
    throughput: Throughput
    seconds_left: float


OnStep = Callable[[Progress], None]
OnEpoch = Callable[[int, dict[str, float], Validation | None], None]


@contextmanager
def step_bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    """A bar over the steps of an epoch, in 80 columns: loss, images a second, how much of the time
    went by waiting for data, GPU memory, and time left. The loss by its parts is in curves.csv."""
    columns = (
        TextColumn("epoch {task.fields[epoch]}"), BarColumn(5), MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
    )  # fmt: skip
    with Bars(*columns, console=console) as bars:
        task = bars.add_task("train", total=None, epoch="", text="")

        def on_step(progress: Progress) -> None:
            bars.update(
                task,
                completed=progress.step,
                total=progress.steps,
                epoch=f"{progress.epoch}/{progress.epochs}",
                text=f"loss {sum(progress.losses.values()):.2f} {_throughput(progress.throughput)} "
                f"{_left(progress.seconds_left)} left",
            )

        yield on_step


def _throughput(throughput: Throughput) -> str:
    memory = "" if throughput.gpu_memory_gib is None else f" {throughput.gpu_memory_gib:.1f} GiB"
    return f"{throughput.images_per_second:.1f} img/s wait {throughput.wait_share:.0%}{memory}"


def _left(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def show_epoch(
    console: Console, epoch: int, means: dict[str, float], validation: Validation | None
) -> None:
    """One line an epoch, which stays on the screen."""
    total = sum(value for name, value in means.items() if name != "accuracy")
    line = f"epoch {epoch}: loss {total:.3f}, accuracy {means['accuracy']:.3f}"
    if validation is not None:
        figures = [f"AUC {m} {v:.3f}" for m, v in validation.auc.items()]
        figures += [f"Dice {m} {v:.3f}" for m, v in validation.dice.items()]
        line += f"; val {', '.join(figures)}"
    console.print(line, highlight=False)


class CurveFiles:
    """curves.csv and curves.png in a run folder; one row an epoch."""

    def __init__(self, folder: Path) -> None:
        self._csv = folder / "curves.csv"
        self._png = folder / "curves.png"

    def add(
        self,
        epoch: int,
        means: dict[str, float],
        validation: Validation | None,
        throughput: Throughput | None = None,
    ) -> None:
        """Append an epoch (a row of the same or a later epoch is replaced) and redraw."""
        rows = [row for row in self.rows() if int(row["epoch"]) < epoch]
        row = {"epoch": str(epoch), **{k: f"{v:.5f}" for k, v in means.items()}}
        for name, values in (
            (("auc", validation.auc), ("dice", validation.dice)) if validation else ()
        ):
            row |= {f"val_{name}_{modality}": f"{v:.4f}" for modality, v in values.items()}
        for name in WORK if throughput else ():
            value = getattr(throughput, name)
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


class TensorBoardLog:
    """Event files in a folder; what a resumed run repeats replaces what was there."""

    def __init__(self, folder: Path, steps_done: int) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=steps_done or None)

    def step(self, steps_done: int, loss: float, rate: float, throughput: Throughput) -> None:
        """One optimizer step: the whole loss, the learning rate, and the throughput."""
        values = {
            "loss": loss,
            "learning_rate": rate,
            "images_per_second": throughput.images_per_second,
            "wait_share": throughput.wait_share,
            "gpu_memory_gib": throughput.gpu_memory_gib,
        }
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(f"step/{name}", value, steps_done)

    def epoch(self, epoch: int, means: Mapping[str, float], validation: Validation | None) -> None:
        """An epoch's means and what validation showed, by epoch."""
        for name, value in means.items():
            self._writer.add_scalar(f"train/{name}", value, epoch)
        if validation is not None:
            for kind, values in (("auc", validation.auc), ("dice", validation.dice)):
                for modality, value in values.items():
                    self._writer.add_scalar(f"val/{kind}_{modality}", value, epoch)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
