"""Generalised Anscombe transform and its inverses.

Noise model: z = gain * p + n with p ~ Poisson(y) and n ~ N(mu, sigma^2); z has the mean
gain * y + mu. After the transform the noise has a standard deviation of about 1 wherever the
count y is 2 or more.
Source: M. Makitalo, A. Foi, "Optimal inversion of the generalized Anscombe transformation for
Poisson-Gaussian noise", IEEE Trans. Image Processing 22(1), 2013.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from mammosono.appliance.values import FloatImage

_SMALLEST = 2 * sqrt(3 / 8)
_C = sqrt(3 / 2)


@dataclass(frozen=True, slots=True)
class PoissonGauss:
    """gain: grey values a count, above 0. sigma, mu: of the Gaussian part, grey values."""

    gain: float
    sigma: float
    mu: float

    def scaled(self, factor: float) -> PoissonGauss:
        """The same noise with `factor` times the standard deviation at every grey value."""
        return PoissonGauss(self.gain * factor**2, self.sigma * factor, self.mu)


def forward(image: FloatImage, noise: PoissonGauss) -> FloatImage:
    """Grey values to stabilised values, float32 of the same shape, noise of std 1."""
    offset = 0.375 * noise.gain**2 + noise.sigma**2 - noise.gain * noise.mu
    argument = np.maximum(noise.gain * image + offset, 0)
    return np.asarray(np.sqrt(argument) * (2 / noise.gain), np.float32)


def inverse(stabilised: FloatImage, noise: PoissonGauss) -> FloatImage:
    """Denoised stabilised values back to grey values, without bias; float32 of the same shape.

    The mean of a transformed variable is not the transform of its mean; this is the closed form
    of the inverse that accounts for it (M. Makitalo, A. Foi, "A closed-form approximation of the
    exact unbiased inverse of the Anscombe variance-stabilizing transformation", IEEE Trans. Image
    Processing 20(9), 2011). Its bias stays below 0.04 gain for counts of 0.5 and more.
    """
    d = np.maximum(stabilised, np.float32(_SMALLEST))
    r = 1 / d
    # Of single precision numpy keeps the type where the factors are plain Python numbers.
    polynomial = r * (_C / 4 + r * (-11 / 8 + r * (5 / 8 * _C)))
    count = 0.25 * d * d + (polynomial - (1 / 8 + (noise.sigma / noise.gain) ** 2))
    return np.asarray(np.maximum(count, 0) * noise.gain + noise.mu, np.float32)
