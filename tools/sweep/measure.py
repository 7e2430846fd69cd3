"""A trained cell on validation images, in the network's own frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.detector.boxes import Boxes
from mammosono.appliance.pipeline.detector.detector import Detections, Detector
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.appliance.pipeline.detector.paste import paste
from mammosono.appliance.values import Modality
from mammosono.tools.data.augment import plain
from mammosono.tools.data.sample import Sample
from mammosono.tools.evaluation.metrics import auc, dice
from mammosono.tools.network.config import TrainConfig
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.network.torch_engine import TorchEngine
from mammosono.tools.sweep.boundary import boundary_f
from mammosono.tools.sweep.precision import average_precision

LOWEST = 0.02
"""No finding under this lesion score is looked at."""
THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 18))
TOLERANCE_PX = 2.0
"""Of the boundary score, in px of the network's input."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One modality. dice and boundary_f are means over images with an outlined lesion, at the
    finding threshold that gives the best mean Dice on these same images; auc is of malignant
    images against the others; ap50 and ap are of lesion boxes, whatever their kind."""

    n: int
    dice: float
    boundary_f: float
    ap50: float
    ap: float
    auc: float
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    sample: Sample
    answer: Detections
    truth: NDArray[np.bool_]


def measure(
    network: RefinedMaskRcnn, samples: Sequence[Sample], config: TrainConfig
) -> dict[str, Figures]:
    """Figures by modality; each sample's last view is shown, as the device would place it."""
    geometry = config.network.geometry
    detector = Detector(TorchEngine(network.eval()), geometry)
    seen: dict[Modality, list[_Seen]] = {}
    for sample in samples:
        canvas, truth = plain(sample, geometry.input_size, config.percentiles)
        canvas = (canvas - np.float32(config.mean)) / np.float32(config.std)
        found = _Seen(sample, detector.detect(canvas, LOWEST), truth)
        seen.setdefault(sample.modality, []).append(found)
    return {modality.value: _figures(images, geometry) for modality, images in seen.items()}


def _figures(images: Sequence[_Seen], geometry: Geometry) -> Figures:
    outlined = [s for s in images if s.truth.any() and all(m.exact for m in s.sample.lesions)]
    pasted = [_pasted(s.answer, geometry) for s in outlined]
    means = [
        np.mean([dice(s.truth, _union(s, p, t)) for s, p in zip(outlined, pasted, strict=True)])
        for t in THRESHOLDS
    ]
    threshold = THRESHOLDS[int(np.argmax(means))]
    edges = [
        boundary_f(s.truth, _union(s, p, threshold), TOLERANCE_PX)
        for s, p in zip(outlined, pasted, strict=True)
    ]
    ap50, ap = average_precision(
        [_lesion_boxes(s.sample) for s in images],
        [s.answer.boxes for s in images],
        [s.answer.lesion for s in images],
    )
    scores = [(float(s.answer.image[2]) + s.answer.malignant.max(initial=0.0)) / 2 for s in images]
    malignant = np.array([s.sample.label == "malignant" for s in images])
    return Figures(
        len(images),
        float(max(means)),
        float(np.mean(edges)),
        ap50,
        ap,
        float(auc(np.array(scores), malignant).item()),
        threshold,
    )


def _pasted(answer: Detections, geometry: Geometry) -> list[NDArray[np.bool_]]:
    """Every finding's mask on the canvas."""
    masks = []
    for mask, box in zip(answer.masks, answer.boxes, strict=True):
        whole = np.zeros(geometry.input_size, np.bool_)
        crop, left, top = paste(mask, box, geometry.input_size, geometry.mask_threshold)
        whole[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        masks.append(whole)
    return masks


def _union(seen: _Seen, masks: Sequence[NDArray[np.bool_]], threshold: float) -> NDArray[np.bool_]:
    covered = np.zeros_like(seen.truth)
    for mask, score in zip(masks, seen.answer.lesion, strict=True):
        if score >= threshold:
            covered |= mask
    return covered


def _lesion_boxes(sample: Sample) -> Boxes:
    """[n, 4] px of the network's input."""
    found = [cv2.boundingRect(lesion.mask) for lesion in sample.lesions if lesion.mask.any()]
    corners = [(x, y, x + width, y + height) for x, y, width, height in found]
    return np.array(corners, np.float32).reshape(-1, 4) * np.asarray(sample.enlarge, np.float32)
