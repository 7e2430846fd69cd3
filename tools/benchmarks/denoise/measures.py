"""Measures of a denoised picture, what it gained and what it lost: pure functions of pictures."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.values import BoolMask, FloatImage

_BORDER_PX = 2
_DETAIL_PX = 1.5
_SSIM_SIGMA_PX = 1.5
ENL_SIDE = 16
"""px; the blocks in which speckle is taken to lie on even tissue."""


def psnr(image: FloatImage, truth: FloatImage, peak: float = 255.0) -> float:
    """Peak signal to noise ratio, dB; infinite where both are equal."""
    error = float(np.mean(np.square(image.astype(np.float64) - truth)))
    return float(10 * np.log10(peak**2 / error)) if error else float("inf")


def ssim(image: FloatImage, truth: FloatImage, peak: float = 255.0) -> float:
    """Structural similarity, 1 for equal pictures; the mean over all pixels.

    Source: Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from
    error visibility to structural similarity", IEEE Trans. Image Processing 13(4), 2004; Gaussian
    window of 1.5 px.
    """

    def smooth(part: NDArray[np.float64]) -> NDArray[np.float64]:
        # 5 px to each side: the window of the paper.
        window = (11, 11), _SSIM_SIGMA_PX
        return np.asarray(cv2.GaussianBlur(part, *window, borderType=cv2.BORDER_REFLECT))

    x, y = image.astype(np.float64), truth.astype(np.float64)
    mx, my = smooth(x), smooth(y)
    vx, vy, vxy = smooth(x * x) - mx * mx, smooth(y * y) - my * my, smooth(x * y) - mx * my
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    similarity = (2 * mx * my + c1) * (2 * vxy + c2)
    similarity /= (mx * mx + my * my + c1) * (vx + vy + c2)
    return float(similarity.mean())


def edge_kept(image: FloatImage, truth: FloatImage, lesion: BoolMask) -> float:
    """How much of the true border's steepness is left: 1 all, 0 none; None of it is noise.

    sum(grad image . grad truth) / sum |grad truth|^2 over the pixels within 2 px of the lesion's
    border: the slope of the regression of one gradient on the other. Noise points anywhere and
    cancels; blur counts in full. NaN where the truth has no gradient there.
    """
    side = 2 * _BORDER_PX + 1
    kernel = np.ones((side, side), np.uint8)
    whole = lesion.astype(np.uint8)
    border = cv2.dilate(whole, kernel) > cv2.erode(whole, kernel)
    ix, iy = _gradient(image)
    tx, ty = _gradient(truth)
    steepness = float((np.square(tx) + np.square(ty))[border].sum())
    return float((ix * tx + iy * ty)[border].sum()) / steepness if steepness else float("nan")


def edge_correlation(noisy: FloatImage, image: FloatImage, reference: FloatImage) -> float:
    """Pearson correlation of what was removed with the edges and details of the reference.

    Details are what a Gaussian of 1.5 px takes from the reference: the truth, or the denoised
    picture itself where no truth is known. Noise knows nothing of them: 0 for a perfect denoiser,
    above 0 where edges were removed. NaN if nothing was removed or there are no details.
    """
    removed = noisy.astype(np.float64) - image
    details = reference - cv2.GaussianBlur(reference, (0, 0), _DETAIL_PX).astype(np.float64)
    removed -= removed.mean()
    details -= details.mean()
    scale = float(np.sqrt(np.square(removed).sum() * np.square(details).sum()))
    return float((removed * details).sum()) / scale if scale else float("nan")


def ring(lesion: BoolMask) -> BoolMask:
    """What surrounds a lesion: as far out as the lesion's own radius, past a gap of its tenth."""
    radius = float(np.sqrt(lesion.sum() / np.pi))
    away = cv2.distanceTransform((~lesion).astype(np.uint8), cv2.DIST_L2, 5)
    gap = max(2.0, 0.1 * radius)
    return np.asarray((away > gap) & (away <= gap + max(radius, ENL_SIDE)))


def cnr(image: FloatImage, lesion: BoolMask, around: BoolMask) -> float:
    """Contrast to noise: |difference of the means| / sqrt(mean of the two variances).

    Source: M. S. Patterson, F. S. Foster, "The improvement and quantitative assessment of B-mode
    images produced by an annular array/cone hybrid", Ultrasonic Imaging 5(3), 1983, with the mean
    of the variances for their sum. NaN where both regions are flat.
    """
    inside, outside = image[lesion].astype(np.float64), image[around].astype(np.float64)
    noise = float(np.sqrt((inside.var() + outside.var()) / 2))
    return abs(float(inside.mean() - outside.mean())) / noise if noise else float("nan")


def enl(image: FloatImage, where: BoolMask) -> float:
    """Equivalent number of looks: the median of mean^2 / variance over the blocks in `where`.

    Blocks are 16 x 16 px on a grid and lie in `where` entirely; flat ones are left out. NaN where
    there is no block. Source: J.-S. Lee, "Speckle suppression and analysis for synthetic aperture
    radar images", Optical Engineering 25(5), 1986.
    """
    blocks = _blocks(image.astype(np.float64))[_blocks(where).all(axis=1)]
    mean, variance = blocks.mean(axis=1), blocks.var(axis=1)
    textured = variance > 0
    if not textured.any():
        return float("nan")
    return float(np.median(np.square(mean[textured]) / variance[textured]))


def _blocks(array: NDArray[Any]) -> NDArray[Any]:
    rows, columns = array.shape[0] // ENL_SIDE, array.shape[1] // ENL_SIDE
    cut = array[: rows * ENL_SIDE, : columns * ENL_SIDE]
    tiles = cut.reshape(rows, ENL_SIDE, columns, ENL_SIDE).swapaxes(1, 2)
    return np.asarray(tiles.reshape(rows * columns, ENL_SIDE**2))


def _gradient(image: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Scharr's derivatives across and down, grey values a px."""
    across, down = (cv2.Scharr(image, cv2.CV_32F, dx, 1 - dx, scale=1 / 32) for dx in (1, 0))
    return np.asarray(across, np.float32), np.asarray(down, np.float32)
