"""Tone curve of a picture, inverted so that its noise is even over the grey levels.

A mammogram "for presentation" went through a display curve, film through its own. Either changes
the noise with the grey level as no mixture of counts and read-out noise does. What is left of
that after the Anscombe transform is measured and divided out: t = integral of ds / std(s), which
has noise of std 1 at every level s (M. S. Bartlett, Biometrics 3(1), 1947).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.denoise.estimate import noise_by_level, noise_std
from mammosono.appliance.values import BoolMask, FloatImage

UNEVEN = 1.25
"""Largest over least noise of the levels: 1.1 on phantoms, 1.4 to 2 after a display curve."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Piecewise linear: `bent` levels, increasing, and the `straight` ones that they become.

    unevenness: the largest over the least noise of all levels; 1 where nothing is bent.
    """

    bent: NDArray[np.float64]
    straight: NDArray[np.float64]
    unevenness: float

    @property
    def bends(self) -> bool:
        """Whether it is needed: the noise differs by more than its measurement does."""
        return self.unevenness > UNEVEN

    def straighten(self, image: FloatImage) -> FloatImage:
        return np.asarray(np.interp(image, self.bent, self.straight), np.float32)

    def bend(self, image: FloatImage) -> FloatImage:
        """Back again. Levels beyond the ends become the ends."""
        return np.asarray(np.interp(image, self.straight, self.bent), np.float32)


def curve(stabilised: FloatImage, where: BoolMask) -> Curve | None:
    """The curve that makes the noise over `where` as even as its bins show it.

    stabilised: float32 [height, width]; the std of its noise on the whole stays what it is.
    None where there is too little to measure or levels without noise.
    """
    measured = noise_by_level(stabilised, where)
    if measured is None:
        return None
    level, std = measured[0], np.sqrt(measured[1])
    if not (std.min() > 0 and np.diff(level).min() > 0):
        return None
    relative = std / np.median(std)
    # Beyond the outermost bins the noise is taken to be as there.
    ends = (min(float(stabilised.min()), level[0] - 1), max(float(stabilised.max()), level[-1] + 1))
    bent = np.array([ends[0], *level, ends[1]])
    slope = 1 / np.array([relative[0], *relative, relative[-1]])
    steps = np.diff(bent) * (slope[:-1] + slope[1:]) / 2
    straight = bent[0] + np.concatenate([[0], np.cumsum(steps)])
    found = Curve(bent, straight, float(std.max() / std.min()))
    if not found.bends:
        return found
    # Bins in which more is structure than elsewhere had too much say.
    before = noise_std(stabilised, where)
    after = noise_std(found.straighten(stabilised), where)
    return Curve(bent, straight * (before / after), found.unevenness) if before and after else None
