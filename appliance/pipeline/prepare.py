"""Preparation of an image for the network: framed, denoised, normalised, placed on the canvas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline import kind
from mammosono.appliance.pipeline.denoise import denoise
from mammosono.appliance.pipeline.denoise.network import network
from mammosono.appliance.pipeline.detector.frame import Frame, frame
from mammosono.appliance.pipeline.likeness import Likeness, likeness
from mammosono.appliance.pipeline.model import BundleModel
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.pipeline.window import to_grey
from mammosono.appliance.values import DenoiseRecord, Modality, Pictures, SourceImage
from mammosono.engines.interface import Engine

RemoveNoise = Callable[
    [NDArray[np.float32], Modality, float], tuple[NDArray[np.float32], DenoiseRecord]
]
"""(working image [h, w], modality, peak) -> (the same without noise, what was done)."""

_LEAST_PIXELS = 5 / 3
"""Of a coarse picture, along a side, for each of the network's."""


@dataclass(frozen=True, slots=True, eq=False)
class Reduced:
    """What is seen of an image, which has let go of its pixels: by the networks, and by what looks
    for the same picture twice.

    working: float32 [h, w], in the image's own units. shown: uint8, reduced, for the kind of it;
    None where the model has no such network.
    """

    image: SourceImage
    likeness: Likeness
    frame: Frame
    working: NDArray[np.float32]
    shown: NDArray[np.uint8] | None

    @property
    def modality(self) -> Modality:
        return self.image.modality

    @property
    def too_coarse(self) -> bool:
        """The image was decoded at a resolution that the network would notice."""
        return self.frame.scale * self.image.coarseness * _LEAST_PIXELS > 1 and (
            self.image.coarseness > 1
        )


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """clean: the working image without noise; canvas: float32 [H, W], standardised; frame: where it
    is in the image as posted; shown: as of Reduced."""

    frame: Frame
    clean: NDArray[np.float32]
    canvas: NDArray[np.float32]
    shown: NDArray[np.uint8] | None
    denoise: DenoiseRecord


def source(image: SourceImage | Reduced) -> SourceImage:
    """What is known of an image beside its pixels."""
    return image.image if isinstance(image, Reduced) else image


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


def reduce(image: SourceImage, model: BundleModel, watch: Stopwatch) -> Reduced:
    """Cut the image to what the network sees. Raises ModalityNotRead."""
    own = model.of(image.modality)
    with watch.lap("frame"):
        size = (image.height, image.width)
        place = frame(image.pixels, image.modality, own.geometry.input_size, size)
        working = place.cut(image.pixels, image.coarseness)
        shown = kind.reduced(image.pixels, image.window) if model.kind else None
        alike = likeness(image.pixels)
    return Reduced(image.without_pixels(), alike, place, working, shown)


def prepare(
    image: SourceImage | Reduced, model: BundleModel, remove: RemoveNoise, watch: Stopwatch
) -> Prepared:
    """Remove the noise of what the network sees of an image, and place it.

    Area reduction keeps the noise model (only its gain falls), so the noise is removed at network
    scale: what the network could not see is not paid for. Raises what `remove` raises, and
    ModalityNotRead.
    """
    seen = image if isinstance(image, Reduced) else reduce(image, model, watch)
    image = seen.image
    with watch.lap("denoise"):
        clean, record = remove(seen.working, image.modality, float(2**image.bits - 1))
    with watch.lap("frame"):
        grey = model.of(image.modality).normalisation
        canvas = grey.standardise(seen.frame.place(grey.levels(clean)))
    return Prepared(seen.frame, clean, canvas, seen.shown, record)


def pictures(image: SourceImage, prepared: Prepared) -> Pictures:
    """For the eye, at the image's own size. `image` has its pixels, all of them."""
    restored = prepared.frame.restore(prepared.clean, image.pixels)
    return Pictures(to_grey(image.pixels, image.window), to_grey(restored, image.window))
