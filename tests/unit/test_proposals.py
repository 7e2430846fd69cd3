"""From raw RPN answers to the R boxes that the heads look at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes import GEOMETRY
from numpy.testing import assert_allclose

from mammosono.appliance.pipeline.detector.anchors import anchors_by_level
from mammosono.appliance.pipeline.detector.boxes import encode, iou
from mammosono.appliance.pipeline.detector.proposals import propose

ANCHORS = anchors_by_level(GEOMETRY)
COUNT = sum(len(level) for level in ANCHORS)


def answers(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random logits and deltas that push some boxes out of the image and shrink some to nothing."""
    rng = np.random.default_rng(seed)
    deltas = rng.normal(0, 0.6, (COUNT, 4)).astype(np.float32)
    deltas[rng.random(COUNT) < 0.1] *= 8
    return rng.normal(0, 3, COUNT).astype(np.float32), deltas


def decoded(anchor, delta, geometry):
    (x0, y0, x1, y1), (dx, dy, dw, dh) = anchor, delta
    w, h = x1 - x0, y1 - y0
    cx, cy = x0 + w / 2 + dx * w, y0 + h / 2 + dy * h
    w *= np.exp(min(dw, geometry.delta_clamp))
    h *= np.exp(min(dh, geometry.delta_clamp))
    height, width = geometry.input_size
    return np.clip(
        [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 0, [width, height, width, height]
    )


def slowly(objectness, deltas, geometry):
    """The same rule, one box at a time: [(logit, level, box)], best first."""
    pool, start = [], 0
    for number, level in enumerate(ANCHORS):
        ranked = sorted(range(len(level)), key=lambda i: -objectness[start + i])
        ranked = ranked[: geometry.pre_nms_top_n]
        boxes = [decoded(level[i].astype(float), deltas[start + i], geometry) for i in ranked]
        overlaps = iou(np.array(boxes), np.array(boxes))
        kept: list[int] = []
        for k, box in enumerate(boxes):
            large = min(box[2] - box[0], box[3] - box[1]) >= geometry.min_box_px
            if large and all(overlaps[k, j] <= geometry.proposal_nms_iou for j in kept):
                pool.append((float(objectness[start + ranked[k]]), number, len(kept), box))
                kept.append(k)
        start += len(level)
    sure = [p for p in pool if p[2] < geometry.proposals_floor]
    rest = sorted((p for p in pool if p[2] >= geometry.proposals_floor), key=lambda p: -p[0])
    chosen = sorted(sure, key=lambda p: -p[0]) + rest
    return sorted(chosen[: geometry.proposals], key=lambda p: -p[0])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("top", [10, 300])
def test_they_are_those_of_the_slow_reference(seed, top):
    geometry = replace(GEOMETRY, pre_nms_top_n=top)
    objectness, deltas = answers(seed)
    boxes, logits = propose(objectness, deltas, ANCHORS, geometry)
    expected = slowly(objectness, deltas, geometry)
    assert np.array_equal(logits, np.array([e[0] for e in expected], np.float32))
    assert_allclose(boxes, [e[3] for e in expected], atol=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_they_are_at_most_r_boxes_inside_the_image_best_first(seed):
    boxes, logits = propose(*answers(seed), ANCHORS, GEOMETRY)
    assert len(boxes) == len(logits) == GEOMETRY.proposals
    assert boxes.dtype == logits.dtype == np.float32
    assert (np.diff(logits) <= 0).all()
    assert (boxes >= 0).all()
    assert (boxes[:, [2, 3]] <= np.array([96, 128])).all()
    assert ((boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= GEOMETRY.min_box_px).all()


def test_every_level_keeps_its_floor_however_sure_another_is():
    objectness = np.zeros(COUNT, np.float32)
    objectness[: len(ANCHORS[0])] = 50
    objectness[len(ANCHORS[0]) :] = -50 + np.arange(len(ANCHORS[1])) / 100
    deltas = np.zeros((COUNT, 4), np.float32)
    _, logits = propose(objectness, deltas, ANCHORS, GEOMETRY)
    assert (logits == 50).sum() == GEOMETRY.proposals - GEOMETRY.proposals_floor
    assert (logits < 0).sum() == GEOMETRY.proposals_floor
    assert logits[logits < 0].max() == objectness[-1]


def test_fewer_come_where_most_agree_on_one_box():
    target = np.array([[30, 30, 60, 60]], np.float32)
    every = np.concatenate(ANCHORS)
    deltas = encode(np.repeat(target, COUNT, axis=0), every, GEOMETRY.rpn_weights)
    boxes, _ = propose(np.zeros(COUNT, np.float32), deltas, ANCHORS, GEOMETRY)
    assert_allclose(boxes, np.repeat(target, len(ANCHORS), axis=0), atol=1e-2)


def test_none_come_where_every_box_is_pushed_out_of_the_image():
    deltas = np.tile(np.float32([-1e4, 0, 0, 0]), (COUNT, 1))
    boxes, logits = propose(np.zeros(COUNT, np.float32), deltas, ANCHORS, GEOMETRY)
    assert boxes.shape == (0, 4)
    assert logits.shape == (0,)
