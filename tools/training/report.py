"""What a person at the terminal sees of a training run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars

from tools.training.loop import Progress
from tools.training.validate import Glance


@contextmanager
def step_bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    """A bar over the steps of an epoch, with loss parts, accuracy, speed and time left."""
    columns = (
        TextColumn("epoch {task.fields[epoch]}"), BarColumn(20), MofNCompleteColumn(),
        TextColumn("{task.fields[losses]}"),
    )  # fmt: skip
    with Bars(*columns, console=console) as bars:
        task = bars.add_task("train", total=None, epoch="", losses="")

        def on_step(seen: Progress) -> None:
            parts = " ".join(f"{name} {value:.3f}" for name, value in seen.losses.items())
            bars.update(
                task,
                completed=seen.step,
                total=seen.steps,
                epoch=f"{seen.epoch}/{seen.epochs}",
                losses=f"{parts} acc {seen.accuracy:.2f} "
                f"{seen.images_per_second:.1f} img/s {seen.seconds_left / 60:.0f} min left",
            )

        yield on_step


def show_epoch(console: Console, epoch: int, means: dict[str, float], seen: Glance | None) -> None:
    """One line an epoch, which stays on the screen."""
    total = sum(value for name, value in means.items() if name != "accuracy")
    line = f"epoch {epoch}: loss {total:.3f}, accuracy {means['accuracy']:.3f}"
    if seen is not None:
        figures = [f"AUC {m} {v:.3f}" for m, v in seen.auc.items()]
        figures += [f"Dice {m} {v:.3f}" for m, v in seen.dice.items()]
        line += f"; val {', '.join(figures)}"
    console.print(line, highlight=False)
