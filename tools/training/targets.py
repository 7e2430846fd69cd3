"""Targets of anchors and proposals: matched by IoU, sampled with a fixed share of lesions."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.detector.boxes import Boxes, encode, iou
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.tools.network.config import LossConfig


@dataclass(frozen=True, slots=True, eq=False)
class AnchorTargets:
    """Sampled anchors: index [n], positive bool [n], and deltas [p, 4] of the positive ones."""

    index: NDArray[np.int64]
    positive: NDArray[np.bool_]
    deltas: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class RoiTargets:
    """Sampled RoIs: boxes [n, 4], labels int64 [n] (0 background), truth index [n] (-1 none)."""

    boxes: Boxes
    labels: NDArray[np.int64]
    truth: NDArray[np.int64]


def anchor_targets(
    anchors: Boxes,
    truth: Boxes,
    geometry: Geometry,
    loss: LossConfig,
    rng: np.random.Generator,
) -> AnchorTargets:
    """Anchors above the positive IoU, and every lesion's best (where it overlaps by more than
    0.2); negatives below the negative IoU.

    anchors: [A, 4] of all levels. At most half of the sample is positive.
    """
    if len(truth) == 0:
        negative = _sample(np.arange(len(anchors)), loss.rpn_samples, rng)
        return AnchorTargets(negative, np.zeros(len(negative), bool), np.zeros((0, 4), np.float32))
    overlaps = iou(anchors, truth)
    best = overlaps.max(axis=1)
    matched = overlaps.argmax(axis=1)
    positive = best >= loss.rpn_positive_iou
    for k in range(len(truth)):
        top = overlaps[:, k].max()
        if top > 0.2:
            forced = np.flatnonzero(overlaps[:, k] >= top - 1e-3)
            positive[forced] = True
            matched[forced] = k
    chosen = _sample(np.flatnonzero(positive), loss.rpn_samples // 2, rng)
    others = np.flatnonzero((best < loss.rpn_negative_iou) & ~positive)
    rest = _sample(others, loss.rpn_samples - len(chosen), rng)
    deltas = encode(truth[matched[chosen]], anchors[chosen], geometry.rpn_weights)
    flags = np.concatenate([np.ones(len(chosen), bool), np.zeros(len(rest), bool)])
    return AnchorTargets(np.concatenate([chosen, rest]), flags, deltas.astype(np.float32))


def roi_targets(
    proposals: Boxes,
    truth: Boxes,
    labels: NDArray[np.int64],
    loss: LossConfig,
    rng: np.random.Generator,
) -> RoiTargets:
    """Proposals and the lesions themselves, sampled; a RoI takes the lesion it overlaps most."""
    boxes = np.concatenate([proposals, truth])
    overlaps = iou(boxes, truth) if len(truth) else np.zeros((len(boxes), 1), np.float32)
    best, matched = overlaps.max(axis=1), overlaps.argmax(axis=1)
    positive = np.flatnonzero(best >= loss.roi_positive_iou)
    negative = np.flatnonzero(best < loss.roi_positive_iou)
    chosen = _sample(positive, round(loss.roi_samples * loss.roi_positive_share), rng)
    rest = _sample(negative, loss.roi_samples - len(chosen), rng)
    index = np.concatenate([chosen, rest])
    roi_labels = np.zeros(len(index), np.int64)
    roi_truth = np.full(len(index), -1, np.int64)
    roi_truth[: len(chosen)] = matched[chosen]
    if len(chosen):
        roi_labels[: len(chosen)] = labels[matched[chosen]]
    return RoiTargets(boxes[index], roi_labels, roi_truth)


def mask_target(
    mask: NDArray[np.uint8], box: NDArray[np.float32], size: int
) -> NDArray[np.float32]:
    """The lesion's mask [H, W] inside a box, as [size, size] of 0 and 1: the inverse of pasting.

    Target pixel i samples the mask at x0 + (i + 0.5) (x1 - x0) / size - 0.5 (pixel centres),
    bilinear and then rounded, since the mask is of integers; beyond the image it is 0.
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    sx, sy = (x1 - x0) / size, (y1 - y0) / size
    matrix = np.array([[sx, 0, x0 + 0.5 * sx - 0.5], [0, sy, y0 + 0.5 * sy - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(mask, matrix, (size, size), flags=flags).astype(np.float32)


def _sample(
    candidates: NDArray[np.intp], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    if len(candidates) > count:
        candidates = rng.choice(candidates, count, replace=False)
    return candidates.astype(np.int64)
