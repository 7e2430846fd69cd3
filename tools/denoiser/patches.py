"""Patches with white noise of std 1 and the noise that is in them: what a step is taken on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.denoise.estimate import noise_std
from mammosono.appliance.pipeline.denoise.network import LEVEL_SIDE, centred
from mammosono.tools.denoiser.pictures import Picture

Image = NDArray[np.float32]

PATCH = 96
AMPLITUDES = (15.0, 500.0)
"""From black to white, in standard deviations of the noise: a few quanta a pixel, or 16 bits."""
OWN_NOISE = 0.15
"""A film is shown only at amplitudes at which its own noise is at most this share of the drawn
one, 2 % of the variance: measured on each patch, where texture counts as noise too."""
DRAWN_SHARE = 0.5
_TRIES = 20
_RIM = LEVEL_SIDE // 2


def clean_patch(pictures: Sequence[Picture], side: int, rng: np.random.Generator) -> Image:
    """A patch [side, side] of a clean picture at a dose drawn at random.

    Raises ValueError if no picture is so large or none is clean enough.
    """
    low, high = AMPLITUDES
    for _ in range(_TRIES):
        picture = _chosen(pictures, rng)
        patch = crop(picture.image, side, rng)
        if patch is None:
            continue
        own = 0.0 if picture.drawn else (noise_std(patch) or 0.0)
        most = min(high, OWN_NOISE / own) if own else high
        if most > low:
            amplitude = np.exp(rng.uniform(np.log(low), np.log(most)))
            return np.asarray(patch * amplitude, np.float32)
    raise ValueError("the pictures are too small or too noisy to learn from: give others")


def supervised(pictures: Sequence[Picture], rng: np.random.Generator) -> tuple[Image, Image]:
    """noisy, less its level, and its noise, float32 [PATCH, PATCH]."""
    clean = clean_patch(pictures, PATCH + 2 * _RIM, rng)
    noise = rng.standard_normal(clean.shape, np.float32)
    return _inner(centred(clean + noise)), _inner(noise)


def self_supervised(pictures: Sequence[Picture], rng: np.random.Generator) -> tuple[Image, Image]:
    """The same from stabilised pictures with noise, of which nobody knows the clean one.

    Of y with noise of std 1 and drawn noise z of std 1, (y + z) / sqrt 2 and (y - z) / sqrt 2 have
    the same picture and independent noise of std 1. So the second is a target as good as the
    clean picture, up to a constant of the loss; their difference is sqrt 2 z.
    Source: T. Pang et al., "Recorrupted-to-Recorrupted", CVPR 2021, with alpha = 1.
    """
    for _ in range(_TRIES):
        noisy = crop(_chosen(pictures, rng).image, PATCH + 2 * _RIM, rng)
        if noisy is not None:
            break
    else:
        raise ValueError("the pictures are too small to learn from: give others")
    # More noise is a lower dose: half of the patches get up to four times what they had.
    more = np.float32(max(rng.uniform(-4, 4), 0))
    noisy = (noisy + more * rng.standard_normal(noisy.shape, np.float32)) / np.sqrt(1 + more**2)
    again = rng.standard_normal(noisy.shape, np.float32)
    root = np.float32(np.sqrt(2))
    return _inner(centred((noisy + again) / root)), _inner(root * again)


def crop(image: Image, side: int, rng: np.random.Generator) -> Image | None:
    """A square cut out at random, one of eight ways up; None where the picture is too small."""
    height, width = image.shape
    if min(height, width) < side:
        return None
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    cut = np.rot90(image[top : top + side, left : left + side], int(rng.integers(4)))
    return np.ascontiguousarray(cut[:, ::-1] if rng.integers(2) else cut)


def _chosen(pictures: Sequence[Picture], rng: np.random.Generator) -> Picture:
    """Phantoms in DRAWN_SHARE of the cases, where there are both kinds."""
    drawn = bool(rng.random() < DRAWN_SHARE)
    fitting = [picture for picture in pictures if picture.drawn is drawn] or pictures
    return fitting[int(rng.integers(len(fitting)))]


def _inner(image: Image) -> Image:
    return image[_RIM:-_RIM, _RIM:-_RIM]
