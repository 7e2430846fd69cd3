"""What is chosen on validation data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mammosono.tools.evaluation.operating_points import choose_image_score, choose_threshold

few = settings(max_examples=80, deadline=None)
rows = st.lists(
    st.tuples(st.floats(0, 1, width=32).map(float), st.booleans()), min_size=2, max_size=15
)
TRUTH = np.array([False, False, False, False, True, True, True, True, True])
SCORES = np.array([0.1, 0.2, 0.3, 0.7, 0.25, 0.6, 0.8, 0.9, 0.95])


def test_the_threshold_lies_midway_below_the_last_score_that_the_sensitivity_needs() -> None:
    point = choose_threshold(SCORES, TRUTH, sensitivity=0.8)
    assert point.threshold == pytest.approx((0.3 + 0.6) / 2)
    assert (point.tpr, point.tnr) == pytest.approx((0.8, 0.75))


def test_the_default_goal_is_a_sensitivity_of_90_percent() -> None:
    point = choose_threshold(SCORES, TRUTH)
    assert point == choose_threshold(SCORES, TRUTH, sensitivity=0.9)
    assert point.threshold == pytest.approx((0.2 + 0.25) / 2)


def test_the_threshold_lies_midway_above_the_last_score_that_the_specificity_needs() -> None:
    point = choose_threshold(SCORES, TRUTH, specificity=1.0)
    assert point.threshold == pytest.approx((0.7 + 0.8) / 2)
    assert (point.tpr, point.tnr) == pytest.approx((0.6, 1.0))


def test_ties_are_never_cut_apart() -> None:
    truth = np.array([True, True, False, False])
    point = choose_threshold(np.array([0.5, 0.5, 0.5, 0.1]), truth, sensitivity=0.5)
    assert point.threshold == pytest.approx(0.3)
    assert (point.tpr, point.tnr) == (1.0, 0.5)


@few
@given(rows, st.floats(0.05, 1))
def test_the_goal_is_reached_and_no_other_cut_that_reaches_it_is_more_specific(
    rows: list[tuple[float, bool]], goal: float
) -> None:
    scores, truth = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    assume(truth.any() and not truth.all())
    point = choose_threshold(scores, truth, sensitivity=goal)
    called = scores >= point.threshold
    assert 0 <= point.threshold <= 1
    assert point.tpr == called[truth].mean() >= goal - 1e-9
    assert point.tnr == pytest.approx(1 - called[~truth].mean())
    for cut in scores:
        if (scores >= cut)[truth].mean() >= goal:
            assert (scores < cut)[~truth].mean() <= point.tnr + 1e-9


@pytest.mark.parametrize("low", [0.5, np.nextafter(0.5, 0)])
def test_neighbouring_floats_are_told_apart(low: float) -> None:
    high = np.nextafter(low, 1)
    point = choose_threshold(np.array([low, high]), np.array([False, True]), sensitivity=1.0)
    assert (point.tpr, point.tnr) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("scores", "truth", "goal", "complaint"),
    [
        ([0.1, 0.2], [True, True], {}, "both malignant and other"),
        ([0.1, np.nan], [True, False], {}, r"score in \[0, 1\]"),
        ([0.1, 1.1], [True, False], {}, r"score in \[0, 1\]"),
        ([0.1, 0.2], [True, False], {"sensitivity": 0.0}, "above 0"),
        ([0.1, 0.2], [True, False], {"specificity": 1.5}, "at most 1"),
        ([0.1, 0.2], [True, False], {"specificity": 0.5, "sensitivity": 0.5}, "not both"),
        ([0.1, 1.0], [True, False], {"specificity": 0.5}, "no threshold reaches specificity 0.5"),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    scores: list[float], truth: list[bool], goal: dict[str, float], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        choose_threshold(np.array(scores), np.array(truth), **goal)


def test_the_mixture_takes_the_part_that_ranks_better() -> None:
    truth = np.array([False, False, True, True])
    good, flat = np.array([0.1, 0.2, 0.8, 0.9]), np.full(4, 0.5)
    bad = 1 - good
    assert choose_image_score(good, bad, truth).auc == 1.0
    assert choose_image_score(good, bad, truth).weight > 0.5
    assert choose_image_score(bad, good, truth).weight < 0.5
    assert choose_image_score(good, flat, truth).weight == 0.5


def test_a_mixture_can_rank_better_than_either_part() -> None:
    truth = np.array([False, False, True, True])
    head, finding = np.array([0.6, 0.1, 0.9, 0.5]), np.array([0.1, 0.6, 0.5, 0.9])
    chosen = choose_image_score(head, finding, truth)
    assert (chosen.weight, chosen.auc) == (0.5, 1.0)


def test_choosing_a_mixture_needs_both_classes_and_scores() -> None:
    with pytest.raises(ValueError, match="both malignant and other"):
        choose_image_score(np.ones(2), np.ones(2), np.array([True, True]))
    with pytest.raises(ValueError, match="score in"):
        choose_image_score(np.ones(2), np.array([0.2, np.nan]), np.array([True, False]))
