"""Removal of white Gaussian noise of known strength: the interface, and non-local means."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mammosono.appliance.pipeline.denoise.nlm import nonlocal_means
from mammosono.appliance.values import FloatImage

Gaussian = Callable[[FloatImage], FloatImage]
"""float32 [height, width] with white noise of std 1, whatever its level, to the same without."""

# Chosen on mammogram phantoms: a wider search averages more tissue that only looks alike.
STRENGTH = 0.75
SEARCH_RADIUS = 4
PATCH_RADIUS = 3
PARAMETERS = {
    "strength": STRENGTH,
    "search_radius": float(SEARCH_RADIUS),
    "patch_radius": float(PATCH_RADIUS),
}
"""For the record."""


def denoise(stabilised: FloatImage, sigma: float = 1.0, *, threads: int = 2) -> FloatImage:
    """float32 [height, width] with white noise of std `sigma` > 0 to the same without.

    The result stays within the range of the input.
    """
    return nonlocal_means(
        stabilised / np.float32(sigma),
        stabilised,
        strength=STRENGTH,
        search_radius=SEARCH_RADIUS,
        patch_radius=PATCH_RADIUS,
        threads=threads,
    )
