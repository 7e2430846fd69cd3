"""Training loop: epochs, schedule, checkpoints, early stop, a clean stop on Ctrl-C."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from lightning_fabric import Fabric

from mammosono.tools.data.sample import Sample, with_views, without_classes
from mammosono.tools.network.config import TrainConfig
from mammosono.tools.training import checkpoint
from mammosono.tools.training.checkpoint import DataMark, marks, refuse_other
from mammosono.tools.training.datasets import Draws, Plan, step_batches
from mammosono.tools.training.devices import added_up, gathered, interruptible, open_fabric
from mammosono.tools.training.display import (
    CurveFiles,
    OnEpoch,
    OnStep,
    Progress,
    StepTimer,
    TensorBoardLog,
    Throughput,
)
from mammosono.tools.training.learner import Learner
from mammosono.tools.training.step import Totals
from mammosono.tools.training.validate import Validation, validate


class Trainer:
    """One run: a folder with config.json, last.pt, best.pt, curves.csv, curves.png, tensorboard.

    `fit` goes on from last.pt where there is one. Draw k of epoch e is the same whenever and
    wherever it is drawn, so a resumed run sees what the uninterrupted one would have seen, on
    however many devices. Every rank runs one; rank 0 writes.
    """

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        train: Sequence[Sample],
        val: Sequence[Sample],
        *,
        fabric: Fabric | None = None,
        data: DataMark | None = None,
        workers: int = 1,
        checkpoint_minutes: float = 10.0,
        checkpoint_steps: int | None = None,
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        """fabric: one device if not given. data: what the samples are of, for the record.
        checkpoint_minutes, checkpoint_steps: how often last.pt is written within an epoch.
        initial: a state dict of the same network to start from in place of ImageNet's.

        Raises BadRun if the folder holds a run of another configuration or a damaged checkpoint,
        ValueError if the batch cannot be dealt out to the devices.
        """
        self.folder, self.config, self.data, self.workers = folder, config, data, workers
        self.fabric = fabric or open_fabric(1, config.precision)
        self.checkpoint_steps, self.checkpoint_seconds = checkpoint_steps, checkpoint_minutes * 60
        train, self.val = ([_as_taught(s, config) for s in part] for part in (train, val))
        self.plan = Plan.of(
            sum(sample.source != "phantom" for sample in train) or len(train),
            config.batch_size,
            config.micro_batch,
            self.fabric.global_rank,
            self.fabric.world_size,
        )
        geometry = config.network.geometry
        self.draws = Draws(
            train,
            geometry.input_size,
            config.percentiles,
            config.phantom_share,
            config.seed,
            self.plan.length,
            balance=config.balance,
            scanner=config.augmentation == "scanner",
            patch=config.patch,
        )
        if (folder / "last.pt").exists():
            refuse_other(folder, config, data)
        self.learner = Learner(self.fabric, config, initial)
        self.curves = CurveFiles(folder)
        self.epoch, self.step, self.best, self.stale = 0, 0, -math.inf, 0
        self._resume()

    @property
    def steps_done(self) -> int:
        return self.epoch * self.plan.steps + self.step

    @property
    def finished(self) -> bool:
        """All epochs are done, or validation has not become better for `patience` looks."""
        return self.epoch >= self.config.epochs or self.stopped_early

    @property
    def stopped_early(self) -> bool:
        return 0 < self.config.patience <= self.stale

    def fit(self, on_step: OnStep, on_epoch: OnEpoch) -> bool:
        """Train to the last epoch; False if stopped by Ctrl-C (the checkpoint is whole).

        Raises ArithmeticError if the loss becomes NaN or infinite; last.pt is then the last
        state that was saved before.
        """
        writes = self.fabric.is_global_zero
        if writes:
            checkpoint.write_config(self.folder, self.config, **marks(self.data))
        log = TensorBoardLog(self.folder / "tensorboard", self.steps_done) if writes else None
        stopped = False
        with interruptible() as asked:
            while not self.finished and not stopped:
                means, throughput, stopped = self._epoch(on_step, asked, log)
                if self.step < self.plan.steps:
                    self._save()
                    break
                validation = self._validate()
                self.epoch, self.step = self.epoch + 1, 0
                if writes:
                    self.curves.add(self.epoch, means, validation, throughput)
                if log:
                    log.epoch(self.epoch, means, validation)
                self._save()
                on_epoch(self.epoch, means, validation)
        if log:
            log.close()
        return self.finished

    def _epoch(
        self, on_step: OnStep, asked: Callable[[], bool], log: TensorBoardLog | None
    ) -> tuple[dict[str, float], Throughput | None, bool]:
        """Means, throughput, and whether some rank was asked to stop: the same on every rank."""
        config, plan, totals = self.config, self.plan, Totals()
        self.draws.epoch = self.epoch
        timer, saved = StepTimer(self.fabric.device), monotonic()
        made = step_batches(self.draws, plan, self.step, self.workers, config.mean, config.std)
        throughput, stop = None, False
        for batches in timer.waiting_for(made):
            draws = plan.batches(self.step)
            rate = self._rate()
            step = self.learner.step(batches, draws, self.epoch, rate)
            totals.add(step)
            self.step += 1
            images = min(config.batch_size, plan.length)
            throughput = timer.add(images)
            left = (config.epochs - self.epoch) * plan.steps - self.step
            on_step(
                Progress(
                    self.epoch + 1,
                    config.epochs,
                    self.step,
                    plan.steps,
                    totals.means(),
                    totals.accuracy(),
                    throughput,
                    left * images / throughput.images_per_second,
                )
            )
            if log:
                log.step(self.steps_done, step.loss(config.loss.image_weight), rate, throughput)
            stop = added_up(self.fabric, [asked()])[0] > 0  # every rank after the same step
            if stop:
                break
            if self.step < plan.steps and self._due(saved):
                self._save()
                saved = monotonic()
        return {**totals.means(), "accuracy": totals.accuracy()}, throughput, stop

    def _due(self, saved: float) -> bool:
        if self.checkpoint_steps:
            return self.step % self.checkpoint_steps == 0
        return monotonic() - saved >= self.checkpoint_seconds

    def _rate(self) -> float:
        """Of the coming step: linear warm-up, then a half cosine over the steps of all epochs."""
        done = self.steps_done / (self.config.epochs * self.plan.steps)
        warm = min(1.0, (self.steps_done + 1) / self.config.warmup_steps)
        return self.config.learning_rate * max(
            warm * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))), 1e-3
        )

    def _validate(self) -> Validation | None:
        """Every so many epochs, each rank a part of the images; the best weights are kept."""
        number = self.epoch + 1
        if not self.val or (number % self.config.validate_every and number < self.config.epochs):
            return None
        own = self.val[self.fabric.global_rank :: self.fabric.world_size]
        validation = validate(
            self.learner.averaged, own, self.config, partial(gathered, self.fabric)
        )
        self.stale += 1
        if validation.score > self.best:
            self.best, self.stale = validation.score, 0
            if self.fabric.is_global_zero:
                weights = self.learner.averaged.state_dict()
                state = {"network": weights, "epoch": number, "score": validation.score}
                checkpoint.save(self.folder, "best.pt", state)
        return validation

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            place = {name: getattr(self, name) for name in ("epoch", "step", "best", "stale")}
            counted = {"steps_done": self.steps_done}
            checkpoint.save(self.folder, "last.pt", {**self.learner.state(), **place, **counted})

    def _resume(self) -> None:
        if (self.folder / "last.pt").exists():
            state = checkpoint.load(self.folder / "last.pt")
            try:
                self.learner.load(state)
                self.epoch, self.step = state["epoch"], state["step"]
                self.best, self.stale = state["best"], state["stale"]
            except (KeyError, TypeError, ValueError, RuntimeError):
                raise checkpoint.BadRun(
                    "last.pt is of another configuration: give that one, or another run folder"
                ) from None
        places = gathered(self.fabric, [(self.epoch, self.step)])
        if len(set(places)) > 1:
            raise checkpoint.BadRun(
                "the machines see different run folders: give one on storage that all of them share"
            )


def _as_taught(sample: Sample, config: TrainConfig) -> Sample:
    sample = with_views(sample, config.views)
    return without_classes(sample) if sample.source in config.class_free else sample
