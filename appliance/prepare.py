"""One image made ready for the network: framed, denoised, normalised, placed on the canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.denoise import denoise
from appliance.detector.frame import Frame, frame
from appliance.model import Model
from appliance.stopwatch import Stopwatch
from appliance.tones import to_grey
from appliance.values import DenoiseRecord, Pictures, SourceImage


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """canvas: float32 [H, W], standardised; frame: where it stands in the image as posted."""

    frame: Frame
    canvas: NDArray[np.float32]
    pictures: Pictures
    denoise: DenoiseRecord


def prepare(image: SourceImage, model: Model, threads: int, watch: Stopwatch) -> Prepared:
    """Cut the image to what the network sees, remove its noise, and place it.

    Area reduction keeps the noise model (only its gain falls), so the noise is removed at network
    scale: what the network could not see is not paid for.
    """
    with watch.lap("frame"):
        place = frame(image.pixels, image.modality, model.geometry.input_size)
        working = place.cut(image.pixels)
    with watch.lap("denoise"):
        peak = float(2**image.bits - 1)
        clean, record = denoise(working, image.modality, peak=peak, threads=threads)
    with watch.lap("frame"):
        grey = model.normalisation
        canvas = grey.standardise(place.place(grey.levels(clean)))
        pictures = Pictures(
            to_grey(image.pixels, image.window),
            to_grey(place.restore(clean, image.pixels), image.window),
        )
    return Prepared(place, canvas, pictures, record)
