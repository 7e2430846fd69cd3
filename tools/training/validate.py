"""A quick look at validation data during training, through the device's own detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from appliance.detector.detector import Detector
from appliance.detector.paste import paste
from appliance.values import Modality
from tools.data.augment import plain
from tools.data.sample import Sample
from tools.judge.metrics import auc, dice
from tools.network.config import TrainConfig
from tools.network.model import RefinedMaskRcnn
from tools.network.torch_engine import TorchEngine

FINDING_THRESHOLD = 0.2
"""For watching alone; the bundle's own is chosen when it is exported."""


@dataclass(frozen=True, slots=True)
class Glance:
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


def glance(network: RefinedMaskRcnn, samples: Sequence[Sample], config: TrainConfig) -> Glance:
    """Read each sample unaugmented. An image's score is the mean of the whole-image head and
    the most malignant finding; the bundle's own weighting is chosen later, at export."""
    geometry = config.network.geometry
    detector = Detector(TorchEngine(network.eval()), geometry)
    scores: dict[Modality, list[tuple[float, bool]]] = {}
    overlaps: dict[Modality, list[float]] = {}
    for sample in samples:
        canvas, truth = plain(sample, geometry.input_size, config.percentiles)
        canvas = (canvas - np.float32(config.mean)) / np.float32(config.std)
        seen = detector.detect(canvas, FINDING_THRESHOLD)
        finding = float(seen.malignant.max(initial=0.0))
        malignant = sample.label == "malignant"
        scores.setdefault(sample.modality, []).append(
            ((float(seen.image[2]) + finding) / 2, malignant)
        )
        if truth.any() and all(lesion.exact for lesion in sample.lesions):
            found = np.zeros_like(truth)
            for mask, box in zip(seen.masks, seen.boxes, strict=True):
                crop, left, top = paste(mask, box, geometry.input_size, geometry.mask_threshold)
                found[top : top + crop.shape[0], left : left + crop.shape[1]] |= crop
            overlaps.setdefault(sample.modality, []).append(dice(truth, found))
    return Glance(
        {
            modality.value: float(
                auc(np.array([s for s, _ in pairs]), np.array([m for _, m in pairs])).item()
            )
            for modality, pairs in scores.items()
        },
        {modality.value: float(np.mean(values)) for modality, values in overlaps.items()},
    )
