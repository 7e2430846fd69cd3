"""Ultrasound: Bayesian non-local means for speckle (OBNLM).

Log compression turns speckle into u = v + sqrt(v) eta with eta ~ N(0, sigma^2) (Loupas 1989).
The estimate of v is the posterior mean over the patches nearby, weighted by exp(-d / h^2) with
the Pearson distance between patches, d = mean of (u - u')^2 / u'.
Source: P. Coupe, P. Hellier, C. Kervrann, C. Barillot, "Nonlocal means-based speckle filtering
for ultrasound images", IEEE Trans. Image Processing 18(10), 2009.

One thing differs from the paper: the denominator u' is replaced by ((sqrt u + sqrt u') / 2)^2,
which differs from it by the noise only. Then (u - u')^2 / ((sqrt u + sqrt u') / 2)^2 is exactly
(2 sqrt u - 2 sqrt u')^2: the distance is symmetric, half of the work is saved, and a dark
neighbour no longer needs the paper's offset of 100 to keep the quotient finite. The averaged
values stay u itself, so there is no bias to undo afterwards.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.denoise.estimate import patch_std
from appliance.denoise.nlm import nonlocal_means
from appliance.values import DenoiseRecord

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Real speckle is correlated over a few pixels, so patch distances scatter more than for white
# noise, for which 0.7 would be best; 0.8 costs the white case little and gains on the real one.
STRENGTH = 0.8
SEARCH_RADIUS = 7
PATCH_RADIUS = 3

# Below this std of eta (0..255 scale) there is no speckle left to remove.
_SILENT = 0.05


def denoise_ultrasound(image: Image, *, peak: float, threads: int) -> tuple[Image, DenoiseRecord]:
    """float32 [height, width] in 0..peak to the same without speckle, and the record.

    The black surround of the field of view comes back as it was. A picture without measurable
    speckle (constant, posterised, narrower than a patch) comes back unchanged, method "none".
    """
    surround = _surround(image)
    # One grey value keeps the root's slope finite where the echo is lost.
    root = 2 * np.sqrt(image * np.float32(255 / peak) + 1)
    before = _speckle(image, surround)
    sigma = _speckle(root, surround)
    if sigma is None or sigma < _SILENT:
        return image.copy(), DenoiseRecord("none", {}, before, before)
    root /= np.float32(sigma)
    result = nonlocal_means(
        root,
        image,
        strength=STRENGTH,
        search_radius=SEARCH_RADIUS,
        patch_radius=PATCH_RADIUS,
        threads=threads,
    )
    result[surround] = image[surround]
    parameters = {
        "sigma": sigma,
        "strength": STRENGTH,
        "search_radius": float(SEARCH_RADIUS),
        "patch_radius": float(PATCH_RADIUS),
    }
    return result, DenoiseRecord("obnlm", parameters, before, _speckle(result, surround))


def _surround(image: Image) -> Mask:
    """Zero areas at least a patch wide, with their thin corners: not single lost echoes."""
    side = 2 * PATCH_RADIUS + 1
    zero = (image <= 0).astype(np.uint8)
    wide = cv2.morphologyEx(zero, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    count, area = cv2.connectedComponents(zero)
    kept = np.zeros(count, np.bool_)
    kept[area[wide > 0]] = True
    return np.asarray(kept[area])


def _speckle(image: Image, surround: Mask) -> float | None:
    """Noise std in the image's units: the lower quartile of the std over patches in the field.

    Speckle is too coarse for a pixel-scale estimate; at the scale of a patch it is all there,
    and the quartile keeps to the patches that hold no structure.
    """
    if min(image.shape) < 2 * PATCH_RADIUS + 1:
        return None
    field = patch_std(image, PATCH_RADIUS)[~surround]
    return float(np.quantile(field, 0.25)) if field.size else None
