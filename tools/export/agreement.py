"""Whether two engines see the same in the same images: findings matched as sets, by IoU."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.detector.boxes import iou
from mammosono.appliance.pipeline.detector.detector import Detections, Detector, DetectorStages
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.appliance.pipeline.detector.paste import paste
from mammosono.engines.interface import Engine

SAME_FINDING = 0.5
"""IoU from which two boxes outline one lesion."""
SAME_BOX = 0.9
"""IoU from which they are one candidate; below it, suppression chose the other of two near ties."""
MARGIN = 0.05
"""A finding so close above its threshold may be reported by one engine and not by the other."""
OTHER_BOX_SHARE = 0.1
LEAST_MASK_IOU = 0.9
LARGEST_SCORE = 0.05
"""Of a finding's probabilities of lesion and malignant."""
LARGEST_IMAGE = 0.05
"""Of the whole image's three probabilities."""


@dataclass
class Agreement:
    """What was seen over the images.

    lost: sure findings without a counterpart. other_box: with one that is another candidate.
    mask, score: the worst of the others, masks compared in px. image: the worst of all images.
    """

    images: int = 0
    findings: int = 0
    lost: int = 0
    other_box: int = 0
    mask: float = 1.0
    score: float = 0.0
    image: float = 0.0

    def add(self, a: Detections, b: Detections, threshold: float, geometry: Geometry) -> None:
        """Two readings of one image, both down to `threshold - MARGIN`."""
        self.images += 1
        self.image = _worse(self.image, a.image - b.image)
        overlaps = iou(a.boxes, b.boxes)
        self.lost += _lost(a.lesion, overlaps, threshold) + _lost(b.lesion, overlaps.T, threshold)
        for i, row in enumerate(overlaps):
            j = int(row.argmax()) if row.size else -1
            if j < 0 or row[j] < SAME_FINDING:
                continue
            self.findings += 1
            if row[j] < SAME_BOX:
                self.other_box += 1
                continue
            self.mask = min(self.mask, mask_iou(_pixels(a, i, geometry), _pixels(b, j, geometry)))
            self.score = _worse(self.score, a.lesion[i] - b.lesion[j])
            self.score = _worse(self.score, a.malignant[i] - b.malignant[j])

    @property
    def broken(self) -> list[str]:
        """Every bound that does not hold, in words."""
        lines = []
        if self.lost:
            lines.append(f"{self.lost} findings without a counterpart")
        if self.other_box > max(1, int(OTHER_BOX_SHARE * self.findings)):
            lines.append(f"{self.other_box} of {self.findings} findings have another box")
        if not self.mask >= LEAST_MASK_IOU:
            lines.append(f"masks overlap by IoU {self.mask:.3f}, less than {LEAST_MASK_IOU}")
        if not self.score <= LARGEST_SCORE:
            lines.append(f"a finding's score is off by {self.score:.4f}, over {LARGEST_SCORE}")
        if not self.image <= LARGEST_IMAGE:
            lines.append(f"an image's score is off by {self.image:.4f}, over {LARGEST_IMAGE}")
        return lines

    @property
    def figures(self) -> str:
        return (
            f"{self.images} images, {self.findings} findings, {self.other_box} with another box; "
            f"mask IoU {self.mask:.3f}, scores within {self.score:.4f}, images {self.image:.4f}"
        )


def agreement(
    reference: Engine,
    other: Engine,
    canvases: Iterable[tuple[NDArray[np.float32], float]],
    geometry: Geometry,
    stages: DetectorStages | None = None,
) -> Agreement:
    """Read every canvas [H, W], given with its finding threshold, by both engines.

    Raises EngineFault.
    """
    detectors = [Detector(engine, geometry, stages) for engine in (reference, other)]
    seen = Agreement()
    for canvas, threshold in canvases:
        a, b = (detector.detect(canvas, threshold - MARGIN) for detector in detectors)
        seen.add(a, b, threshold, geometry)
    return seen


def mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """1 where both are empty."""
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def _pixels(seen: Detections, index: int, geometry: Geometry) -> NDArray[np.bool_]:
    """One finding's mask in the network's input."""
    whole = np.zeros(geometry.input_size, np.bool_)
    crop, left, top = paste(
        seen.masks[index], seen.boxes[index], geometry.input_size, geometry.mask_threshold
    )
    whole[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return whole


def _lost(lesion: NDArray[np.float32], overlaps: NDArray[np.float32], threshold: float) -> int:
    sure = lesion >= threshold
    return int(np.count_nonzero(sure & (overlaps.max(axis=1, initial=0.0) < SAME_FINDING)))


def _worse(before: float, difference: NDArray[np.float32]) -> float:
    # Unlike max, this keeps a NaN, which the bound then refuses.
    return float(np.maximum(before, np.abs(difference).max()))
