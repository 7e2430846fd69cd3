"""Validation during training, through the device's own detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mammosono.appliance.pipeline.detector.detector import Detector
from mammosono.appliance.pipeline.detector.paste import paste
from mammosono.tools.data.augment import plain
from mammosono.tools.data.sample import Sample
from mammosono.tools.evaluation.metrics import auc, dice
from mammosono.tools.network.config import TrainConfig
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.network.torch_engine import TorchEngine

FINDING_THRESHOLD = 0.2
"""For watching alone; the bundle's own is chosen when it is exported."""


@dataclass(frozen=True, slots=True)
class Validation:
    """AUC of malignant against the rest and mean Dice of lesion images, by modality."""

    auc: dict[str, float]
    dice: dict[str, float]

    @property
    def score(self) -> float:
        """What `best` is chosen by: the mean of all figures; 0 if none is defined.

        An AUC is undefined (NaN) where a modality has no malignant image, or no other.
        """
        figures = [v for v in (*self.auc.values(), *self.dice.values()) if not np.isnan(v)]
        return float(np.mean(figures)) if figures else 0.0


@dataclass(frozen=True, slots=True)
class ImageValidation:
    """One image: its score, whether it is malignant if that is known, and its Dice if it has an
    outlined lesion."""

    modality: str
    score: float
    malignant: bool | None
    dice: float | None


def validate(
    network: RefinedMaskRcnn,
    samples: Sequence[Sample],
    config: TrainConfig,
    gather: Callable[[list[ImageValidation]], list[ImageValidation]] = lambda images: images,
) -> Validation:
    """Read each sample unaugmented. An image's score is the mean of the whole-image head and
    the most malignant finding; the bundle's own weighting is chosen later, at export.

    gather: adds the images of the other ranks, where each has a part of the images.
    """
    detector = Detector(TorchEngine(network.eval()), config.network.geometry)
    by_modality: dict[str, list[ImageValidation]] = {}
    for image in gather([_validate_image(detector, sample, config) for sample in samples]):
        by_modality.setdefault(image.modality, []).append(image)
    areas, overlaps = {}, {}
    for modality, images in sorted(by_modality.items()):
        judged = [(i.score, i.malignant) for i in images if i.malignant is not None]
        scores, truth = [s for s, _ in judged], [m for _, m in judged]
        areas[modality] = float(auc(np.array(scores), np.array(truth)).item())
        known = [i.dice for i in images if i.dice is not None]
        if known:
            overlaps[modality] = float(np.mean(known))
    return Validation(areas, overlaps)


def _validate_image(detector: Detector, sample: Sample, config: TrainConfig) -> ImageValidation:
    geometry = config.network.geometry
    canvas, truth = plain(sample, geometry.input_size, config.percentiles)
    canvas = (canvas - np.float32(config.mean)) / np.float32(config.std)
    detections = detector.detect(canvas, FINDING_THRESHOLD)
    overlap = None
    if truth.any() and all(lesion.exact for lesion in sample.lesions):
        covered = np.zeros_like(truth)
        for mask, box in zip(detections.masks, detections.boxes, strict=True):
            crop, left, top = paste(mask, box, geometry.input_size, geometry.mask_threshold)
            covered[top : top + crop.shape[0], left : left + crop.shape[1]] |= crop
        overlap = float(dice(truth, covered))
    score = (float(detections.image[2]) + float(detections.malignant.max(initial=0.0))) / 2
    malignant = None if sample.label == "unknown" else sample.label == "malignant"
    return ImageValidation(sample.modality.value, score, malignant, overlap)
