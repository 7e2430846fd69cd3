"""Phantoms: test pictures of which tissue, lesions and noise are known.

Drawn from a seed with numpy and OpenCV alone, so the demo, the tests and the training have
pictures that belong to nobody. They resemble breast images; they are not a model of a breast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.phantoms.lesion import PhantomLesion
from mammosono.appliance.phantoms.mammogram import mammogram
from mammosono.appliance.phantoms.noise import loupas, poisson_gauss
from mammosono.appliance.phantoms.ultrasound import ultrasound
from mammosono.appliance.values import Label, Modality

__all__ = ["Phantom", "PhantomLesion", "phantom"]

_SMALLEST = 64


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """One drawn picture.

    pixels: uint8 [height, width], with noise.
    clean: float32 [height, width] in 0..255, the same picture without noise.
    lesions: none in a normal picture.
    """

    modality: Modality
    pixels: NDArray[np.uint8]
    clean: NDArray[np.float32]
    lesions: tuple[PhantomLesion, ...]


def phantom(
    modality: Modality,
    seed: int,
    label: Label | None,
    *,
    height: int,
    width: int,
    noise: float = 1.0,
) -> Phantom:
    """Draw one picture; the same arguments give the same pixels.

    label: of the lesions (one, sometimes two); None for a normal picture.
    height, width: pixels, each at least 64.
    noise: strength as a factor of the usual one; 0 for none.

    Raises ValueError for a smaller picture or a negative strength.
    """
    if min(height, width) < _SMALLEST:
        raise ValueError(f"a phantom needs at least {_SMALLEST} pixels a side")
    if not noise >= 0:
        raise ValueError("the strength of the noise must not be negative")
    rng = np.random.default_rng(seed)
    if modality is Modality.MG:
        clean, lesions = mammogram(height, width, label, rng)
        gain, sigma = rng.uniform(0.2, 0.6), rng.uniform(0.6, 1.6)
        noisy = poisson_gauss(clean, gain * noise, sigma * noise, rng)
    else:
        clean, lesions = ultrasound(height, width, label, rng)
        sigma, correlation = rng.uniform(0.8, 1.6), rng.uniform(0.6, 1.2)
        noisy = loupas(clean, sigma * noise, rng, correlation_px=(correlation, 1.5 * correlation))
    pixels = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return Phantom(modality, pixels, clean, lesions)
