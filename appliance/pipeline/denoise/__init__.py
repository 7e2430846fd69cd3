"""Denoising by modality: counting noise of mammograms, speckle of ultrasound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.modality import MODALITIES, Physics
from mammosono.appliance.pipeline.denoise.gaussian import Gaussian
from mammosono.appliance.pipeline.denoise.mammogram import denoise_mammogram
from mammosono.appliance.pipeline.denoise.obnlm import denoise_ultrasound
from mammosono.appliance.values import DenoiseRecord, Modality

__all__ = ["Gaussian", "denoise"]


def denoise(
    image: NDArray[np.float32],
    modality: Modality,
    *,
    peak: float,
    threads: int = 2,
    gaussian: Gaussian | None = None,
) -> tuple[NDArray[np.float32], DenoiseRecord]:
    """The picture without noise, same shape, within the range of the input; and what was done.

    image: float32 [height, width] in 0..peak, already reduced to working size; the cost grows
        with the pixels.
    peak: 2^bits - 1, the largest pixel value there can be.
    threads: how many may compute at once; the result does not depend on it.
    gaussian: removes the white noise that a stabilised mammogram has (the bundle's network); None
        is non-local means. The record's method says which: "anscombe-cnn" or "anscombe-nlm".

    A picture in which no noise can be measured (constant, posterised, a few pixels wide) comes
    back unchanged, its record's method is "none".
    Raises ValueError if the image is empty, not two-dimensional, holds NaN or infinity, or leaves
    0..peak; and whatever `gaussian` raises.
    """
    image = np.ascontiguousarray(image, np.float32)
    if image.ndim != 2 or image.size == 0:
        raise ValueError("denoising needs a grey picture with at least one pixel")
    # NaN fails every comparison, so this also refuses it. Averaging pixels of the peak, as area
    # reduction does, can end a rounding error above it.
    if not (image.min() >= 0 and image.max() <= peak * (1 + 1e-5) and np.isfinite(peak)):
        raise ValueError("denoising needs finite pixels between 0 and the peak")
    if MODALITIES[modality].physics is Physics.PROJECTION:
        return denoise_mammogram(image, peak=float(peak), threads=threads, gaussian=gaussian)
    return denoise_ultrasound(image, peak=float(peak), threads=threads)
