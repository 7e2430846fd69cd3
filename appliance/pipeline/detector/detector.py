"""Detector, the network's host side: trunk, proposals, heads, findings, masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.detector.anchors import anchors_by_level
from mammosono.appliance.pipeline.detector.boxes import Boxes, clip, decode, nms
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.appliance.pipeline.detector.proposals import propose
from mammosono.appliance.pipeline.detector.roi import roi_samples
from mammosono.engines.interface import Engine


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What the network saw on one canvas, in input px; regions, best first.

    image: float32 [3] probabilities of normal, benign, malignant for the whole image.
    boxes: [n, 4]; benign, malignant: [n] probabilities; masks: float32 [n, 56, 56] in 0..1.
    """

    image: NDArray[np.float32]
    boxes: Boxes
    benign: NDArray[np.float32]
    malignant: NDArray[np.float32]
    masks: NDArray[np.float32]

    @property
    def lesion(self) -> NDArray[np.float32]:
        """[n] probability of a lesion of either kind."""
        return np.asarray(self.benign + self.malignant)

    def from_lesion_score(self, threshold: float) -> Detections:
        """Those of at least this lesion score."""
        kept = self.lesion >= threshold
        return Detections(
            self.image, self.boxes[kept], self.benign[kept], self.malignant[kept], self.masks[kept]
        )


class DetectorStages(NamedTuple):
    """What the engine calls the three stages of one network."""

    trunk: str = "trunk"
    heads: str = "heads"
    masks: str = "masks"


class Detector:
    """Runs a network's three stages. Not thread-safe, as the engine is not."""

    def __init__(
        self, engine: Engine, geometry: Geometry, stages: DetectorStages | None = None
    ) -> None:
        """stages: None for an engine that calls them trunk, heads and masks."""
        self._engine = engine
        self._geometry = geometry
        self._stages = stages or DetectorStages()
        self._anchors = anchors_by_level(geometry)

    def detect(
        self,
        canvas: NDArray[np.float32],
        finding_threshold: float,
        clock: Callable[[str, float], None] | None = None,
    ) -> Detections:
        """Findings with at least that lesion score on a standardised canvas [H, W].

        `clock` is told each step's milliseconds.

        Raises mammosono.engines.errors.EngineFault if a stage fails or answers with NaN or Inf.
        """
        geometry, stages, laps = self._geometry, self._stages, _Laps(clock)
        trunk = self._engine.run(stages.trunk, {"image": canvas[None, None]}, keep=("pyramid",))
        laps.lap("trunk")
        objectness, deltas = np.asarray(trunk["objectness"]), np.asarray(trunk["deltas"])
        proposals, _ = propose(objectness[0], deltas[0], self._anchors, geometry)
        rows, weights = roi_samples(proposals, geometry.box_bins, geometry)
        laps.lap("proposals")
        heads = self._engine.run(
            stages.heads,
            {
                "pyramid": trunk["pyramid"],
                "rows": _padded(rows, geometry.proposals),
                "weights": _padded(weights, geometry.proposals),
            },
        )
        laps.lap("heads")
        count = len(proposals)
        classes = np.asarray(heads["classes"])[:count]
        boxes = clip(
            decode(
                np.asarray(heads["box_deltas"])[:count],
                proposals,
                geometry.box_weights,
                geometry.delta_clamp,
            ),
            geometry.input_size,
        )
        chosen = choose_findings(boxes, classes[:, 1:].sum(axis=1), finding_threshold, geometry)
        boxes, classes = boxes[chosen], classes[chosen]
        masks = np.zeros((0, geometry.mask_size, geometry.mask_size), np.float32)
        if len(chosen):
            rows, weights = roi_samples(boxes, geometry.mask_bins, geometry)
            laps.lap("proposals")
            answer = self._engine.run(
                stages.masks,
                {
                    "pyramid": trunk["pyramid"],
                    "rows": _padded(rows, geometry.findings),
                    "weights": _padded(weights, geometry.findings),
                },
            )
            masks = np.asarray(answer["masks"])[: len(chosen)]
            laps.lap("masks")
        image = np.asarray(trunk["image_classes"])[0]
        return Detections(image, boxes, classes[:, 1], classes[:, 2], masks)


def choose_findings(
    boxes: Boxes, lesion: NDArray[np.float32], threshold: float, geometry: Geometry
) -> NDArray[np.intp]:
    """Indices of at most D findings, best first: over the threshold, NMS whatever the class."""
    large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= geometry.min_box_px
    likely = np.flatnonzero(large & (lesion >= threshold))
    kept = nms(boxes[likely], lesion[likely], geometry.finding_nms_iou)
    return np.asarray(likely[kept][: geometry.findings])


def _padded(values: NDArray[np.generic], count: int) -> NDArray[np.generic]:
    """Zero rows up to the stage's static count; a zero weight reads row 0 and adds nothing."""
    if len(values) == count:
        return values
    padded = np.zeros((count, *values.shape[1:]), values.dtype)
    padded[: len(values)] = values
    return padded


class _Laps:
    def __init__(self, clock: Callable[[str, float], None] | None) -> None:
        self._clock = clock
        self._last = perf_counter()

    def lap(self, step: str) -> None:
        now = perf_counter()
        if self._clock:
            self._clock(step, (now - self._last) * 1e3)
        self._last = now
