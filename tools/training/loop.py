"""The training loop: epochs, schedule, EMA, checkpoints, a clean stop on Ctrl-C."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Sampler

from tools.data.augment import Example
from tools.data.sample import Sample
from tools.data.sampler import Draws, stack_images
from tools.network.config import TrainConfig
from tools.network.model import RefinedMaskRcnn
from tools.training import checkpoint
from tools.training.curves import Curves
from tools.training.step import Losses, batch_losses
from tools.training.validate import Glance, glance

LOSS_PARTS = ("rpn_class", "rpn_box", "classes", "box", "mask", "image")


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
            multi_avg_fn=_moving_average(config.ema_decay),
            use_buffers=True,
        )
        self.optimizer = _optimizer(self.network, config)
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
        with _interruptible() as stopped:
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
        totals = _Totals()
        for examples in self._loader(first):
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
        with torch.autocast(self.device.type, torch.bfloat16, enabled=_has_bf16(self.device)):
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

    def _loader(self, first: int) -> DataLoader[Any]:
        return DataLoader(
            self.draws,
            batch_size=self.config.batch_size,
            sampler=_From(first * self.config.batch_size, len(self.draws)),
            num_workers=self.workers,
            collate_fn=list,
            prefetch_factor=4 if self.workers else None,
            worker_init_fn=_worker,
            # Its own, since every new loader draws from it: a resumed run needs one loader more.
            generator=torch.Generator(),
        )

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


def _optimizer(network: RefinedMaskRcnn, config: TrainConfig) -> torch.optim.Optimizer:
    # A list, never a set: a checkpoint knows the moments of a weight by its place alone.
    backbone = list(network.trunk.backbone.parameters())
    inside = {id(p) for p in backbone}
    share = config.backbone_rate if config.pretrained else 1.0
    groups = [
        {"params": [p for p in backbone if p.requires_grad], "share": share},
        {"params": [p for p in network.parameters() if id(p) not in inside], "share": 1.0},
    ]
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(
        groups,
        lr=config.learning_rate,
        betas=(config.beta1, 0.999),
        weight_decay=config.weight_decay,
    )


def _moving_average(
    decay: float,
) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Exponential, with a horizon that grows with the steps: the start is soon forgotten."""

    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        steps = int(count)
        keep = min(decay, (1 + steps) / (10 + steps))
        for old, new in zip(averaged, current, strict=True):
            if old.is_floating_point():
                old.lerp_(new, 1 - keep)
            else:
                old.copy_(new)

    return update


def _has_bf16(device: torch.device) -> bool:
    """bf16 doubles the speed where the hardware has it and halves it where it has not."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())


def _worker(_number: int) -> None:
    """One thread each, and the trainer alone hears Ctrl-C: the batch at hand is still made."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _From(Sampler[int]):
    def __init__(self, first: int, length: int) -> None:
        self._range = range(first, length)

    def __iter__(self) -> Iterator[int]:
        return iter(self._range)

    def __len__(self) -> int:
        return len(self._range)


class _Totals:
    def __init__(self) -> None:
        self._sums = dict.fromkeys(LOSS_PARTS, 0.0)
        self._batches = self._correct = self._known = 0

    def add(self, losses: Losses) -> None:
        for part in LOSS_PARTS:
            self._sums[part] += float(getattr(losses, part).detach())
        self._batches += 1
        self._correct += losses.image_correct
        self._known += losses.image_count

    def means(self) -> dict[str, float]:
        return {part: total / max(self._batches, 1) for part, total in self._sums.items()}

    def accuracy(self) -> float:
        """Of the whole-image head on the augmented training images."""
        return self._correct / max(self._known, 1)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask for a stop after the running step; a second Ctrl-C is sudden."""
    asked = False

    def ask(_signal: int, _frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
