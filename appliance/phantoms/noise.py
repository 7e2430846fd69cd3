"""Noise models: counting noise with read-out noise, and speckle after log compression."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def poisson_gauss(
    clean: NDArray[np.float32], gain: float, sigma: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """z = gain * p + n with p ~ Poisson(clean / gain) and n ~ N(0, sigma^2), independent by pixel.

    The mean of z is `clean`, its variance gain * clean + sigma^2. gain is grey values a quantum
    and may be 0 (no counting noise); sigma is in grey values. Not clipped.
    Source: A. Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data", IEEE Trans. Image Processing 17(10), 2008.
    """
    counted = gain * rng.poisson(clean / gain) if gain > 0 else clean
    return np.asarray(counted + sigma * rng.standard_normal(clean.shape, np.float32), np.float32)


def loupas(
    clean: NDArray[np.float32],
    sigma: float,
    rng: np.random.Generator,
    *,
    correlation_px: tuple[float, float] | None = None,
) -> NDArray[np.float32]:
    """u = v + sqrt(v) * eta with eta ~ N(0, sigma^2), for v in 0..255.

    correlation_px: standard deviations (down, across) in pixels of the Gaussian that gives the
    speckle its grain; None for independent pixels. Either way eta keeps its variance. Not clipped.
    Source: T. Loupas, W. N. McDicken, P. L. Allan, "An adaptive weighted median filter for
    speckle suppression in medical ultrasonic images", IEEE Trans. Circuits Syst. 36(1), 1989.
    """
    eta = rng.standard_normal(clean.shape, np.float32)
    if correlation_px is not None:
        down, across = (_gaussian_taps(s) for s in correlation_px)
        loss = np.sqrt(np.square(down).sum() * np.square(across).sum())
        eta = np.divide(cv2.sepFilter2D(eta, cv2.CV_32F, across, down), loss, dtype=np.float32)
    return np.asarray(clean + np.sqrt(clean) * (sigma * eta), np.float32)


def _gaussian_taps(sigma: float) -> NDArray[np.float32]:
    offsets = np.arange(-np.ceil(3 * sigma), np.ceil(3 * sigma) + 1)
    taps = np.exp(-0.5 * np.square(offsets / sigma))
    return np.asarray(taps / taps.sum(), np.float32)
