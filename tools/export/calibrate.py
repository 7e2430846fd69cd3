"""Calibration on images that trained nothing: what is shown, how it is scored, what is positive."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.detector.detector import Detections, Detector
from mammosono.appliance.pipeline.detector.frame import Frame
from mammosono.appliance.pipeline.detector.paste import paste
from mammosono.appliance.pipeline.model import BundleModel, detectors
from mammosono.appliance.pipeline.prepare import RemoveNoise, denoiser, prepare
from mammosono.appliance.pipeline.scoring import evidence, probability, raw
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.values import BreastScoring, Evidence, Modality, Scoring
from mammosono.engines.interface import Engine
from mammosono.tools.data.index import Record
from mammosono.tools.data.truth import union_mask
from mammosono.tools.evaluation import platt
from mammosono.tools.evaluation.bootstrap import Floats
from mammosono.tools.evaluation.breasts import by_breast
from mammosono.tools.evaluation.metrics import Bools, auc, dice, hits
from mammosono.tools.evaluation.operating_points import (
    OperatingPoint,
    choose_image_score,
    choose_threshold,
)
from mammosono.tools.evaluation.outcome import lesions_of

LOWEST = 0.05
"""No region under this lesion score is considered; from it on a region counts for the score."""
GRID = tuple(round(0.01 * k, 2) for k in range(int(100 * LOWEST), 96))
FALSE_POSITIVES = {Modality.MG: 0.5, Modality.US: 0.2}
"""Findings shown that hit no lesion, an image, where no other goal is stated."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What a network saw in one labelled image.

    evidence: as it counts for the score. lesion: float [n], lesion score of each region down to
    LOWEST; hit: bool [n, m], which of them hits which of the image's lesions.
    dice: float [len(GRID)], Dice of what is shown from each threshold on; None without a mask.
    """

    record: Record
    evidence: Evidence
    lesion: Floats
    hit: Bools
    dice: Floats | None

    @property
    def malignant(self) -> bool:
        return self.record.label == "malignant"


@dataclass(frozen=True, slots=True)
class Shown:
    """The threshold of findings, and what it gives on the images it was chosen on.

    sensitivity: share of lesions hit; false_positives: findings that hit none, an image;
    dice: mean of the images with a lesion mask.
    """

    threshold: float
    sensitivity: float
    false_positives: float
    dice: float


@dataclass(frozen=True, slots=True)
class Judged:
    """n images or breasts, how many of them malignant, their AUC, and what the operating point
    gives there (so it is optimistic)."""

    n: int
    malignant: int
    auc: float
    point: OperatingPoint


@dataclass(frozen=True, slots=True)
class Calibration:
    """One modality's numbers. breast: None where no breast is known by both its views."""

    shown: Shown
    scoring: Scoring
    image: Judged
    breast: Judged | None


def look_at(
    engine: Engine,
    model: BundleModel,
    records: Sequence[Record],
    on_image: Callable[[int, int], None],
) -> list[Look]:
    """Raises ValueError if a mask does not fit its image; IntakeError, EngineError."""
    each, remove = detectors(engine, model), denoiser(engine, model, 2)
    seen = []
    for done, record in enumerate(records, start=1):
        seen.append(look(each[record.modality], model, remove, record))
        on_image(done, len(records))
    return seen


def look(detector: Detector, model: BundleModel, remove: RemoveNoise, record: Record) -> Look:
    """Raises as `look_at`."""
    image = read_image(record.image.read_bytes(), record.modality)
    prepared = prepare(image, model, remove, Stopwatch())
    detections = detector.detect(prepared.canvas, LOWEST)
    size = (image.height, image.width)
    level = model.of(record.modality).geometry.mask_threshold
    overlaps = _overlaps(record, detections, prepared.frame, size, level)
    lesions, _ = lesions_of(record, Path.read_bytes)
    boxes = prepared.frame.to_image(detections.boxes, size)
    hit = hits(
        np.asarray(boxes, np.float64).reshape(-1, 4),
        np.array([lesion.box for lesion in lesions], np.float64).reshape(-1, 4),
        np.array([lesion.is_circle for lesion in lesions], bool),
    )
    return Look(
        record, evidence(detections, LOWEST), detections.lesion.astype(np.float64), hit, overlaps
    )


def calibrate(
    looks: Sequence[Look],
    sensitivity: float,
    class_free: Collection[str] = (),
    false_positives: float = 0.5,
) -> Calibration:
    """Choose one modality's numbers on images that its network did not learn from.

    sensitivity: of the verdict on one image and on one breast. false_positives: findings shown that
    hit no lesion, an image. class_free: sources whose labels
    say nothing of a score. Raises ValueError if malignant or other images are missing, or none has
    a lesion with a mask.
    """
    judged = [one for one in looks if one.record.source not in class_free]
    truth = np.array([one.malignant for one in judged], bool)
    if all(one.dice is None for one in looks) or truth.all() or not truth.any():
        named = f"{looks[0].record.modality.value} " if looks else ""
        raise ValueError(
            f"nothing can be chosen on these {named}images: "
            "give malignant and other ones, some with lesion masks"
        )
    whole = np.array([one.evidence.whole_image for one in judged])
    region = np.array([one.evidence.region for one in judged])
    weight = choose_image_score(whole, region, truth).weight
    mixed = weight * whole + (1 - weight) * region
    calibration = platt.fit(mixed, truth)
    image = _judged(probability(mixed, calibration), truth, sensitivity)
    breast_scoring, breast = None, None
    sides = list(by_breast(judged, lambda one: one.record).values())
    if sides:
        means = np.array([np.mean([raw_score(v, weight) for v in views]) for views in sides])
        sick = np.array([any(v.malignant for v in views) for views in sides], bool)
        own = platt.fit(means, sick)
        breast = _judged(probability(means, own), sick, sensitivity)
        breast_scoring = BreastScoring(own, breast.point.threshold)
    scoring = Scoring(weight, LOWEST, image.point.threshold, calibration, breast_scoring)
    return Calibration(choose_shown(looks, false_positives), scoring, image, breast)


def raw_score(one: Look, head_weight: float) -> float:
    return float(raw(one.evidence.whole_image, one.evidence.region, head_weight))


def choose_shown(looks: Sequence[Look], false_positives: float) -> Shown:
    """The lowest threshold of GRID with at most that many false positives an image; its highest
    where none has."""
    false = np.array([[_false(one, t) for t in GRID] for one in looks]).mean(axis=0)
    enough = np.flatnonzero(false <= false_positives + 1e-9)
    best = int(enough[0]) if enough.size else len(GRID) - 1
    lesions = sum(one.hit.shape[1] for one in looks)
    found = sum(int(one.hit[one.lesion >= GRID[best]].any(axis=0).sum()) for one in looks)
    overlaps = [one.dice[best] for one in looks if one.dice is not None]
    return Shown(
        GRID[best],
        found / lesions if lesions else float("nan"),
        float(false[best]),
        float(np.mean(overlaps)) if overlaps else float("nan"),
    )


def _false(one: Look, threshold: float) -> int:
    return int((~one.hit[one.lesion >= threshold].any(axis=1)).sum())


def _judged(scores: Floats, truth: Bools, sensitivity: float) -> Judged:
    point = choose_threshold(scores, truth, sensitivity=sensitivity)
    return Judged(truth.size, int(truth.sum()), float(auc(scores, truth)), point)


def _overlaps(
    record: Record, detections: Detections, frame: Frame, size: tuple[int, int], level: float
) -> Floats | None:
    truth = union_mask(record, size)
    if truth is None or not truth.any():
        return None
    boxes = frame.to_image(detections.boxes, size)
    crops = [
        paste(mask, box, size, level) for mask, box in zip(detections.masks, boxes, strict=True)
    ]
    return np.array([_dice_at(t, truth, crops, detections.lesion) for t in GRID])


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
