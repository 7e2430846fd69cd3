"""The training loop: epochs, schedule, EMA, checkpoints, a clean stop on Ctrl-C."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel

from tools.data.augment import Example
from tools.data.sample import Sample
from tools.data.sampler import Draws, stack_images
from tools.network.config import TrainConfig
from tools.network.model import RefinedMaskRcnn
from tools.training import checkpoint
from tools.training.curves import Curves
from tools.training.interrupt import interruptible
from tools.training.loader import batches_from
from tools.training.optimizer import has_bf16, make_optimizer, moving_average
from tools.training.step import Losses, batch_losses
from tools.training.totals import Totals
from tools.training.validate import Glance, glance


@dataclass(frozen=True, slots=True)
class Progress:
    """One step's report: losses averaged over the epoch so far, and seconds left."""

    epoch: int
    epochs: int
    step: int
    steps: int
    losses: dict[str, float]
    accuracy: float
    images_per_second: float
    seconds_left: float


class Trainer:
    """One run: a folder with config.json, last.pt, best.pt, curves.csv and curves.png.

    `fit` goes on from last.pt where there is one. Draw k of epoch e is the same whenever it is
    drawn, so a resumed run sees what the uninterrupted one would have seen.
    """

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        train: Sequence[Sample],
        val: Sequence[Sample],
        *,
        workers: int = 1,
        validate_every: int = 2,
        initial: dict[str, Any] | None = None,
    ) -> None:
        """initial: a state dict of the same network to start from in place of ImageNet's."""
        torch.manual_seed(config.seed)
        self.folder, self.config = folder, config
        self.val, self.validate_every, self.workers = val, validate_every, workers
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        length = sum(sample.source != "phantom" for sample in train) or len(train)
        geometry = config.network.geometry
        self.draws = Draws(
            train,
            geometry.input_size,
            config.percentiles,
            config.phantom_share,
            config.seed,
            length - length % (config.batch_size * config.accumulate) or length,
        )
        self.batches = math.ceil(len(self.draws) / config.batch_size)
        network = RefinedMaskRcnn(config.network)
        if config.pretrained:
            network.load_pretrained(config.frozen_blocks)
        if initial is not None:
            network.load_state_dict(initial)
        self.network = network.to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(
            self.network,
            multi_avg_fn=moving_average(config.ema_decay),
            use_buffers=True,
        )
        self.optimizer = make_optimizer(self.network, config)
        self.curves = Curves(folder)
        self.epoch, self.batch, self.steps_done, self.best = 0, 0, 0, -math.inf
        self._resume()

    def fit(
        self,
        on_step: Callable[[Progress], None],
        on_epoch: Callable[[int, dict[str, float], Glance | None], None],
    ) -> bool:
        """Train to the last epoch; False if stopped by Ctrl-C (the checkpoint is whole).

        Raises ArithmeticError if the loss becomes NaN or infinite; last.pt is then the state
        before that epoch.
        """
        checkpoint.write_config(self.folder, self.config)
        with interruptible() as stopped:
            while self.epoch < self.config.epochs and not stopped():
                means = self._epoch(on_step, stopped)
                if self.batch < self.batches:
                    self._save()
                    break
                seen = self._validate()
                self.curves.add(self.epoch + 1, means, seen)
                self.epoch, self.batch = self.epoch + 1, 0
                self._save()
                on_epoch(self.epoch, means, seen)
        return self.epoch >= self.config.epochs

    def _epoch(
        self, on_step: Callable[[Progress], None], stopped: Callable[[], bool]
    ) -> dict[str, float]:
        self.network.train()
        self.draws.epoch = self.epoch
        first, started, images = self.batch, monotonic(), 0
        totals = Totals()
        for examples in batches_from(self.draws, first, self.config.batch_size, self.workers):
            images += len(examples)
            totals.add(self._batch(examples))
            self.batch += 1
            speed = images / (monotonic() - started)
            left = self.batches * (self.config.epochs - self.epoch) - self.batch
            on_step(
                Progress(
                    self.epoch + 1,
                    self.config.epochs,
                    self.batch,
                    self.batches,
                    totals.means(),
                    totals.accuracy(),
                    speed,
                    left * self.config.batch_size / speed,
                )
            )
            # Gradients of a step that is not yet taken are not in the checkpoint.
            if stopped() and self._completes_step(self.batch - 1):
                break
        return {**totals.means(), "accuracy": totals.accuracy()}

    def _batch(self, examples: list[Example]) -> Losses:
        config = self.config
        images = stack_images(examples, config.mean, config.std)
        images = images.to(self.device, memory_format=torch.channels_last)
        rng = np.random.default_rng((config.seed, self.epoch, self.batch, 1))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_bf16(self.device)):
            losses = batch_losses(self.network, images, examples, config, rng)
            total = losses.total(config.loss.image_weight)
        if not torch.isfinite(total):
            raise ArithmeticError(
                f"the loss is {total.detach()} in epoch {self.epoch + 1}: "
                "go on from the last checkpoint with a lower learning rate"
            )
        (total / config.accumulate).backward()  # type: ignore[no-untyped-call]
        if self._completes_step(self.batch):
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.gradient_clip)
            self._schedule()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.average.update_parameters(self.network)
            self.steps_done += 1
        return losses

    def _completes_step(self, batch: int) -> bool:
        """Every `accumulate` batches make a step, and the last ones of an epoch make one too."""
        return (batch + 1) % self.config.accumulate == 0 or batch + 1 == self.batches

    def _schedule(self) -> None:
        """Linear warm-up, then a half cosine over the batches of all epochs."""
        done = (self.epoch * self.batches + self.batch) / (self.config.epochs * self.batches)
        warm = min(1.0, (self.steps_done + 1) / self.config.warmup_steps)
        rate = warm * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * group["share"] * max(rate, 1e-3)

    def _validate(self) -> Glance | None:
        last = self.epoch + 1 == self.config.epochs
        if not self.val or ((self.epoch + 1) % self.validate_every and not last):
            return None
        averaged = self.average.module
        assert isinstance(averaged, RefinedMaskRcnn)
        seen = glance(averaged, self.val, self.config)
        if seen.score > self.best:
            self.best = seen.score
            checkpoint.save(
                self.folder,
                "best.pt",
                {"network": averaged.state_dict(), "epoch": self.epoch + 1, "score": seen.score},
            )
        return seen

    def _save(self) -> None:
        checkpoint.save(
            self.folder,
            "last.pt",
            {
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "epoch": self.epoch,
                "batch": self.batch,
                "steps_done": self.steps_done,
                "best": self.best,
                "torch_rng": torch.get_rng_state(),
            },
        )

    def _resume(self) -> None:
        if not (self.folder / "last.pt").exists():
            return
        state = checkpoint.load(self.folder / "last.pt")
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.batch = state["epoch"], state["batch"]
            self.steps_done, self.best = state["steps_done"], state["best"]
            torch.set_rng_state(state["torch_rng"])
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise checkpoint.BadRun(
                "last.pt is of another configuration: give that one, or another run folder"
            ) from None
