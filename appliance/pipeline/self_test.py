"""Self-test of a reader on a small pair of phantoms: it must answer, and with finite numbers."""

from __future__ import annotations

import hashlib

import numpy as np

from mammosono.appliance.errors import ModelFault
from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.phantoms.demo import demo_phantom
from mammosono.appliance.pipeline.reader import ImageReader
from mammosono.appliance.values import Modality, Reading, SourceImage

REDUCTION = 2
"""Small, because the network takes as long whatever the size, and denoising less."""


def prove(reader: ImageReader) -> Reading:
    """Read the pair, or what of it the model reads. Raises ModelFault if the answer is not one that
    can be trusted."""
    own = reader.model.operating_points
    reading = reader.read([image for image in drawn_pair() if image.modality.value in own])
    for image in reading.images:
        if image.score is None or not 0 <= image.score <= 1:
            raise ModelFault("the self-test's answer has no score; build or copy the model again")
    return reading


def drawn_pair() -> tuple[SourceImage, ...]:
    """A phantom of each modality: no patient's."""
    return tuple(_drawn(modality) for modality in MODALITIES)


def _drawn(modality: Modality) -> SourceImage:
    pixels = np.ascontiguousarray(demo_phantom(modality, REDUCTION).pixels)
    sha256 = hashlib.sha256(pixels.tobytes()).hexdigest()
    return SourceImage(modality, pixels, 8, (0, 255), None, sha256)
