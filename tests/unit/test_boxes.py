"""Box arithmetic against its definitions, one box at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mammosono.appliance.pipeline.detector.boxes import area, clip, decode, encode, iou, nms

CLAMP = float(np.log(1000 / 16))
WEIGHTS = (10.0, 10.0, 5.0, 5.0)
px = st.floats(-50, 300, width=32)
modest = settings(max_examples=60, deadline=None)


@st.composite
def boxes(draw: Any, least: int = 0, most: int = 8, side: float = 0) -> np.ndarray:
    n = draw(st.integers(least, most))
    corner = draw(arrays.arrays(np.float32, (n, 2), elements=px))
    size = draw(arrays.arrays(np.float32, (n, 2), elements=st.floats(side, 200, width=32)))
    return np.concatenate([corner, corner + size], axis=1)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes, in double precision."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(float(width), 0.0) * max(float(height), 0.0)
    union = sum(float(x[2] - x[0]) * float(x[3] - x[1]) for x in (a, b)) - common
    return common / union if union > 0 else 0.0


def test_the_area_of_an_empty_or_inverted_box_is_zero():
    given_boxes = np.array([[0, 0, 4, 5], [3, 3, 3, 9], [5, 5, 2, 2]], np.float32)
    assert area(given_boxes).tolist() == [20, 0, 0]


@modest
@given(boxes(side=0.25), boxes(side=0.25))
def test_iou_is_that_of_every_pair_taken_singly(a, b):
    expected = [[overlap(x.astype(float), y.astype(float)) for y in b] for x in a]
    assert iou(a, b).dtype == np.float32
    assert np.allclose(iou(a, b), np.reshape(expected, (len(a), len(b))), atol=2e-4)


@modest
@given(boxes(), boxes())
def test_iou_is_symmetric_and_between_zero_and_one(a, b):
    values = iou(a, b)
    assert np.array_equal(values, iou(b, a).T)
    assert ((values >= 0) & (values <= 1 + 1e-4)).all()


@modest
@given(boxes(least=1, side=0.25))
def test_a_box_overlaps_itself_fully(a):
    assert np.allclose(np.diag(iou(a, a)), 1)


def test_touching_boxes_and_empty_boxes_do_not_overlap():
    a = np.array([[0, 0, 4, 4], [7, 7, 7, 7]], np.float32)
    b = np.array([[4, 0, 8, 4], [7, 7, 7, 7]], np.float32)
    assert not iou(a, b).any()


@modest
@given(boxes())
def test_clipped_boxes_lie_in_the_image_and_those_that_did_are_unchanged(a):
    cut = clip(a, (100, 80))
    assert cut.dtype == np.float32
    assert ((cut >= 0) & (cut <= np.array([80, 100, 80, 100]))).all()
    inside = (a >= 0).all(axis=1) & (a[:, 2] <= 80) & (a[:, 3] <= 100)
    assert np.array_equal(cut[inside], a[inside])


@modest
@given(st.data(), st.integers(1, 8))
def test_decode_is_the_inverse_of_encode(data, n):
    targets = data.draw(boxes(least=n, most=n, side=4))
    anchors = data.draw(boxes(least=n, most=n, side=4))
    back = decode(encode(targets, anchors, WEIGHTS), anchors, WEIGHTS, CLAMP)
    assert back.dtype == np.float32
    assert np.allclose(back, targets, atol=5e-3)


def test_deltas_are_shifts_and_log_sizes_times_the_weights():
    anchor = np.array([[10, 20, 30, 60]], np.float32)
    box = np.array([[15, 10, 55, 30]], np.float32)
    deltas = encode(box, anchor, WEIGHTS)
    assert deltas[0] == pytest.approx(
        [10 * 15 / 20, 10 * -20 / 40, 5 * np.log(40 / 20), 5 * np.log(20 / 40)], rel=1e-6
    )


def test_no_deltas_leave_the_anchor():
    anchor = np.array([[10, 20, 30, 60]], np.float32)
    assert np.array_equal(decode(np.zeros((1, 4), np.float32), anchor, WEIGHTS, CLAMP), anchor)


def test_a_wild_log_size_is_cut_and_does_not_overflow():
    anchor = np.array([[0, 0, 16, 16]], np.float32)
    box = decode(np.array([[0, 0, 1e6, 1e6]], np.float32), anchor, WEIGHTS, CLAMP)[0]
    assert box[2] - box[0] == pytest.approx(1000, rel=1e-4)


def greedy(a: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """Non-maximum suppression as one would tell it."""
    waiting = sorted(range(len(a)), key=lambda i: (-scores[i], i))
    kept: list[int] = []
    for i in waiting:
        if all(iou(a[i : i + 1], a[j : j + 1])[0, 0] <= threshold for j in kept):
            kept.append(i)
    return kept


@modest
@given(st.data(), boxes(most=12, side=1), st.floats(0.05, 0.95))
def test_nms_keeps_what_the_greedy_loop_keeps_ties_in_their_order(data, a, threshold):
    # Few values, so that many scores tie.
    value = st.sampled_from([np.float32(v) for v in (-1.5, 0.0, 0.25, 2.0)])
    scores = data.draw(arrays.arrays(np.float32, len(a), elements=value))
    assert nms(a, scores, threshold).tolist() == greedy(a, scores, threshold)


def test_a_suppressed_box_suppresses_no_other():
    # b overlaps a and c; a and c do not overlap: b goes, c stays.
    chain = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [9, 0, 19, 10]], np.float32)
    assert nms(chain, np.array([3, 2, 1], np.float32), 0.3).tolist() == [0, 2]


def test_nms_of_nothing_is_nothing():
    assert nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5).tolist() == []
