"""Figures of a trained cell on validation images, in the network's own frame."""

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
from mammosono.tools.evaluation.coco import box_average_precision
from mammosono.tools.evaluation.metrics import auc, dice
from mammosono.tools.network.config import TrainConfig
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.network.torch_engine import TorchEngine

LOWEST = 0.02
"""No finding under this lesion score is looked at."""
THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 18))
TOLERANCE_PX = 2.0
"""Of the boundary score, in px of the network's input."""


def boundary_f(a: NDArray[np.bool_], b: NDArray[np.bool_], tolerance_px: float) -> float:
    """F-score of two masks' outlines [H, W]: the harmonic mean of the shares of each outline that
    lie within `tolerance_px` of the other (Csurka 2013; Perazzi 2016). 0 if one mask is empty,
    NaN if both are.
    """
    if not a.any() and not b.any():
        return float("nan")
    if not a.any() or not b.any():
        return 0.0
    first, second = _outline(a), _outline(b)
    precision = float((_distance_to(second)[first] <= tolerance_px).mean())
    recall = float((_distance_to(first)[second] <= tolerance_px).mean())
    return 2 * precision * recall / max(precision + recall, 1e-9)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask's own pixels that touch the background, or the edge of the picture, on a side."""
    grey = mask.astype(np.uint8)
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    inner = cv2.erode(grey, cross, borderType=cv2.BORDER_CONSTANT, borderValue=(0.0,))
    return np.asarray(mask & (inner == 0))


def _distance_to(outline: NDArray[np.bool_]) -> NDArray[np.float32]:
    """[H, W] Euclidean distance in px to the nearest pixel of the outline."""
    away = (~outline).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


@dataclass(frozen=True, slots=True)
class CellFigures:
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
class _Prediction:
    sample: Sample
    answer: Detections
    truth: NDArray[np.bool_]


def measure(
    network: RefinedMaskRcnn, samples: Sequence[Sample], config: TrainConfig
) -> dict[str, CellFigures]:
    """Figures by modality; each sample's last view is shown, as the device would place it."""
    geometry = config.network.geometry
    detector = Detector(TorchEngine(network.eval()), geometry)
    predictions: dict[Modality, list[_Prediction]] = {}
    for sample in samples:
        canvas, truth = plain(sample, geometry.input_size, config.percentiles)
        canvas = (canvas - np.float32(config.mean)) / np.float32(config.std)
        prediction = _Prediction(sample, detector.detect(canvas, LOWEST), truth)
        predictions.setdefault(sample.modality, []).append(prediction)
    return {modality.value: _figures(images, geometry) for modality, images in predictions.items()}


def _figures(images: Sequence[_Prediction], geometry: Geometry) -> CellFigures:
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
    ap50, ap = box_average_precision(
        [_lesion_boxes(s.sample) for s in images],
        [s.answer.boxes for s in images],
        [s.answer.lesion for s in images],
    )
    scores = [(float(s.answer.image[2]) + s.answer.malignant.max(initial=0.0)) / 2 for s in images]
    malignant = np.array([s.sample.label == "malignant" for s in images])
    return CellFigures(
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


def _union(
    image: _Prediction, masks: Sequence[NDArray[np.bool_]], threshold: float
) -> NDArray[np.bool_]:
    covered = np.zeros_like(image.truth)
    for mask, score in zip(masks, image.answer.lesion, strict=True):
        if score >= threshold:
            covered |= mask
    return covered


def _lesion_boxes(sample: Sample) -> Boxes:
    """[n, 4] px of the network's input."""
    rectangles = [cv2.boundingRect(lesion.mask) for lesion in sample.lesions if lesion.mask.any()]
    corners = [(x, y, x + width, y + height) for x, y, width, height in rectangles]
    return np.array(corners, np.float32).reshape(-1, 4) * np.asarray(sample.enlarge, np.float32)
