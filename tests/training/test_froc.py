"""Lesions found against false alarms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import drawn_searches, finding, lesion, search

from mammosono.tools.evaluation.bootstrap import case_weights
from mammosono.tools.evaluation.detection_metrics import (
    curve,
    marks,
    marks_of,
    sensitivity_at,
)
from mammosono.tools.evaluation.metrics import hits
from mammosono.tools.evaluation.outcome import Search, size_class

few = settings(max_examples=25, deadline=None)
HERE, THERE, AWAY = (10, 10, 20, 20), (50, 30, 20, 20), (70, 0, 10, 10)


def three_images() -> list[Search]:
    """Lesions found at .9 and .6, one missed; false positives at .8, .7 and .3."""
    return [
        search("a", [lesion(HERE)], [finding(HERE, 0.9), finding(AWAY, 0.8)]),
        search(
            "b",
            [lesion(HERE), lesion(THERE)],
            [finding(AWAY, 0.7), finding(THERE, 0.6), finding(THERE, 0.4)],
        ),
        search("c", [], [finding(AWAY, 0.3)]),
    ]


def test_a_box_is_hit_from_a_quarter_of_overlap_on_and_a_circle_by_its_inside() -> None:
    found = np.array([[0, 0, 10, 10], [0, 0, 25, 10], [0, 0, 10, 10]], float)
    lesions = np.array([[0, 0, 40, 10], [0, 0, 41, 10], [3, 3, 9, 9]], float)
    boxes = hits(found, lesions, np.zeros(3, bool))
    assert boxes[0, 0]  # 100 of 400
    assert not boxes[0, 1]  # 100 of 410
    assert boxes[1, 1]
    # The centre (5, 5) lies in the circle around (6, 6) of radius 3, and not in one around (9, 9).
    circles = np.array([[3, 3, 9, 9], [6, 6, 12, 12]], float)
    assert hits(found[:1], circles, np.ones(2, bool)).tolist() == [[True, False]]


def test_without_findings_or_lesions_there_is_no_hit() -> None:
    nothing = np.zeros((0, 4))
    assert hits(nothing, np.ones((2, 4)), np.zeros(2, bool)).shape == (0, 2)
    assert hits(np.ones((2, 4)), nothing, np.zeros(0, bool)).shape == (2, 0)


def test_the_sensitivities_of_three_images_are_those_of_the_hand_computation() -> None:
    seen, ones = marks_of(three_images()), np.ones(3)
    # Falling: found .9, false .8, false .7, found .6, false .3; three lesions, three images.
    assert sensitivity_at(seen, 0.25, ones) == pytest.approx(1 / 3)
    assert sensitivity_at(seen, 1 / 3, ones) == pytest.approx(1 / 3)
    assert sensitivity_at(seen, 0.5, ones) == pytest.approx(1 / 3)
    assert sensitivity_at(seen, 2 / 3, ones) == pytest.approx(2 / 3)
    assert sensitivity_at(seen, 2.0, ones) == pytest.approx(2 / 3)


def test_a_second_finding_on_a_found_lesion_is_neither_right_nor_false() -> None:
    twice = search("a", [lesion(HERE)], [finding(HERE, 0.9), finding((11, 11, 19, 19), 0.8)])
    false, found, score = curve(marks_of([twice]), 1)
    assert (false.tolist(), found.tolist(), score.tolist()) == ([0], [1], [0.9])


def test_no_threshold_falls_between_equal_scores() -> None:
    tied = search("a", [lesion(HERE)], [finding(AWAY, 0.5), finding(HERE, 0.5)])
    assert sensitivity_at(marks_of([tied]), 0.5, np.ones(1)) == 0
    assert sensitivity_at(marks_of([tied]), 1.0, np.ones(1)) == 1


def test_the_threshold_comes_from_all_lesions_and_the_share_from_those_asked_about() -> None:
    seen = marks_of(three_images())
    first, last = np.array([True, False, False]), np.array([False, False, True])
    assert sensitivity_at(seen, 0.25, np.ones(3), first) == 1
    assert sensitivity_at(seen, 0.25, np.ones(3), last) == 0
    assert sensitivity_at(seen, 1.0, np.ones(3), last) == 1


def test_without_a_lesion_the_sensitivity_is_undefined() -> None:
    seen = marks_of([search("a", [], [finding(HERE, 0.9)])])
    assert math.isnan(sensitivity_at(seen, 1.0, np.ones(1)))
    assert math.isnan(sensitivity_at(marks([]), 1.0, np.ones(0)))


@few
@given(st.integers(0, 10_000))
def test_more_false_alarms_allowed_never_find_less(seed: int) -> None:
    searches = drawn_searches(seed, 8)
    seen = marks_of(searches)
    false, found, score = curve(seen, len(searches))
    assert (np.diff(false) >= 0).all()
    assert (np.diff(score) < 0).all()
    if seen.of_image.size:
        assert (np.diff(found) >= 0).all()
        rates = [float(sensitivity_at(seen, r, np.ones(8))) for r in (0, 0.25, 0.5, 1, 2, 9)]
        assert rates == sorted(rates)
        assert rates[-1] == found[-1] if found.size else rates[-1] == 0


def test_a_weight_counts_like_so_many_copies_of_the_image() -> None:
    searches = drawn_searches(3, 10)
    weights = case_weights([s.record.case for s in searches], 6, np.random.default_rng(1))
    found = sensitivity_at(marks_of(searches), 0.7, weights)
    for row, value in zip(weights, found, strict=True):
        copies = [s for s, n in zip(searches, row, strict=True) for _ in range(int(n))]
        plain = sensitivity_at(marks_of(copies), 0.7, np.ones(len(copies)))
        assert value == pytest.approx(float(plain))


@pytest.mark.parametrize(
    ("share", "expected"), [(0.003, 0), (1 / 256, 1), (0.01, 1), (0.03, 2), (0.0625, 3), (0.9, 3)]
)
def test_size_classes_part_at_a_sixteenth_an_eighth_and_a_quarter_of_the_side(
    share: float, expected: int
) -> None:
    assert size_class(share) == expected
