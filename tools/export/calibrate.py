"""Calibration on validation data: finding threshold, score mixture, operating point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.detector.detector import Detections, Detector
from mammosono.appliance.pipeline.detector.paste import paste
from mammosono.appliance.pipeline.model import BundleModel, detectors
from mammosono.appliance.pipeline.prepare import RemoveNoise, denoiser, prepare
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.values import Modality
from mammosono.engines.interface import Engine
from mammosono.tools.data.index import Record
from mammosono.tools.data.truth import union_mask
from mammosono.tools.evaluation.metrics import dice
from mammosono.tools.evaluation.operating_points import (
    ImageScore,
    OperatingPoint,
    choose_image_score,
    choose_threshold,
)

LOWEST = 0.05
"""No finding under this lesion score is considered."""
GRID = tuple(round(0.05 * k, 2) for k in range(1, 20))


@dataclass(frozen=True, slots=True)
class Calibration:
    """One modality's numbers, all chosen on validation images (so their rates are optimistic)."""

    images: int
    finding_threshold: float
    mean_dice: float
    image_score: ImageScore
    operating_point: OperatingPoint


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    malignant: bool
    detections: Detections
    dice: NDArray[np.float64] | None
    """[len(GRID)] Dice at each finding threshold; None without a masked lesion."""


def calibrate(
    engine: Engine,
    model: BundleModel,
    records: Sequence[Record],
    sensitivity: float,
    on_image: Callable[[int, int], None],
) -> dict[Modality, Calibration]:
    """Choose the numbers of each of the model's modalities on `records`, which are of no other, for
    a stated sensitivity of its verdict.

    Raises ValueError if a modality has no malignant or no other image, or none with a lesion
    mask, or if a mask does not fit its image; IntakeError if an image cannot be read.
    """
    each, remove = detectors(engine, model), denoiser(engine, model, 2)
    by_modality: dict[Modality, list[_Measured]] = {modality: [] for modality in model.modalities}
    for done, record in enumerate(records, start=1):
        by_modality[record.modality].append(_look(each[record.modality], model, remove, record))
        on_image(done, len(records))
    return {m: _choose(m, images, sensitivity) for m, images in by_modality.items()}


def _choose(modality: Modality, images: Sequence[_Measured], sensitivity: float) -> Calibration:
    overlaps = [image.dice for image in images if image.dice is not None]
    truth = np.array([image.malignant for image in images], bool)
    if not overlaps or truth.all() or not truth.any():
        raise ValueError(
            f"nothing can be chosen on these {modality.value} images: "
            "give malignant and other ones, some with lesion masks"
        )
    means = np.mean(overlaps, axis=0)
    # Of thresholds as good as the best within a hundredth, the highest: fewer false findings.
    best = int(np.flatnonzero(means >= means.max() - 0.01)[-1])
    threshold = GRID[best]
    head = np.array([float(image.detections.image[2]) for image in images])
    finding = np.array(
        [
            float(image.detections.malignant[image.detections.lesion >= threshold].max(initial=0))
            for image in images
        ]
    )
    score = choose_image_score(head, finding, truth)
    mixed = score.weight * head + (1 - score.weight) * finding
    point = choose_threshold(mixed, truth, sensitivity=sensitivity)
    return Calibration(len(images), threshold, float(means[best]), score, point)


def _look(detector: Detector, model: BundleModel, remove: RemoveNoise, record: Record) -> _Measured:
    image = read_image(record.image.read_bytes(), record.modality)
    prepared = prepare(image, model, remove, Stopwatch())
    detections = detector.detect(prepared.canvas, LOWEST)
    overlaps = None
    size = (image.height, image.width)
    truth = union_mask(record, size)
    if truth is not None and truth.any():
        boxes = prepared.frame.to_image(detections.boxes, size)
        crops = [
            paste(mask, box, size, model.of(record.modality).geometry.mask_threshold)
            for mask, box in zip(detections.masks, boxes, strict=True)
        ]
        overlaps = np.array([_dice_at(t, truth, crops, detections.lesion) for t in GRID])
    return _Measured(record.label == "malignant", detections, overlaps)


def _dice_at(
    threshold: float,
    truth: NDArray[np.bool_],
    crops: Sequence[tuple[NDArray[np.bool_], int, int]],
    lesion: NDArray[np.float32],
) -> float:
    union = np.zeros_like(truth)
    for (crop, left, top), score in zip(crops, lesion, strict=True):
        if score >= threshold:
            union[top : top + crop.shape[0], left : left + crop.shape[1]] |= crop
    return dice(truth, union)
