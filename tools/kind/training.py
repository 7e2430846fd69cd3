"""Training of the kind network: balanced draws, a moving average, a clean stop, folds."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from mammosono.appliance.pipeline.kind import CLASSES, look
from mammosono.tools.kind.augment import OTHER, SPOILT, SPOILT_GROUP, augment, spoil
from mammosono.tools.kind.family import GROUPS
from mammosono.tools.kind.material import PHANTOM, Pictured, spoilt
from mammosono.tools.kind.network import KindConfig, KindNetwork
from mammosono.tools.training.checkpoint import BadRun, load, save
from mammosono.tools.training.devices import interruptible
from mammosono.tools.training.learner import moving_average

_AHEAD = 3
CLASS_SHARES = (0.29, 0.29, 0.42)
"""Of a batch, by class: other things are of more kinds."""


@dataclass(frozen=True, slots=True)
class KindTraining:
    """without: groups of families and hospitals that are left out, to be judged on."""

    network: KindConfig = field(default_factory=KindConfig)
    epochs: int = 8
    steps: int = 100
    """Of an epoch."""
    batch: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    ema_decay: float = 0.99
    smoothing: float = 0.02
    seed: int = 0
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """share: of the whole training that is done. loss: mean of the epoch so far."""

    epoch: int
    share: float
    loss: float


class Draws:
    """Draws of training pictures: a class, then a hospital or a group of families, then a family,
    then a picture, so that large sets do not crowd out small ones."""

    def __init__(self, pictures: Sequence[Pictured], without: Sequence[str]) -> None:
        """Raises ValueError if a class has no picture left."""
        self._tree: list[dict[str, dict[str, list[Pictured]]]] = [{} for _ in CLASSES]
        for one in pictures:
            if one.split == "train" and one.name not in without and one.group not in without:
                groups = self._tree[one.kind].setdefault(one.group or one.name, {})
                groups.setdefault(one.name, []).append(one)
        for name, known in zip(CLASSES, self._tree, strict=True):
            if not known:
                raise ValueError(f"no picture of class {name} is left to learn from")
        self._spoils = SPOILT_GROUP not in without

    def example(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], int]:
        """The network's input [2, H, W] and the class."""
        kind = int(rng.choice(len(CLASSES), p=CLASS_SHARES))
        groups = list(self._tree[kind])
        if kind == OTHER and self._spoils:
            groups.append(SPOILT_GROUP)
        group = groups[int(rng.integers(len(groups)))]
        if group == SPOILT_GROUP:
            grey = self._spoilt(rng)
        else:
            families = list(self._tree[kind][group].values())
            weights = np.sqrt([len(family) for family in families])
            family = families[int(rng.choice(len(families), p=weights / weights.sum()))]
            grey = family[int(rng.integers(len(family)))].grey
        return look(augment(grey, kind, rng))[0], kind

    def _spoilt(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        kind = int(rng.integers(2))
        hospitals = [one for group in self._tree[kind].values() for one in group.values()]
        pictures = hospitals[int(rng.integers(len(hospitals)))]
        way = SPOILT[int(rng.integers(len(SPOILT)))]
        return spoil(pictures[int(rng.integers(len(pictures)))].grey, way, rng)


class KindTrainer:
    """One run: a folder with config.json, last.pt, best.pt and curves.csv.

    `fit` goes on from last.pt where there is one. Batch k of epoch e is the same whenever drawn.
    """

    def __init__(
        self, folder: Path, config: KindTraining, pictures: Sequence[Pictured],
        provenance: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """provenance: of the data; goes into best.pt and from there into a bundle.

        Raises BadRun if the folder holds a run of another configuration, ValueError if a class has
        no pictures.
        """
        torch.manual_seed(config.seed)
        self.folder, self.config, self.provenance = folder, config, dict(provenance)
        self._draws = Draws(pictures, config.without)
        self._val = validation(pictures, config.without)
        # Channels last is the faster layout on processors.
        self.network = KindNetwork(config.network)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(
            self.network, multi_avg_fn=moving_average(config.ema_decay), use_buffers=True
        )
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.epoch, self.step, self.best = 0, 0, math.inf
        self._resume()

    def fit(
        self, on_step: Callable[[Step], None], on_epoch: Callable[[int, dict[str, float]], None]
    ) -> bool:
        """Train to the end; False if stopped by Ctrl-C (the checkpoint is whole).

        Raises ArithmeticError if the loss becomes NaN or infinite.
        """
        _write_config(self.folder, self.config)
        with interruptible() as stopped:
            while self.epoch < self.config.epochs and not stopped():
                loss = self._epoch(on_step, stopped)
                if self.step < self.config.steps:
                    break
                figures = {"loss": loss, **self._validate()}
                self.epoch, self.step = self.epoch + 1, 0
                _add_row(self.folder / "curves.csv", self.epoch, figures)
                self._save()
                on_epoch(self.epoch, figures)
        self._save()
        return self.epoch >= self.config.epochs

    def _share(self) -> float:
        return (self.epoch + self.step / self.config.steps) / self.config.epochs

    def _epoch(self, on_step: Callable[[Step], None], stopped: Callable[[], bool]) -> float:
        self.network.train()
        total, first = 0.0, self.step
        for inputs, kinds in self._batches():
            logits = self.network.logits(inputs)
            loss = functional.cross_entropy(logits, kinds, label_smoothing=self.config.smoothing)
            if not torch.isfinite(loss):
                raise ArithmeticError(
                    f"the loss is {loss.item()} in epoch {self.epoch + 1}: go on from the last "
                    "checkpoint with another seed"
                )
            rate = self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * self._share()))
            self.optimizer.param_groups[0]["lr"] = max(rate, 1e-6)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.average.update_parameters(self.network)
            total += loss.item()
            self.step += 1
            on_step(Step(self.epoch + 1, self._share(), total / (self.step - first)))
            if stopped():
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
        inputs, kinds = zip(
            *(self._draws.example(rng) for _ in range(self.config.batch)), strict=True
        )
        stacked = torch.from_numpy(np.stack(inputs))
        return stacked.contiguous(memory_format=torch.channels_last), torch.tensor(kinds)

    def _validate(self) -> dict[str, float]:
        """Mean over hospitals and families of the loss and of the share of right answers; the
        network with the least loss is kept."""
        averaged = self.average.module
        assert isinstance(averaged, KindNetwork)
        averaged.eval()
        losses, right = [], []
        for kind, greys in self._val.values():
            answers = probabilities(averaged, greys)
            losses.append(float(-np.log(np.maximum(answers[:, kind], 1e-6)).mean()))
            right.append(float((answers.argmax(1) == kind).mean()))
        loss = float(np.mean(losses))
        if loss < self.best:
            self.best = loss
            state = {"network": averaged.state_dict(), "provenance": self.provenance}
            save(self.folder, "best.pt", state)
        return {"val_loss": loss, "val_right": float(np.mean(right))}

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
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
            self.epoch, self.step, self.best = state["epoch"], state["step"], state["best"]
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise BadRun(
                "last.pt is of another configuration: give that one, or another run folder"
            ) from None


def validation(
    pictures: Sequence[Pictured], without: Sequence[str]
) -> dict[str, tuple[int, list[NDArray[np.uint8]]]]:
    """Of the split val, by hospital or family: the class and the pictures; spoilt ones as well."""
    own = [p for p in pictures if p.split == "val" and p.name not in without]
    found: dict[str, tuple[int, list[NDArray[np.uint8]]]] = {}
    for one in (*own, *spoilt(own)):
        if one.group not in without:
            found.setdefault(f"{CLASSES[one.kind]}/{one.name}", (one.kind, []))[1].append(one.grey)
    return found


def probabilities(network: KindNetwork, greys: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """[n, classes] of pictures [H, W], by a network in evaluation mode."""
    answers = []
    with torch.inference_mode():
        for k in range(0, len(greys), 64):
            inputs = np.concatenate([look(grey) for grey in greys[k : k + 64]])
            answers.append(network(torch.from_numpy(inputs)).numpy())
    return np.concatenate(answers)


def folds(pictures: Sequence[Pictured]) -> list[tuple[str, ...]]:
    """What is left out in turn: each group of families, and beside the first of them each hospital
    of a modality that has another."""
    hospitals = {
        kind: sorted({p.name for p in pictures if p.kind == kind and p.split == "train"})
        for kind in range(len(CLASSES))
        if kind != OTHER
    }
    real = [
        name
        for names in hospitals.values()
        for name in names
        if name != PHANTOM and len({*names} - {PHANTOM}) > 1
    ]
    return [(group, *real[k : k + 1]) for k, group in enumerate(GROUPS)]


def _write_config(folder: Path, config: KindTraining) -> None:
    """Print the whole configuration into the run folder."""
    temporary = folder / ".config.json.part"
    temporary.write_text(json.dumps(asdict(config), indent=2) + "\n")
    temporary.replace(folder / "config.json")


def best_kind(run: Path) -> tuple[KindNetwork, dict[str, Any]]:
    """A run's best weights in evaluation mode, and their provenance. Raises BadRun."""
    try:
        entry = json.loads((run / "config.json").read_text())["network"]
        config = KindConfig(tuple(entry["channels"]), tuple(entry["convolutions"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise BadRun("the run's config.json is missing or damaged: train-kind first") from None
    state = load(run / "best.pt")
    network = KindNetwork(config)
    try:
        network.load_state_dict(state["network"])
        return network.eval(), dict(state["provenance"])
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise BadRun("the run's best.pt is of another network: train it again") from None


def left_out(run: Path) -> tuple[str, ...]:
    """The families' groups and hospitals that a run did not learn from. Raises BadRun."""
    try:
        return tuple(json.loads((run / "config.json").read_text())["without"])
    except (OSError, ValueError, KeyError, TypeError):
        raise BadRun("the run's config.json is missing or damaged: train-kind first") from None


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
