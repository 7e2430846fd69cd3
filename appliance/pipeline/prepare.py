"""Preparation of an image for the network: framed, denoised, normalised, placed on the canvas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.denoise import denoise
from mammosono.appliance.pipeline.denoise.network import network
from mammosono.appliance.pipeline.detector.frame import Frame, frame
from mammosono.appliance.pipeline.model import BundleModel
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.pipeline.window import to_grey
from mammosono.appliance.values import DenoiseRecord, Modality, Pictures, SourceImage
from mammosono.engines.interface import Engine

RemoveNoise = Callable[
    [NDArray[np.float32], Modality, float], tuple[NDArray[np.float32], DenoiseRecord]
]
"""(working image [h, w], modality, peak) -> (the same without noise, what was done)."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """canvas: float32 [H, W], standardised; frame: where it is in the image as posted."""

    frame: Frame
    canvas: NDArray[np.float32]
    pictures: Pictures
    denoise: DenoiseRecord


def denoiser(engine: Engine, model: BundleModel, threads: int) -> RemoveNoise:
    """Each modality's own way, the mammogram's with the bundle's network where it has one.

    The function raises EngineError if that network fails.
    """
    networks = {
        modality: network(engine, each.geometry.input_size, each.denoiser)
        for modality, each in model.modalities.items()
        if each.denoiser is not None
    }

    def remove(
        working: NDArray[np.float32], modality: Modality, peak: float
    ) -> tuple[NDArray[np.float32], DenoiseRecord]:
        gaussian = networks.get(modality)
        return denoise(working, modality, peak=peak, threads=threads, gaussian=gaussian)

    return remove


def prepare(
    image: SourceImage, model: BundleModel, remove: RemoveNoise, watch: Stopwatch
) -> Prepared:
    """Cut the image to what the network sees, remove its noise, and place it.

    Area reduction keeps the noise model (only its gain falls), so the noise is removed at network
    scale: what the network could not see is not paid for. Raises what `remove` raises, and
    ModalityNotRead.
    """
    own = model.of(image.modality)
    with watch.lap("frame"):
        place = frame(image.pixels, image.modality, own.geometry.input_size)
        working = place.cut(image.pixels)
    with watch.lap("denoise"):
        clean, record = remove(working, image.modality, float(2**image.bits - 1))
    with watch.lap("frame"):
        grey = own.normalisation
        canvas = grey.standardise(place.place(grey.levels(clean)))
        pictures = Pictures(
            to_grey(image.pixels, image.window),
            to_grey(place.restore(clean, image.pixels), image.window),
        )
    return Prepared(place, canvas, pictures, record)
