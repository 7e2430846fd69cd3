"""Denoising of ultrasound: Bayesian non-local means for speckle (OBNLM).

Log compression turns speckle into u = v + sqrt(v) eta with eta ~ N(0, sigma^2) (Loupas 1989).
The estimate of v is the posterior mean over the patches nearby, weighted by exp(-d / h^2) with
the Pearson distance between patches, d = mean of (u - u')^2 / u'.
Source: P. Coupe, P. Hellier, C. Kervrann, C. Barillot, "Nonlocal means-based speckle filtering
for ultrasound images", IEEE Trans. Image Processing 18(10), 2009.

Two things differ from the paper. The denominator u' is replaced by ((sqrt u + sqrt u') / 2)^2,
which differs from it by the noise only. Then (u - u')^2 / ((sqrt u + sqrt u') / 2)^2 is exactly
(2 sqrt u - 2 sqrt u')^2: the distance is symmetric, half of the work is saved, and a dark
neighbour no longer needs the paper's offset of 100 to keep the quotient finite. The averaged
values stay u itself, so there is no bias to undo afterwards. And the search takes every second
pixel: speckle has a grain, and a neighbour of the same grain has the same noise.
"""

from __future__ import annotations

import cv2
import numpy as np

from mammosono.appliance.pipeline.denoise.estimate import block_std
from mammosono.appliance.pipeline.denoise.field import filled, marks, surround
from mammosono.appliance.pipeline.denoise.nlm import nonlocal_means
from mammosono.appliance.values import BoolMask, DenoiseRecord, FloatImage

# Chosen on ultrasound phantoms, see docs/denoising.md.
STRENGTH = 0.85
SEARCH_RADIUS = 6
SEARCH_STEP = 2
PATCH_RADIUS = 3

# Below this std of eta (0..255 scale) there is no speckle left to remove.
_SILENT = 0.05


def denoise_ultrasound(
    image: FloatImage, *, peak: float, threads: int
) -> tuple[FloatImage, DenoiseRecord]:
    """float32 [height, width] in 0..peak to the same without speckle, and the record.

    The black surround of the field of view and what was drawn into the picture, calipers and
    text, come back as they were. A picture without measurable speckle (constant, posterised,
    narrower than a patch) comes back unchanged, method "none".
    """
    black = surround(image, 2 * PATCH_RADIUS + 1)
    # One grey value keeps the root's slope finite where the echo is lost.
    root = root_of(image, peak)
    before, sigma = speckle(image, black), speckle(root, black)
    if sigma is None or sigma < _SILENT:
        return image.copy(), DenoiseRecord("none", {}, before, before)
    drawn = marks(image, root, sigma)
    values = image
    if drawn is not None:
        # Without them: a bright stroke would keep the speckle around it from finding its like.
        values, root = filled(image, drawn), filled(root, drawn)
    result = image.copy()
    field = _box(~black)
    result[field] = nonlocal_means(
        root[field] * np.float32(1 / sigma),
        values[field],
        strength=STRENGTH,
        search_radius=SEARCH_RADIUS,
        search_step=SEARCH_STEP,
        patch_radius=PATCH_RADIUS,
        threads=threads,
    )
    kept = black if drawn is None else black | drawn
    cv2.copyTo(image, kept.view(np.uint8), result)
    parameters = {
        "sigma": sigma,
        "strength": STRENGTH,
        "search_radius": float(SEARCH_RADIUS),
        "search_step": float(SEARCH_STEP),
        "patch_radius": float(PATCH_RADIUS),
    }
    return result, DenoiseRecord("obnlm", parameters, before, speckle(result, black))


def root_of(image: FloatImage, peak: float) -> FloatImage:
    """2 sqrt(u + 1) with u the image on the 0..255 scale: speckle of one strength everywhere."""
    scaled = image * np.float32(4 * 255 / peak)
    scaled += 4
    return np.asarray(cv2.sqrt(scaled, dst=scaled))


def speckle(image: FloatImage, black: BoolMask) -> float | None:
    """Noise std in the image's units: the lower quartile of the std over blocks in the field.

    Speckle is too coarse for a pixel-scale estimate; at the scale of a patch it is all there,
    and the quartile keeps to the blocks that hold no structure. None in a picture narrower than
    a patch.
    """
    field = block_std(image, 2 * PATCH_RADIUS + 1, ~black)
    return float(np.quantile(field, 0.25)) if field.size else None


def _box(field: BoolMask) -> tuple[slice, slice]:
    """The smallest rectangle that holds the field: the surround is not paid for."""
    x, y, width, height = cv2.boundingRect(field.view(np.uint8))
    return slice(y, y + height), slice(x, x + width)
