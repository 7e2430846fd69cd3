"""Targets: what anchors and proposals are taught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.pipeline.detector.anchors import anchors_by_level
from mammosono.appliance.pipeline.detector.boxes import decode, iou
from mammosono.appliance.pipeline.detector.paste import paste
from mammosono.tools.network.config import LossConfig
from mammosono.tools.training.targets import (
    AnchorTargets,
    RoiTargets,
    anchor_targets,
    mask_target,
    roi_targets,
)

G = tiny.GEOMETRY
ANCHORS = np.concatenate(anchors_by_level(G))
LOSS = LossConfig(rpn_samples=40, roi_samples=12, roi_positive_share=0.34)
NONE = np.zeros((0, 4), np.float32)


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def taught_anchors(truth: np.ndarray, loss: LossConfig = LOSS, seed: int = 0) -> AnchorTargets:
    return anchor_targets(ANCHORS, truth, G, loss, np.random.default_rng(seed))


def taught_rois(
    proposals: np.ndarray, truth: np.ndarray, labels: list[int], seed: int = 0
) -> RoiTargets:
    rng = np.random.default_rng(seed)
    return roi_targets(proposals, truth, np.array(labels, np.int64), LOSS, rng)


truths = st.lists(
    st.tuples(st.floats(0, 40), st.floats(0, 70), st.floats(6, 24), st.floats(6, 24)),
    min_size=1,
    max_size=3,
).map(lambda rows: boxes(*((x, y, x + w, y + h) for x, y, w, h in rows)))


# Anchors


@given(truth=truths, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_anchors_are_positive_above_one_overlap_and_negative_below_another(
    truth: np.ndarray, seed: int
) -> None:
    target = taught_anchors(truth, seed=seed)
    overlaps = iou(ANCHORS, truth)
    best = overlaps.max(axis=1)
    forced = (overlaps >= overlaps.max(axis=0) - 1e-3).any(axis=1)
    positive, negative = target.index[target.positive], target.index[~target.positive]
    assert ((best[positive] >= LOSS.rpn_positive_iou) | forced[positive]).all()
    assert (best[negative] < LOSS.rpn_negative_iou).all()
    assert not set(positive) & set(negative)
    assert len(set(target.index)) == len(target.index) == LOSS.rpn_samples
    assert len(positive) <= LOSS.rpn_samples // 2
    assert len(target.deltas) == len(positive)


@given(truth=truths)
@settings(max_examples=60, deadline=None)
def test_every_lesions_best_anchor_is_taught(truth: np.ndarray) -> None:
    target = taught_anchors(truth, replace(LOSS, rpn_samples=400))  # all of them fit in
    overlaps = iou(ANCHORS, truth)
    for k in np.flatnonzero(overlaps.max(axis=0) > 0.2):
        best = np.flatnonzero(overlaps[:, k] == overlaps[:, k].max())
        assert set(best) <= set(target.index[target.positive])


def test_a_lesion_that_no_anchor_comes_near_forces_none() -> None:
    needle = boxes((10, 0, 11, 96))
    assert iou(ANCHORS, needle).max() <= 0.2
    assert not taught_anchors(needle).positive.any()


@given(truth=truths)
@settings(max_examples=30, deadline=None)
def test_deltas_take_a_positive_anchor_to_the_lesion_it_overlaps(truth: np.ndarray) -> None:
    target = taught_anchors(truth)
    anchors = ANCHORS[target.index[target.positive]]
    reached = decode(target.deltas, anchors, G.rpn_weights, G.delta_clamp)
    assert np.allclose(iou(reached, truth).max(axis=1), 1, atol=1e-3)
    assert target.deltas.dtype == np.float32


def test_an_anchor_forced_for_one_lesion_is_not_given_to_another() -> None:
    large, small = (10, 10, 44, 60), (12, 12, 19, 19)
    overlaps = iou(ANCHORS, boxes(large, small))
    target = taught_anchors(boxes(large, small), replace(LOSS, rpn_samples=400))
    positive = target.index[target.positive]
    reached = decode(target.deltas, ANCHORS[positive], G.rpn_weights, G.delta_clamp)
    best = positive == overlaps[:, 1].argmax()
    assert overlaps[:, 1].max() > 0.2
    assert np.allclose(reached[best], boxes(small), atol=1e-3)


def test_without_a_lesion_all_anchors_are_negative() -> None:
    target = taught_anchors(NONE)
    assert len(target.index) == LOSS.rpn_samples
    assert not target.positive.any()
    assert target.deltas.shape == (0, 4)


@pytest.mark.parametrize("truth", [NONE, boxes((10, 10, 30, 30))])
def test_fewer_anchors_than_samples_are_all_taken(truth: np.ndarray) -> None:
    few = anchor_targets(ANCHORS[:12], truth, G, LOSS, np.random.default_rng(0))
    assert len(few.index) <= 12


def test_the_seed_decides_the_sample() -> None:
    truth = boxes((10, 10, 30, 40))
    one, same, other = (taught_anchors(truth, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.index, same.index)
    assert not np.array_equal(one.index, other.index)


# RoIs


def test_a_roi_takes_the_label_of_the_lesion_it_overlaps_most() -> None:
    truth = boxes((0, 0, 20, 20), (30, 30, 60, 60))
    proposals = boxes((1, 0, 20, 20), (32, 30, 60, 60), (0, 50, 10, 60), (0, 0, 20, 9))
    target = taught_rois(proposals, truth, [2, 1])
    by_box = {tuple(b): (int(c), int(t)) for b, c, t in zip(*columns(target), strict=True)}
    assert by_box[(1, 0, 20, 20)] == by_box[(0, 0, 20, 20)] == (2, 0)
    assert by_box[(32, 30, 60, 60)] == by_box[(30, 30, 60, 60)] == (1, 1)
    assert by_box[(0, 50, 10, 60)] == (0, -1)
    assert by_box[(0, 0, 20, 9)] == (0, -1)  # overlaps by 0.45: half is asked for


def columns(target: RoiTargets) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return target.boxes, target.labels, target.truth


@given(truth=truths, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_positives_come_first_and_keep_to_their_share(truth: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    jitter = rng.uniform(-2, 2, (20, 4)).astype(np.float32)
    proposals = np.concatenate([truth[rng.integers(len(truth), size=20)] + jitter, ANCHORS[:60]])
    target = taught_rois(proposals, truth, [1] * len(truth), seed)
    positive = target.truth >= 0
    assert len(target.boxes) == LOSS.roi_samples
    assert 0 < positive.sum() <= round(LOSS.roi_samples * LOSS.roi_positive_share)
    assert (np.diff(positive.astype(int)) <= 0).all()
    assert np.array_equal(positive, target.labels > 0)
    assert np.array_equal(positive, iou(target.boxes, truth).max(axis=1) >= LOSS.roi_positive_iou)


def test_the_lesions_themselves_are_taught_even_where_nothing_was_proposed() -> None:
    truth = boxes((5, 5, 25, 30))
    target = taught_rois(NONE, truth, [2])
    assert np.array_equal(target.boxes, truth)
    assert target.labels.tolist() == [2]


def test_without_a_lesion_every_roi_is_background() -> None:
    target = taught_rois(ANCHORS[:50], NONE, [])
    assert len(target.boxes) == LOSS.roi_samples
    assert not target.labels.any()
    assert (target.truth == -1).all()


# Masks


def test_a_mask_target_is_the_mask_inside_the_box() -> None:
    mask = np.zeros((40, 50), np.uint8)
    mask[10:26, 20:36] = 1  # rows 10..26, columns 20..36
    inside = mask_target(mask, boxes((20, 10, 36, 26))[0], 8)
    left_half = mask_target(mask, boxes((12, 10, 28, 26))[0], 8)
    upper_half = mask_target(mask, boxes((20, 18, 36, 34))[0], 8)
    outside = mask_target(mask, boxes((0, 0, 9, 9))[0], 8)
    assert inside.dtype == np.float32
    assert (inside == 1).all()
    assert (left_half[:, :4] == 0).all()
    assert (left_half[:, 4:] == 1).all()
    assert (upper_half[:4] == 1).all()
    assert (upper_half[4:] == 0).all()
    assert not outside.any()


@given(x=st.floats(20, 44), y=st.floats(24, 60), radius=st.floats(8, 18), grow=st.floats(-0.2, 0.3))
@settings(max_examples=60, deadline=None)
def test_pasting_a_mask_target_gives_the_lesion_back(
    x: float, y: float, radius: float, grow: float
) -> None:
    mask = tiny.disc(G.input_size, (x, y), radius)
    half = radius * (1 + grow)
    box = boxes((max(x - half, 0), max(y - half, 0), min(x + half, 64), min(y + half, 96)))[0]
    crop, left, top = paste(mask_target(mask, box, 56), box, G.input_size, 0.5)
    back = np.zeros_like(mask)
    back[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    x0, y0, x1, y1 = np.rint(box).astype(int)
    wanted = np.zeros_like(mask)
    wanted[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
    common, either = (wanted & back).sum(), (wanted | back).sum()
    assert common / either > 0.93
