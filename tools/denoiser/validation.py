"""How much of the noise a denoiser removes, on patches that nobody learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mammosono.appliance.pipeline.denoise.network import LARGEST_CHANGE, centred
from mammosono.tools.denoiser.network import Denoiser, predict
from mammosono.tools.denoiser.patches import clean_patch
from mammosono.tools.denoiser.pictures import Picture

Image = NDArray[np.float32]

KINDS = ("phantom", "film")
SIDE = 192
"""px of a validation patch."""
OF_EACH = 24


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """clean, noisy: float32 [side, side]; noisy - clean is white noise of std 1. kind: of KINDS."""

    clean: Image
    noisy: Image
    kind: str


def trials(pictures: Sequence[Picture], of_each: int = OF_EACH, seed: int = 0) -> list[Trial]:
    """Always the same ones from the same pictures, as many of each kind as there is of both.

    Raises ValueError if the pictures are too small or too noisy.
    """
    found: list[Trial] = []
    for drawn in (True, False):
        rng = np.random.default_rng((seed, drawn))
        ours = [picture for picture in pictures if picture.drawn is drawn]
        if not ours:
            continue
        for _ in range(of_each):
            clean = clean_patch(ours, SIDE, rng)
            noise = rng.standard_normal(clean.shape, np.float32)
            found.append(Trial(clean, clean + noise, KINDS[0] if drawn else KINDS[1]))
    return found


def gains(denoise: Callable[[Image], Image], tried: Sequence[Trial]) -> dict[str, float]:
    """By kind, the mean over its trials of the PSNR gained, in dB.

    The noise has variance 1, so the gain of a trial is -10 log10 of the mean square of what is
    left, whatever peak the PSNR is referred to.
    """
    left: dict[str, list[float]] = {}
    for trial in tried:
        rest = float(np.mean(np.square(denoise(trial.noisy) - trial.clean, dtype=np.float64)))
        left.setdefault(trial.kind, []).append(-10 * np.log10(max(rest, 1e-12)))
    return {kind: float(np.mean(values)) for kind, values in left.items()}


def with_network(network: Denoiser) -> Callable[[Image], Image]:
    """What the appliance computes with the network, in torch and without tiles."""

    def denoise(stabilised: Image) -> Image:
        seen = torch.from_numpy(centred(stabilised))[None, None]
        noise = predict(network, seen)[0, 0].numpy()
        return np.asarray(stabilised - np.clip(noise, -LARGEST_CHANGE, LARGEST_CHANGE))

    return denoise
