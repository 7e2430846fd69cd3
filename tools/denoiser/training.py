"""Training of the denoiser: its data, steps on drawn patches, a moving average, a clean stop."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel

from mammosono.appliance.values import Modality
from mammosono.tools.data.index import Record, select, split_hash
from mammosono.tools.denoiser.network import Denoiser, DenoiserConfig
from mammosono.tools.denoiser.pictures import (
    FILMS,
    Picture,
    clean_pictures,
    noisy_pictures,
    self_supervised,
    supervised,
)
from mammosono.tools.denoiser.validation import Trial, gains, trials, with_network
from mammosono.tools.network.config import preset
from mammosono.tools.training.checkpoint import BadRun, load, save
from mammosono.tools.training.devices import interruptible
from mammosono.tools.training.learner import moving_average

TRAIN_SEEDS = range(20_000, 20_060)
VAL_SEEDS = range(30_000, 30_024)
"""Of phantoms; the detector's begin at 10 000 and the demo's are below 1000."""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """provenance: plain values for a manifest."""

    pictures: list[Picture]
    trials: list[Trial]
    provenance: dict[str, Any]


def material(
    records: Sequence[Record],
    source: str,
    self_supervised: bool,
    on_picture: Callable[[int, int], None],
) -> Material:
    """Pictures of the split `train` and phantoms; validation patches of `val` and other phantoms.

    Films are cut to the compact network's input, for which the appliance will denoise them.
    Raises ValueError if the index has no mammogram of the source in either split; BadTruth.
    """
    films = {
        split: select(records, split=split, sources=[source], modality=Modality.MG)
        for split in ("train", "val")
    }
    for split, found in films.items():
        if not found:
            raise ValueError(
                f"the index holds no {split} mammogram of {source}: name its own with --source"
            )
    size = preset("compact").network.geometry.input_size
    read = noisy_pictures if self_supervised else clean_pictures
    pictures = read(films["train"], TRAIN_SEEDS, size, on_picture)
    val = trials(clean_pictures(films["val"], VAL_SEEDS, size, lambda done, of: None))
    provenance = {
        "method": "recorrupted-to-recorrupted" if self_supervised else "supervised",
        "sources": [source, "phantoms"],
        "split_sha256": split_hash([*films["train"], *films["val"]]),
        "images": {
            "films": min(len(films["train"]), FILMS),
            "phantoms": len(TRAIN_SEEDS),
            "val_patches": len(val),
        },
    }
    return Material(pictures, val, provenance)


_AHEAD = 3


@dataclass(frozen=True, slots=True)
class DenoiserTraining:
    """minutes: train for so long in place of `epochs`; the rate falls to zero by then."""

    network: DenoiserConfig = field(default_factory=DenoiserConfig)
    self_supervised: bool = False
    epochs: int = 25
    minutes: float | None = None
    steps: int = 500
    """Of an epoch."""
    batch: int = 16
    learning_rate: float = 2e-3
    ema_decay: float = 0.999
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """share: of the whole training that is done. left: variance of the noise not recognised."""

    epoch: int
    share: float
    left: float


class DenoiserTrainer:
    """One run: a folder with config.json, last.pt, best.pt and curves.csv.

    `fit` goes on from last.pt where there is one. Batch k of epoch e is the same whenever drawn.
    """

    def __init__(
        self,
        folder: Path,
        config: DenoiserTraining,
        pictures: Sequence[Picture],
        val: Sequence[Trial],
        provenance: Mapping[str, Any],
    ) -> None:
        """pictures: clean ones, or as they come where `config.self_supervised`.
        provenance: of the data; goes into best.pt and from there into a bundle.

        Raises BadRun if the folder holds a run of another configuration."""
        torch.manual_seed(config.seed)
        self.folder, self.config = folder, config
        self.pictures, self.val, self.provenance = pictures, val, dict(provenance)
        self.network = Denoiser(config.network)
        self.average = AveragedModel(self.network, multi_avg_fn=moving_average(config.ema_decay))
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate)
        self.epoch, self.step, self.seconds, self.best = 0, 0, 0.0, -math.inf
        self._resume()

    def fit(
        self,
        on_step: Callable[[Step], None],
        on_epoch: Callable[[int, dict[str, float]], None],
    ) -> bool:
        """Train to the end; False if stopped by Ctrl-C (the checkpoint is whole).

        Raises ArithmeticError if the loss becomes NaN or infinite; last.pt is then the state
        before that epoch.
        """
        write_config(self.folder, self.config)
        with interruptible() as stopped:
            while self._share() < 1 and not stopped():
                left = self._epoch(on_step, stopped)
                if self.step < self.config.steps and self._share() < 1:
                    break
                figures = {"left": left, **self._validate()}
                self.epoch, self.step = self.epoch + 1, 0
                _add_row(self.folder / "curves.csv", self.epoch, figures)
                self._save()
                on_epoch(self.epoch, figures)
        self._save()
        return self._share() >= 1

    def _share(self) -> float:
        if self.config.minutes is not None:
            return min(self.seconds / (60 * self.config.minutes), 1.0)
        return min((self.epoch + self.step / self.config.steps) / self.config.epochs, 1.0)

    def _epoch(self, on_step: Callable[[Step], None], stopped: Callable[[], bool]) -> float:
        self.network.train()
        total, before, first = 0.0, monotonic(), self.step
        for noisy, noise in self._batches():
            loss = (self.network(noisy) - noise).square().mean()
            if not torch.isfinite(loss):
                raise ArithmeticError(
                    f"the loss is {loss.item()} in epoch {self.epoch + 1}: go on from the last "
                    "checkpoint with another seed"
                )
            rate = self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * self._share()))
            self.optimizer.param_groups[0]["lr"] = max(rate, 1e-6)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.average.update_parameters(self.network)
            total += loss.item()
            self.step += 1
            now = monotonic()
            self.seconds, before = self.seconds + now - before, now
            on_step(Step(self.epoch + 1, self._share(), total / (self.step - first)))
            if stopped() or self._share() >= 1:
                break
        return total / max(self.step - first, 1)

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """What is left of the epoch, drawn a little ahead."""
        steps = range(self.step, self.config.steps)
        with ThreadPoolExecutor(1) as pool:
            coming = [pool.submit(self._draw, self.epoch, k) for k in steps[:_AHEAD]]
            try:
                for k in steps:
                    if k + _AHEAD < self.config.steps:
                        coming.append(pool.submit(self._draw, self.epoch, k + _AHEAD))
                    yield coming.pop(0).result()
            finally:
                for future in coming:
                    future.cancel()

    def _draw(self, epoch: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng((self.config.seed, epoch, step))
        draw = self_supervised if self.config.self_supervised else supervised
        noisy, noise = zip(
            *(draw(self.pictures, rng) for _ in range(self.config.batch)), strict=True
        )
        return torch.from_numpy(np.stack(noisy)[:, None]), torch.from_numpy(
            np.stack(noise)[:, None]
        )

    def _validate(self) -> dict[str, float]:
        averaged = self.average.module
        assert isinstance(averaged, Denoiser)
        found = gains(with_network(averaged.eval()), self.val)
        score = float(np.mean(list(found.values())))
        if score > self.best:
            self.best = score
            provenance = {**self.provenance, "psnr_gain_db": found, "steps": self._steps()}
            state = {"network": averaged.state_dict(), "provenance": provenance}
            save(self.folder, "best.pt", state)
        return found

    def _steps(self) -> int:
        return self.epoch * self.config.steps + self.step

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


def write_config(folder: Path, config: DenoiserTraining) -> None:
    """Print the whole configuration into the run folder."""
    temporary = folder / ".config.json.part"
    temporary.write_text(json.dumps(asdict(config), indent=2) + "\n")
    temporary.replace(folder / "config.json")


def best_denoiser(run: Path) -> tuple[Denoiser, dict[str, Any]]:
    """A run's best weights in evaluation mode, and their provenance. Raises BadRun."""
    try:
        entry = json.loads((run / "config.json").read_text())["network"]
        config = DenoiserConfig(*(tuple(entry[name]) for name in ("channels", "down", "up")))
    except (OSError, ValueError, KeyError, TypeError):
        raise BadRun("the denoiser's config.json is missing or damaged: train it first") from None
    state = load(run / "best.pt")
    network = Denoiser(config)
    try:
        network.load_state_dict(state["network"])
        return network.eval(), dict(state["provenance"])
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise BadRun("the denoiser's best.pt is of another network: train it again") from None


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
