"""Reliability bins and the expected calibration error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.tools.evaluation.metrics import bins, error_if_calibrated, expected_error

few = settings(max_examples=50, deadline=None)
rows = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30)
SCORES = np.array([0.05, 0.05, 0.15, 0.95, 1.0])
TRUTH = np.array([False, True, False, True, True])


def test_the_bins_of_five_images_are_those_of_the_hand_computation() -> None:
    low, next_, high = bins(SCORES, TRUTH)
    assert (low.low, low.high, low.n, low.malignant) == (0, 0.1, 2, 0.5)
    assert (next_.n, next_.score, next_.malignant) == (1, pytest.approx(0.15), 0)
    assert (high.low, high.n, high.score, high.malignant) == (0.9, 2, pytest.approx(0.975), 1)


def test_the_error_is_the_mean_over_images_of_their_bins_gap() -> None:
    assert expected_error(SCORES, TRUTH) == pytest.approx(
        2 / 5 * (0.5 - 0.05) + 1 / 5 * 0.15 + 2 / 5 * 0.025
    )


@few
@given(rows)
def test_the_error_is_that_of_the_bins_shown(rows: list[tuple[float, bool]]) -> None:
    scores, truth = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    gaps = sum(each.n * abs(each.score - each.malignant) for each in bins(scores, truth))
    assert expected_error(scores, truth) == pytest.approx(gaps / len(rows))
    assert sum(each.n for each in bins(scores, truth)) == len(rows)


def test_a_weight_counts_like_so_many_copies_and_an_unread_image_not_at_all() -> None:
    scores, truth = np.append(SCORES, np.nan), np.append(TRUTH, True)
    weights = np.array([[1.0, 2, 0, 3, 1, 4], [0, 0, 0, 0, 0, 2]])
    once, unread = expected_error(scores, truth, weights)
    copies = np.repeat(np.arange(5), [1, 2, 0, 3, 1])
    assert once == pytest.approx(float(expected_error(SCORES[copies], TRUTH[copies])))
    assert math.isnan(unread)
    assert expected_error(scores, truth) == expected_error(SCORES, TRUTH)


def test_a_right_score_still_errs_by_chance_and_less_with_more_images() -> None:
    rng = np.random.default_rng(0)
    few_, many = rng.random(40), rng.random(2000)
    assert 0.08 < error_if_calibrated(few_) < 0.2
    assert error_if_calibrated(many) < 0.04
    assert error_if_calibrated(np.array([0.0, 1.0, 1.0])) == 0
    assert math.isnan(error_if_calibrated(np.array([np.nan])))
    right = rng.random(2000) < many
    assert expected_error(many, right) == pytest.approx(error_if_calibrated(many), abs=0.02)
