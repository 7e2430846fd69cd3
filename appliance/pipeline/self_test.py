"""A small drawn pair to try a reader on: that it answers at all, and with numbers."""

from __future__ import annotations

import numpy as np

from mammosono.appliance.errors import ModelFault
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.phantoms.demo import MAMMOGRAM_SEED, ULTRASOUND_SEED
from mammosono.appliance.pipeline.reader import ImageReader
from mammosono.appliance.values import Label, Modality, Reading, SourceImage

SIZE = {Modality.MG: (512, 320), Modality.US: (240, 280)}
"""Height, width. Small, because the network takes as long whatever the size, and denoising less."""


def prove(reader: ImageReader) -> Reading:
    """Read the pair. Raises ModelFault if the answer is not one that can be trusted."""
    reading = reader.read(drawn_pair())
    for image in reading.images:
        if image.score is None or not 0 <= image.score <= 1:
            raise ModelFault("the self-test's answer has no score; build or copy the model again")
    return reading


def drawn_pair() -> tuple[SourceImage, SourceImage]:
    """A phantom mammogram and a phantom ultrasound: no patient's."""
    return (
        _drawn(Modality.MG, MAMMOGRAM_SEED, Label.MALIGNANT),
        _drawn(Modality.US, ULTRASOUND_SEED, Label.BENIGN),
    )


def _drawn(modality: Modality, seed: int, label: Label) -> SourceImage:
    height, width = SIZE[modality]
    pixels = phantom(modality, seed, label, height=height, width=width).pixels
    return SourceImage(modality, np.ascontiguousarray(pixels), 8, (0, 255), None, "0" * 64)
