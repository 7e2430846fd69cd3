"""Training of the kind network: balanced draws, what is best, folds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from mammosono.appliance.pipeline.kind import CLASSES, look
from mammosono.tools.kind.augment import OTHER, US, augment
from mammosono.tools.kind.family import DISTORTED_GROUP, GROUPS, Grey
from mammosono.tools.kind.material import PHANTOM, Pictured, spoilt
from mammosono.tools.kind.network import KindConfig, KindNetwork
from mammosono.tools.kind.spoil import OF_ULTRASOUND, WAYS, spoil
from mammosono.tools.training.checkpoint import BadRun, load
from mammosono.tools.training.small import Judged, SmallTrainer

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


class Draws:
    """Draws of training pictures: a class, a group of families, then a hospital or family, then a
    picture. A family counts with the root of its size, so that large ones do not crowd out small.
    """

    def __init__(self, pictures: Sequence[Pictured], without: Sequence[str]) -> None:
        """Raises ValueError if a class has no picture left."""
        self._tree: list[dict[str, dict[str, list[Grey]]]] = [{} for _ in CLASSES]
        for one in pictures:
            if one.split == "train" and one.name not in without and one.group not in without:
                families = self._tree[one.kind].setdefault(one.group, {})
                families.setdefault(one.name, []).append(one.grey)
        for name, known in zip(CLASSES, self._tree, strict=True):
            if not known:
                raise ValueError(f"no picture of class {name} is left to learn from")
        self._spoils = [group for group in WAYS if group not in without]

    def example(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], int]:
        """The network's input [2, H, W] and the class."""
        kind = int(rng.choice(len(CLASSES), p=CLASS_SHARES))
        groups = list(self._tree[kind])
        if kind == OTHER:
            groups += [*self._spoils, DISTORTED_GROUP]  # twice that one: it is the hardest
        group = groups[int(rng.integers(len(groups)))]
        grey = self._spoilt(group, rng) if group in WAYS else self._grey(kind, group, rng)
        return look(augment(grey, kind, rng))[0], kind

    def _grey(self, kind: int, group: str, rng: np.random.Generator) -> Grey:
        families = list(self._tree[kind][group].values())
        weights = np.sqrt([len(family) for family in families])
        family = families[int(rng.choice(len(families), p=weights / weights.sum()))]
        return family[int(rng.integers(len(family)))]

    def _spoilt(self, group: str, rng: np.random.Generator) -> Grey:
        way = WAYS[group][int(rng.integers(len(WAYS[group])))]
        kind = US if way in OF_ULTRASOUND else int(rng.integers(OTHER))
        return spoil(self._grey(kind, "", rng), way, rng)


class KindTrainer(SmallTrainer[KindNetwork]):
    """A run of the kind network."""

    def __init__(
        self, folder: Path, config: KindTraining, pictures: Sequence[Pictured],
        provenance: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """provenance: of the data; goes into best.pt and from there into a bundle.

        Raises BadRun if the folder holds a run of another configuration, ValueError if a class has
        no pictures.
        """
        torch.manual_seed(config.seed)
        self.config, self.provenance = config, dict(provenance)
        self._draws = Draws(pictures, config.without)
        self._val = validation(pictures, config.without)
        network = KindNetwork(config.network)
        # Channels last is the faster layout on processors.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(
            network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        super().__init__(folder, config, network, optimizer, average_buffers=True)

    def draw(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and classes."""
        inputs, kinds = zip(
            *(self._draws.example(rng) for _ in range(self.config.batch)), strict=True
        )
        stacked = torch.from_numpy(np.stack(inputs))
        return stacked.contiguous(memory_format=torch.channels_last), torch.tensor(kinds)

    def loss(self, inputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        logits = self.network.logits(inputs)
        return functional.cross_entropy(logits, wanted, label_smoothing=self.config.smoothing)

    def judge(self, averaged: KindNetwork) -> Judged:
        """Mean over hospitals and families of the loss and of the share of right answers; the
        network with the least loss is kept."""
        losses, right = [], []
        for kind, greys in self._val.values():
            answers = probabilities(averaged, greys)
            losses.append(float(-np.log(np.maximum(answers[:, kind], 1e-6)).mean()))
            right.append(float((answers.argmax(1) == kind).mean()))
        loss = float(np.mean(losses))
        figures = {"val_loss": loss, "val_right": float(np.mean(right))}
        return Judged(figures, -loss, self.provenance)


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


def chosen_folds(pictures: Sequence[Pictured], names: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """`folds` by number from 1: those that leave out one of `names`, all where there are none.

    Raises ValueError if no fold leaves a name out.
    """
    every = dict(enumerate(folds(pictures), start=1))
    known = {one for fold in every.values() for one in fold}
    if unknown := sorted(set(names) - known):
        raise ValueError(
            f"no fold leaves out {', '.join(unknown)}: there are {', '.join(sorted(known))}"
        )
    return {k: fold for k, fold in every.items() if not names or set(names) & {*fold}}


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
