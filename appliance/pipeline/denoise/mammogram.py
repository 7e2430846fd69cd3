"""Denoising of mammograms: stabilise counting noise (Anscombe), remove it as Gaussian, invert."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.denoise import gaussian as classical
from mammosono.appliance.pipeline.denoise.anscombe import PoissonGauss, forward, inverse
from mammosono.appliance.pipeline.denoise.curve import curve
from mammosono.appliance.pipeline.denoise.estimate import BINS, noise_by_level, noise_std
from mammosono.appliance.pipeline.denoise.gaussian import Gaussian
from mammosono.appliance.values import BoolMask, DenoiseRecord, FloatImage

# Scanned film is Poisson in name only, so a fit that claims more noise than this fraction of the
# peak at the median grey value is taken for structure, and removed only this far.
_CAP = 0.06

# Counting noise must explain at least this share of the variance; a smaller gain is numerically
# the same as plain Gaussian noise, for which the transform is a straight line.
_LEAST_SHARE = 0.02


def denoise_mammogram(
    image: FloatImage, *, peak: float, threads: int, gaussian: Gaussian | None = None
) -> tuple[FloatImage, DenoiseRecord]:
    """float32 [height, width] in 0..peak to the same without counting noise, and the record.

    gaussian: takes the noise out of the stabilised picture; None is non-local means.
    A picture without measurable noise (constant, posterised, narrower than three pixels) comes
    back unchanged, method "none". Of the record's parameters, gain, sigma and mu are grey values;
    `unevenness` is the largest over the least noise of the grey levels once it is stabilised, and
    `straightened` 1 where that was too much for counts and read-out noise, as after a display
    curve or on film, and was evened out by level.
    """
    breast = foreground(image)
    before = noise_std(image, breast)
    noise = estimate(image, breast, peak)
    if noise is None:
        return image.copy(), DenoiseRecord("none", {}, before, before)
    stabilised = forward(image, noise)
    found = curve(stabilised, breast)
    bent = found is not None and found.bends
    parameters = {
        "gain": noise.gain,
        "sigma": noise.sigma,
        "mu": noise.mu,
        "unevenness": found.unevenness if found else 1.0,
        "straightened": float(bent),
    }
    if gaussian is None:
        method, parameters = "anscombe-nlm", parameters | classical.PARAMETERS
        gaussian = partial(classical.denoise, threads=threads)
    else:
        method = "anscombe-cnn"
    if found and bent:
        clean = found.bend(gaussian(found.straighten(stabilised)))
    else:
        clean = gaussian(stabilised)
    result = np.clip(inverse(clean, noise), image.min(), image.max())
    return result, DenoiseRecord(method, parameters, before, noise_std(result, breast))


def estimate(image: FloatImage, where: BoolMask, peak: float) -> PoissonGauss | None:
    """Parameters of the noise over `where`, None if there is none to measure.

    A robust line through (mean, variance) of blocks, after A. Foi et al., IEEE Trans. Image
    Processing 17(10), 2008; then all of it is scaled so that the stabilised noise has std 1.
    Where the variance does not grow with the mean (film), the noise is taken as Gaussian.
    """
    measured_at = noise_by_level(image, where)
    if measured_at is None or not np.median(measured_at[1]) > 0:
        return None
    levels, variances = measured_at
    noise = _fit(levels, variances, float(image.min()))
    measured = noise_std(forward(image, noise), where)
    if not measured:
        return None
    noise = noise.scaled(measured)
    level = float(np.median(levels)) - noise.mu
    std = np.sqrt(noise.gain * max(level, 0.0) + noise.sigma**2)
    return noise.scaled(min(1.0, _CAP * peak / float(std)))


def _fit(mean: NDArray[np.float64], variance: NDArray[np.float64], darkest: float) -> PoissonGauss:
    """The line variance = gain (mean - mu) + sigma^2 through the bins [BINS]."""
    i, j = np.triu_indices(BINS, 1)
    apart = mean[j] > mean[i]
    rise, run = (variance[j] - variance[i])[apart], (mean[j] - mean[i])[apart]
    gain = float(np.median(rise / run)) if run.size else 0.0
    floor = float(np.median(variance))
    constant = float(np.median(variance - gain * mean))
    if gain > 0 and constant < 0:
        # No read-out noise is left: the line starts at a pedestal, at most the darkest pixel.
        mu = min(-constant / gain, darkest)
        return PoissonGauss(float(np.median(variance / (mean - mu))), 0.0, mu)
    level = max(float(np.median(mean)), 1e-6)
    least = _LEAST_SHARE * floor / level
    if gain < least:
        return PoissonGauss(least, float(np.sqrt((1 - _LEAST_SHARE) * floor)), 0.0)
    return PoissonGauss(gain, float(np.sqrt(constant)), 0.0)


def foreground(image: FloatImage) -> BoolMask:
    """The breast: brighter than a tenth of the way from dark to bright, and not saturated."""
    dark, bright = np.quantile(image[::4, ::4], [0.01, 0.99])
    return np.asarray((image > dark + 0.1 * (bright - dark)) & (image < image.max()))
