"""What is drawn when: balanced over source and label, and reproducible from a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mammosono.tools.data.augment import Example, augment
from mammosono.tools.data.sample import Sample


def draw_weights(samples: Sequence[Sample], phantom_share: float) -> NDArray[np.float64]:
    """[n] probabilities: a (source, label) group is drawn by the square root of its size, so
    small groups come oftener without drowning the large; phantoms take `phantom_share` in all."""
    groups = [(s.source, s.label) for s in samples]
    sizes = Counter(groups)
    weights = np.array([sizes[g] ** -0.5 for g in groups])
    phantom = np.array([s.source == "phantom" for s in samples])
    if phantom.any() and not phantom.all():
        weights[~phantom] *= (1 - phantom_share) / weights[~phantom].sum()
        weights[phantom] *= phantom_share / weights[phantom].sum()
    return np.asarray(weights / weights.sum())


class Draws(Dataset[Example]):
    """Draw k of an epoch is a function of (seed, epoch, k) alone, whoever works on it."""

    def __init__(
        self,
        samples: Sequence[Sample],
        input_size: tuple[int, int],
        percentiles: tuple[float, float],
        phantom_share: float,
        seed: int,
        length: int,
    ) -> None:
        self.samples = samples
        self.input_size = input_size
        self.percentiles = percentiles
        self.weights = draw_weights(samples, phantom_share)
        self.seed = seed
        self.length = length
        self.epoch = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, k: int) -> Example:
        rng = np.random.default_rng((self.seed, self.epoch, k))
        chosen = int(rng.choice(len(self.samples), p=self.weights))
        return augment(self.samples[chosen], self.input_size, self.percentiles, rng)


def stack_images(examples: Sequence[Example], mean: float, std: float) -> Tensor:
    """[N, 1, H, W] float32, standardised as on the device."""
    images = torch.from_numpy(np.stack([e.image for e in examples]))[:, None]
    return (images - mean) / std
