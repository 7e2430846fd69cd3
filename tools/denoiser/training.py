"""Training of the denoiser: its data, drawn patches, what is best."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

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
from mammosono.tools.training.checkpoint import BadRun, load
from mammosono.tools.training.small import Judged, SmallTrainer

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


class DenoiserTrainer(SmallTrainer[Denoiser]):
    """A run of the denoiser."""

    loss_name = "left"
    """Variance of the noise not recognised."""

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
        self.config, self.pictures, self.val = config, pictures, val
        self.provenance = dict(provenance)
        network = Denoiser(config.network)
        optimizer = torch.optim.Adam(network.parameters(), config.learning_rate)
        super().__init__(folder, config, network, optimizer)

    def share(self) -> float:
        if self.config.minutes is None:
            return super().share()
        return min(self.seconds / (60 * self.config.minutes), 1.0)

    def draw(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Noisy patches and the noise in them."""
        draw = self_supervised if self.config.self_supervised else supervised
        noisy, noise = zip(
            *(draw(self.pictures, rng) for _ in range(self.config.batch)), strict=True
        )
        return torch.from_numpy(np.stack(noisy)[:, None]), torch.from_numpy(
            np.stack(noise)[:, None]
        )

    def loss(self, inputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        error: torch.Tensor = self.network(inputs) - wanted
        return error.square().mean()

    def judge(self, averaged: Denoiser) -> Judged:
        found = gains(with_network(averaged), self.val)
        provenance = {**self.provenance, "psnr_gain_db": found, "steps": self.steps_done()}
        return Judged(found, float(np.mean(list(found.values()))), provenance)


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
