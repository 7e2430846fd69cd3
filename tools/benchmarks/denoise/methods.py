"""Methods that are compared: our denoisers, and public ones that can be installed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from mammosono.appliance.pipeline.denoise import Gaussian, denoise
from mammosono.appliance.pipeline.denoise.field import surround
from mammosono.appliance.pipeline.denoise.obnlm import PATCH_RADIUS, root_of, speckle
from mammosono.appliance.values import FloatImage, Modality
from mammosono.tools.evaluation.log_shrinkage import shrink_logarithm

PEAK = 255.0
THREADS = 2
PEERS_MISSING = "is not installed: pip install 'mammosono[peers]'"


@dataclass(frozen=True, slots=True)
class Method:
    """remove: float32 [height, width] in 0..255 to the same without noise."""

    name: str
    remove: Callable[[FloatImage], FloatImage]


SKIMAGE_NLM = "NLM, scikit-image"
BM3D = "BM3D"
CNN = "Anscombe + CNN (ours)"
NLM = "Anscombe + NLM (ours)"
OBNLM = "OBNLM (ours)"
LOG = "log + BayesShrink (ours)"


def our_methods(modality: Modality, cnn: Gaussian | None) -> tuple[Method, ...]:
    """The first is what the service does. cnn: the bundle's network, if it has one."""

    def through(gaussian: Gaussian | None) -> Callable[[FloatImage], FloatImage]:
        return lambda image: denoise(
            image, modality, peak=PEAK, threads=THREADS, gaussian=gaussian
        )[0]

    if modality is Modality.US:
        return (
            Method(OBNLM, through(None)),
            Method(LOG, lambda image: shrink_logarithm(image, peak=PEAK)[0]),
        )
    classical = Method(NLM, through(None))
    return (Method(CNN, through(cnn)), classical) if cnn else (classical,)


def simple_methods(modality: Modality) -> tuple[Method, ...]:
    """Methods of OpenCV."""
    return (
        Method("median 5x5", lambda image: np.asarray(cv2.medianBlur(image, 5), np.float32)),
        Method("bilateral", lambda image: _gaussian(image, modality, _bilateral)),
        Method("NLM, OpenCV", lambda image: _gaussian(image, modality, _opencv_nlm)),
    )


def peer_methods(modality: Modality) -> tuple[Method, ...]:
    """What scikit-image has. Raises ValueError if it is not installed."""
    try:
        from skimage.restoration import denoise_nl_means, denoise_wavelet
    except ModuleNotFoundError as error:
        raise ValueError(f"{error.name} {PEERS_MISSING}") from None

    def wavelet(picture: FloatImage) -> FloatImage:
        smooth = denoise_wavelet(
            picture, sigma=1.0, wavelet="db2", mode="soft", method="BayesShrink",
            rescale_sigma=False,
        )  # fmt: skip
        return np.asarray(smooth, np.float32)

    def nlm(picture: FloatImage) -> FloatImage:
        # Patches and search as in OBNLM's paper; the strength as scikit-image's own guide has it.
        smooth = denoise_nl_means(
            picture, patch_size=7, patch_distance=7, h=0.6, sigma=1.0, fast_mode=True
        )
        return np.asarray(smooth, np.float32)

    return (
        Method("BayesShrink, scikit-image", lambda image: _gaussian(image, modality, wavelet)),
        Method(SKIMAGE_NLM, lambda image: _gaussian(image, modality, nlm)),
    )


def bm3d_method(modality: Modality) -> Method | None:
    """None where it is not installed: its licence is for non-commercial use only."""
    try:
        from bm3d import bm3d
    except ModuleNotFoundError:
        return None

    def remove(picture: FloatImage) -> FloatImage:
        return np.asarray(bm3d(picture, sigma_psd=1.0), np.float32)

    return Method(BM3D, lambda image: _gaussian(image, modality, remove))


def _gaussian(image: FloatImage, modality: Modality, remove: Gaussian) -> FloatImage:
    """A denoiser for white noise gets our stabilised picture and our estimate of the noise.

    Without them BayesShrink alone would lose a decibel on counting noise, and all would be
    compared on how well they guess how strong the noise is.
    """
    if modality is Modality.MG:
        return denoise(image, modality, peak=PEAK, threads=THREADS, gaussian=remove)[0]
    root = root_of(image, PEAK)
    sigma = speckle(root, surround(image, 2 * PATCH_RADIUS + 1))
    if not sigma:
        return np.array(image)
    smooth: FloatImage = remove(root / np.float32(sigma)) * np.float32(sigma / 2)
    # Averaged roots lose a quarter of their variance when they are squared.
    grey = np.square(smooth) + np.float32(sigma**2 / 4 - 1)
    return np.asarray(np.clip(grey, image.min(), image.max()), np.float32)


def _bilateral(picture: FloatImage) -> FloatImage:
    return np.asarray(cv2.bilateralFilter(picture, 7, 3.0, 2.0), np.float32)


def _opencv_nlm(picture: FloatImage) -> FloatImage:
    """8 bits are all it takes with squared distances: about eight levels a noise std."""
    low, high = float(picture.min()), float(picture.max())
    scale = 255 / max(high - low, 1e-6)
    levels = np.rint((picture - low) * scale).astype(np.uint8)
    smooth = cv2.fastNlMeansDenoising(levels, h=scale, templateWindowSize=7, searchWindowSize=15)
    return np.asarray(smooth / np.float32(scale) + np.float32(low), np.float32)
