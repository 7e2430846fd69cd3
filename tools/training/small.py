"""Training of a small network in one process: drawn batches, a moving average, a clean stop.

The denoiser and the kind network are trained so. The detector's own trainer (`loop`) does more.
"""

from __future__ import annotations

import csv
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mammosono.tools.training.checkpoint import BadRun, load, save, write_config
from mammosono.tools.training.devices import interruptible
from mammosono.tools.training.learner import moving_average

_AHEAD = 3

Network = TypeVar("Network", bound=nn.Module)


class SmallConfig(Protocol):
    """A dataclass with at least these fields. steps: of an epoch."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def epochs(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def ema_decay(self) -> float: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Step:
    """share: of the whole training that is done. loss: mean of the epoch so far."""

    epoch: int
    share: float
    loss: float


@dataclass(frozen=True, slots=True)
class Judged:
    """Of the averaged network on validation. score: greater is better. provenance: of best.pt."""

    figures: dict[str, float]
    score: float
    provenance: dict[str, Any]


class SmallTrainer(ABC, Generic[Network]):
    """One run: a folder with config.json, last.pt, best.pt and curves.csv.

    `fit` goes on from last.pt where there is one. Batch k of epoch e is the same whenever drawn.
    """

    loss_name: ClassVar[str] = "loss"

    def __init__(
        self, folder: Path, config: SmallConfig, network: Network,
        optimizer: torch.optim.Optimizer, *, average_buffers: bool = False,
    ) -> None:  # fmt: skip
        """average_buffers: of normalisation, with the weights.

        Raises BadRun if the folder holds a run of another configuration."""
        self.folder, self.network, self.optimizer = folder, network, optimizer
        self._settings = config
        self.average = AveragedModel(
            network, multi_avg_fn=moving_average(config.ema_decay), use_buffers=average_buffers
        )
        self.epoch, self.step, self.seconds, self.best = 0, 0, 0.0, -math.inf
        self._resume()

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A batch: inputs and what is wanted. Called in another thread."""

    @abstractmethod
    def loss(self, inputs: Tensor, wanted: Tensor) -> Tensor: ...

    @abstractmethod
    def judge(self, averaged: Network) -> Judged:
        """averaged: in evaluation mode."""

    def share(self) -> float:
        """Of the whole training that is done, 0 to 1."""
        done = self.epoch + self.step / self._settings.steps
        return min(done / self._settings.epochs, 1.0)

    def steps_done(self) -> int:
        return self.epoch * self._settings.steps + self.step

    def fit(
        self, on_step: Callable[[Step], None], on_epoch: Callable[[int, dict[str, float]], None]
    ) -> bool:
        """Train to the end; False if stopped by Ctrl-C (the checkpoint is whole).

        Raises ArithmeticError if the loss becomes NaN or infinite; last.pt is then the state
        before that epoch.
        """
        write_config(self.folder, self._settings)
        with interruptible() as stopped:
            while self.share() < 1 and not stopped():
                loss = self._epoch(on_step, stopped)
                if self.step < self._settings.steps and self.share() < 1:
                    break
                figures = {self.loss_name: loss, **self._validate()}
                self.epoch, self.step = self.epoch + 1, 0
                _add_row(self.folder / "curves.csv", self.epoch, figures)
                self._save()
                on_epoch(self.epoch, figures)
        self._save()
        return self.share() >= 1

    def _epoch(self, on_step: Callable[[Step], None], stopped: Callable[[], bool]) -> float:
        self.network.train()
        total, before, first = 0.0, monotonic(), self.step
        for inputs, wanted in self._batches():
            loss = self.loss(inputs, wanted)
            if not torch.isfinite(loss):
                raise ArithmeticError(
                    f"the loss is {loss.item()} in epoch {self.epoch + 1}: go on from the last "
                    "checkpoint with another seed"
                )
            rate = self._settings.learning_rate * 0.5 * (1 + math.cos(math.pi * self.share()))
            self.optimizer.param_groups[0]["lr"] = max(rate, 1e-6)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.average.update_parameters(self.network)
            total += loss.item()
            self.step += 1
            now = monotonic()
            self.seconds, before = self.seconds + now - before, now
            on_step(Step(self.epoch + 1, self.share(), total / (self.step - first)))
            if stopped() or self.share() >= 1:
                break
        return total / max(self.step - first, 1)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """What is left of the epoch, drawn a little ahead."""
        steps = range(self.step, self._settings.steps)
        with ThreadPoolExecutor(1) as pool:
            coming = [pool.submit(self._draw, self.epoch, k) for k in steps[:_AHEAD]]
            try:
                for k in steps:
                    if k + _AHEAD < self._settings.steps:
                        coming.append(pool.submit(self._draw, self.epoch, k + _AHEAD))
                    yield coming.pop(0).result()
            finally:
                for future in coming:
                    future.cancel()

    def _draw(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        return self.draw(np.random.default_rng((self._settings.seed, epoch, step)))

    def _validate(self) -> dict[str, float]:
        averaged: Any = self.average.module
        judged = self.judge(averaged.eval())
        if judged.score > self.best:
            self.best = judged.score
            state = {"network": averaged.state_dict(), "provenance": judged.provenance}
            save(self.folder, "best.pt", state)
        return judged.figures

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
        }
        save(self.folder, "last.pt", state)

    def _resume(self) -> None:
        if not (self.folder / "last.pt").exists():
            return
        state = load(self.folder / "last.pt")
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.step = state["epoch"], state["step"]
            self.seconds, self.best = state["seconds"], state["best"]
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise BadRun(
                "last.pt is of another configuration: give that one, or another run folder"
            ) from None


def _add_row(path: Path, epoch: int, figures: Mapping[str, float]) -> None:
    """Append an epoch; rows of the same or a later one are replaced."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["epoch"]) < epoch]
    rows.append({"epoch": epoch, **{name: f"{value:.4f}" for name, value in figures.items()}})
    temporary = path.with_suffix(".part")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[-1]), restval="")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)
