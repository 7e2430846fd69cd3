"""What a person at the terminal sees of a training run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars

from mammosono.tools.training.pace import Pace
from mammosono.tools.training.progress import Progress
from mammosono.tools.training.validate import Glance


@contextmanager
def step_bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    """A bar over the steps of an epoch, in 80 columns: loss, images a second, how much of the time
    went by waiting for data, GPU memory, and time left. The loss by its parts is in curves.csv."""
    columns = (
        TextColumn("epoch {task.fields[epoch]}"), BarColumn(5), MofNCompleteColumn(),
        TextColumn("{task.fields[seen]}"),
    )  # fmt: skip
    with Bars(*columns, console=console) as bars:
        task = bars.add_task("train", total=None, epoch="", seen="")

        def on_step(seen: Progress) -> None:
            bars.update(
                task,
                completed=seen.step,
                total=seen.steps,
                epoch=f"{seen.epoch}/{seen.epochs}",
                seen=f"loss {sum(seen.losses.values()):.2f} {_pace(seen.pace)} "
                f"{_left(seen.seconds_left)} left",
            )

        yield on_step


def _pace(pace: Pace) -> str:
    memory = "" if pace.gpu_memory_gib is None else f" {pace.gpu_memory_gib:.1f} GiB"
    return f"{pace.images_per_second:.1f} img/s wait {pace.wait_share:.0%}{memory}"


def _left(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def show_epoch(console: Console, epoch: int, means: dict[str, float], seen: Glance | None) -> None:
    """One line an epoch, which stays on the screen."""
    total = sum(value for name, value in means.items() if name != "accuracy")
    line = f"epoch {epoch}: loss {total:.3f}, accuracy {means['accuracy']:.3f}"
    if seen is not None:
        figures = [f"AUC {m} {v:.3f}" for m, v in seen.auc.items()]
        figures += [f"Dice {m} {v:.3f}" for m, v in seen.dice.items()]
        line += f"; val {', '.join(figures)}"
    console.print(line, highlight=False)
