"""Parity of two engines: torch against the exported graphs by every stage's outputs, and any two by
the findings that they report in the same images, matched as sets by IoU.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mammosono.appliance.pipeline.denoise.network import STAGE
from mammosono.appliance.pipeline.detector.anchors import anchors_by_level
from mammosono.appliance.pipeline.detector.boxes import iou
from mammosono.appliance.pipeline.detector.detector import Detections, Detector, DetectorStages
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.appliance.pipeline.detector.paste import paste
from mammosono.appliance.pipeline.detector.proposals import propose
from mammosono.appliance.pipeline.detector.roi import roi_samples
from mammosono.engines.interface import Engine
from mammosono.tools.denoiser.network import Denoiser

BOUND = 2e-3
"""Largest allowed difference of an output, relative to the largest value of that output."""


class ParityError(ValueError):
    """The exported graphs do not compute what the network does; names stage and output."""


def compare(
    reference: Engine, other: Engine, canvases: Iterable[NDArray[np.float32]], geometry: Geometry
) -> dict[str, float]:
    """Largest relative difference of each "stage.output" over the canvases [H, W].

    Both engines get the reference's pyramid and proposals, so that a near-tie in the ranking
    cannot look like a difference. Raises ParityError above BOUND, and where there is no canvas.
    """
    worst: dict[str, float] = {}
    anchors = anchors_by_level(geometry)
    for canvas in canvases:
        inputs: dict[str, NDArray[Any]] = {"image": canvas[None, None]}
        trunk = _both(reference, other, "trunk", inputs, worst)
        boxes, _ = propose(trunk["objectness"][0], trunk["deltas"][0], anchors, geometry)
        for stage, bins, count in (
            ("heads", geometry.box_bins, geometry.proposals),
            ("masks", geometry.mask_bins, geometry.findings),
        ):
            full = np.resize(boxes, (count, 4))
            rows, weights = roi_samples(full, bins, geometry)
            feeds: dict[str, NDArray[Any]] = {"rows": rows, "weights": weights}
            feeds["pyramid"] = trunk["pyramid"]
            _both(reference, other, stage, feeds, worst)
    if not worst:
        raise ParityError("no image to compare torch and the graphs on: give validation images")
    for name, difference in worst.items():
        if not difference <= BOUND:
            raise ParityError(f"{name} differs by {difference:.2e}, more than {BOUND:.0e}")
    return worst


def _both(
    reference: Engine,
    other: Engine,
    stage: str,
    inputs: dict[str, NDArray[Any]],
    worst: dict[str, float],
) -> dict[str, NDArray[Any]]:
    wanted = {name: np.asarray(v) for name, v in reference.run(stage, inputs).items()}
    got = other.run(stage, inputs)
    for name, value in wanted.items():
        scale = max(float(np.abs(value).max()), 1e-6)
        difference = float(np.abs(np.asarray(got[name]) - value).max()) / scale
        key = f"{stage}.{name}"
        # Unlike max, this keeps a NaN, which the bound then refuses.
        worst[key] = float(np.maximum(worst.get(key, 0.0), difference))
    return wanted


def compare_denoiser(
    network: Denoiser, engine: Engine, noisy: Iterable[NDArray[Any]], stage: str = STAGE
) -> dict[str, float]:
    """Largest relative difference between torch and the graph over these inputs [1, 1, H, W].

    Raises ParityError above BOUND, and where there is no input.
    """
    key = f"{stage}.noise"
    worst: float | None = None
    for tensor in noisy:
        with torch.inference_mode():
            wanted = network.eval()(torch.from_numpy(tensor)).numpy()
        got = np.asarray(engine.run(stage, {"noisy": tensor})["noise"])
        difference = float(np.abs(got - wanted).max() / max(np.abs(wanted).max(), 1e-6))
        # Unlike max, this keeps a NaN, which the bound then refuses.
        worst = difference if worst is None else float(np.maximum(worst, difference))
    if worst is None:
        raise ParityError("no mammogram to compare the denoiser's graph on: give validation images")
    if not worst <= BOUND:
        raise ParityError(f"{key} differs by {worst:.2e}, more than {BOUND:.0e}")
    return {key: worst}


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
    """Differences over the images.

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
    total = Agreement()
    for canvas, threshold in canvases:
        a, b = (detector.detect(canvas, threshold - MARGIN) for detector in detectors)
        total.add(a, b, threshold, geometry)
    return total


def mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """1 where both are empty."""
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def _pixels(detections: Detections, index: int, geometry: Geometry) -> NDArray[np.bool_]:
    """One finding's mask in the network's input."""
    whole = np.zeros(geometry.input_size, np.bool_)
    crop, left, top = paste(
        detections.masks[index],
        detections.boxes[index],
        geometry.input_size,
        geometry.mask_threshold,
    )
    whole[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return whole


def _lost(lesion: NDArray[np.float32], overlaps: NDArray[np.float32], threshold: float) -> int:
    sure = lesion >= threshold
    return int(np.count_nonzero(sure & (overlaps.max(axis=1, initial=0.0) < SAME_FINDING)))


def _worse(before: float, difference: NDArray[np.float32]) -> float:
    # Unlike max, this keeps a NaN, which the bound then refuses.
    return float(np.maximum(before, np.abs(difference).max()))
