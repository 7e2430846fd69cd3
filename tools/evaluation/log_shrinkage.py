"""Log shrinkage of ultrasound, for comparison: logarithm, Bayesian shrinkage of wavelets, inverse.

The logarithm makes multiplicative speckle additive. Its undecimated Haar wavelets are shrunk band
by band with BayesShrink's threshold, the noise of each band measured in the band itself, since
speckle has a grain and is not white. The antilogarithm of a mean of logarithms is a geometric
mean and too dark; the mean of a lognormal variable says by how much.
Sources: S. G. Chang, B. Yu, M. Vetterli, "Adaptive wavelet thresholding for image denoising and
compression", IEEE Trans. Image Processing 9(9), 2000; I. M. Johnstone, B. W. Silverman, "Wavelet
threshold estimators for data with correlated noise", J. Royal Statistical Society B 59(2), 1997.

Its results are in docs/denoising.md; the service uses the better method, `obnlm`.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.denoise.field import filled, marks, surround
from mammosono.appliance.pipeline.denoise.obnlm import PATCH_RADIUS, root_of, speckle
from mammosono.appliance.values import DenoiseRecord, FloatImage

Kind = tuple[int, int]
"""Of a band: sum (1) or difference (-1) of neighbours, down and across."""

_LOW = (1, 1)
_KINDS: tuple[Kind, ...] = ((1, 1), (1, -1), (-1, 1), (-1, -1))

LEVELS = 3
_GRAIN_LEVELS = 2
"""Bands of 1 and 2 px, as fine as the grain of speckle, are measured each by itself."""
_LOCAL_SIDE = 31
"""px; over a square of this side the removed noise is taken to have one variance."""
_SILENT = 0.05
_MAD_TO_STD = 1 / 0.6745


def shrink_logarithm(image: FloatImage, *, peak: float) -> tuple[FloatImage, DenoiseRecord]:
    """float32 [height, width] in 0..peak to the same with less speckle, and the record.

    As from `denoise_ultrasound` the surround and marks come back as they were, a picture without
    measurable speckle unchanged with method "none".
    """
    black = surround(image, 2 * PATCH_RADIUS + 1)
    root = root_of(image, peak)
    before, sigma = speckle(image, black), speckle(root, black)
    if sigma is None or sigma < _SILENT:
        return image.copy(), DenoiseRecord("none", {}, before, before)
    drawn = marks(image, root, sigma)
    values = image if drawn is None else filled(image, drawn)
    step = np.float32(peak / 255)
    logarithm = cv2.log(values + step)
    smooth = shrunk(logarithm, min(LEVELS, _levels(image.shape)))
    side = (_LOCAL_SIDE, _LOCAL_SIDE)
    removed = cv2.blur(np.square(logarithm - smooth), side)
    result = cv2.exp(smooth + removed / 2) - step
    result = np.clip(result, image.min(), image.max())
    kept = black if drawn is None else black | drawn
    result[kept] = image[kept]
    parameters = {"sigma": sigma, "levels": float(min(LEVELS, _levels(image.shape)))}
    return result, DenoiseRecord("log-shrinkage", parameters, before, speckle(result, black))


def shrunk(image: FloatImage, levels: int) -> FloatImage:
    """Shrink the undecimated Haar wavelets of an image with additive noise; the same shape."""
    reach = 2**levels
    rest = np.pad(image, reach, mode="symmetric")
    trail: list[dict[Kind, FloatImage]] = []
    noise: dict[Kind, float] = {}
    for level in range(levels):
        bands = {kind: _filtered(rest, 2**level, kind, -1) for kind in _KINDS}
        rest = bands.pop(_LOW)
        for kind, band in bands.items():
            # Beyond the grain of the speckle its noise is white, and halves from band to band.
            own = float(np.median(np.abs(band))) * _MAD_TO_STD
            noise[kind] = own if level < _GRAIN_LEVELS else noise[kind] / 2
            bands[kind] = soft(band, noise[kind])
        trail.append(bands)
    for level, bands in reversed(list(enumerate(trail))):
        parts = {_LOW: rest, **bands}
        rest = np.zeros_like(rest)
        for kind, part in parts.items():
            cv2.add(rest, _filtered(part, 2**level, kind, 1), dst=rest)
    return np.ascontiguousarray(rest[reach:-reach, reach:-reach]) if levels else image


def soft(band: FloatImage, noise: float) -> FloatImage:
    """Shrink towards zero by noise^2 / signal, BayesShrink's threshold; noise: std in the band."""
    signal = float(np.sqrt(max(float(np.mean(np.square(band))) - noise**2, 0)))
    if signal == 0:
        return np.zeros_like(band)
    limit = np.float32(noise**2 / signal)
    return np.asarray(band - np.clip(band, -limit, limit))


def _filtered(image: FloatImage, apart: int, kind: Kind, side: int) -> FloatImage:
    """Half of the sum (1) or difference (-1) with the pixel `apart` px off, along both axes.

    side: -1 takes the pixel before, 1 the one after. One after the other, summed over the four
    kinds, they give the image back.
    """

    def taps(sign: int) -> NDArray[np.float32]:
        kernel = np.zeros(2 * apart + 1, np.float32)
        kernel[apart], kernel[apart + side * apart] = 0.5, 0.5 * sign
        return kernel

    vertical, horizontal = kind
    return np.asarray(cv2.sepFilter2D(image, cv2.CV_32F, taps(horizontal), taps(vertical)))


def _levels(shape: tuple[int, ...]) -> int:
    """The widest filter is no wider than the picture."""
    return max(int(np.log2(max(min(shape), 1))) - 1, 0)
