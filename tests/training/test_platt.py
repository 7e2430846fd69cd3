"""Calibration of a raw score: the probability that it means on the images it was fitted to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.pipeline.scoring import probability
from mammosono.appliance.values import Calibration
from mammosono.tools.evaluation.platt import LEAST_SLOPE, fit


def drawn(slope: float, intercept: float, n: int, seed: int = 1):
    """Raw scores, and truth drawn with the chance that the calibration gives them."""
    rng = np.random.default_rng(seed)
    raw = 1 / (1 + np.exp(-rng.normal(0, 1.5, n)))
    return raw, rng.random(n) < probability(raw, Calibration(slope, intercept))


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, -1.0), (2.0, 0.7)])
def test_a_known_calibration_is_found_again(slope, intercept):
    found = fit(*drawn(slope, intercept, 20_000))
    assert found.slope == pytest.approx(slope, abs=0.06)
    assert found.intercept == pytest.approx(intercept, abs=0.06)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.3, 3), st.floats(-2, 2), st.integers(0, 1000))
def test_the_mean_probability_is_the_share_of_malignant_images(slope, intercept, seed):
    raw, truth = drawn(slope, intercept, 300, seed)
    if truth.all() or not truth.any():
        return
    assert probability(raw, fit(raw, truth)).mean() == pytest.approx(truth.mean(), abs=0.02)


def test_scores_that_part_the_classes_leave_room_for_doubt():
    raw, truth = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    likely = probability(raw, fit(raw, truth))
    assert (likely > 0.02).all()
    assert (likely < 0.98).all()
    assert (likely[truth] > 0.5).all()


def test_a_score_that_ranks_the_wrong_way_is_flattened_and_not_turned_round():
    raw, truth = np.linspace(0.1, 0.9, 40), np.arange(40) < 10
    found = fit(raw, truth)
    assert found.slope == LEAST_SLOPE
    assert probability(raw, found) == pytest.approx(0.25, abs=0.05)


def test_raw_scores_of_zero_and_one_are_taken():
    raw, truth = np.array([0.0, 0.0, 1.0, 1.0, 0.5]), np.array([False, True, True, True, False])
    assert np.isfinite([fit(raw, truth).slope, fit(raw, truth).intercept]).all()


@pytest.mark.parametrize("malignant", [True, False])
def test_one_class_alone_is_refused(malignant):
    with pytest.raises(ValueError, match="both malignant and other"):
        fit(np.array([0.2, 0.4]), np.array([malignant] * 2))
