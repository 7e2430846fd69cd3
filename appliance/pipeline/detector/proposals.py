"""Proposals from raw RPN outputs: R of them, balanced over the levels of the pyramid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.detector.boxes import Boxes, clip, decode, nms
from mammosono.appliance.pipeline.detector.geometry import Geometry


def propose(
    objectness: NDArray[np.float32],
    deltas: Boxes,
    anchors: Sequence[Boxes],
    geometry: Geometry,
) -> tuple[Boxes, NDArray[np.float32]]:
    """At most R proposals, best first: boxes [n, 4] in input px and their logits [n].

    objectness: [A] logits, deltas: [A, 4], both level after level in the order of `anchors`.
    Top-k and NMS run within each level; then each level keeps `proposals_floor` of its best and
    the rest of the R places go by score.
    """
    boxes, scores, ranks = [], [], []
    start = 0
    for level in anchors:
        stop = start + len(level)
        logits = objectness[start:stop]
        top = _top(logits, geometry.pre_nms_top_n)
        level_boxes = clip(
            decode(deltas[start:stop][top], level[top], geometry.rpn_weights, geometry.delta_clamp),
            geometry.input_size,
        )
        large = (level_boxes[:, 2:] - level_boxes[:, :2]).min(axis=1) >= geometry.min_box_px
        level_boxes, logits = level_boxes[large], logits[top][large]
        kept = nms(level_boxes, logits, geometry.proposal_nms_iou)[: geometry.proposals]
        boxes.append(level_boxes[kept])
        scores.append(logits[kept])
        ranks.append(np.arange(len(kept)))
        start = stop
    all_boxes, all_scores = np.concatenate(boxes), np.concatenate(scores)
    guaranteed = np.concatenate(ranks) < geometry.proposals_floor
    chosen = np.lexsort((-all_scores, ~guaranteed))[: geometry.proposals]
    chosen = chosen[np.argsort(-all_scores[chosen], kind="stable")]
    return all_boxes[chosen], all_scores[chosen]


def _top(scores: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Indices of the k largest scores, largest first; ties in input order among those kept."""
    if len(scores) > k:
        top = np.sort(np.argpartition(-scores, k)[:k])
        return top[np.argsort(-scores[top], kind="stable")]
    return np.argsort(-scores, kind="stable")
