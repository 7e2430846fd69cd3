"""Confidence intervals: whole cases are drawn, undefined draws counted, coverage near 95 %."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mammosono.tools.evaluation.bootstrap import Floats, case_weights, estimates, interval
from mammosono.tools.evaluation.metrics import auc, mean


def test_a_draw_brings_all_images_of_a_case_and_as_many_cases_as_there_are() -> None:
    cases = ["b", "a", "b", "c", "b"]
    weights = case_weights(cases, 500, np.random.default_rng(0))
    assert weights.shape == (500, 5)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, 0], weights[:, 4])
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(axis=1), 3)
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.15)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(3).random(40)
    cases = [f"case {i // 2}" for i in range(40)]

    def figures(w: Floats) -> dict[str, Floats]:
        return {"mean": mean(values, w)}

    assert estimates(figures, cases, seed=5) == estimates(figures, cases, seed=5)
    assert estimates(figures, cases, seed=5) != estimates(figures, cases, seed=6)


def test_sets_of_cases_are_resampled_apart_and_share_their_draws() -> None:
    a, b = np.random.default_rng(4).random((2, 30))
    cases = [f"case {i}" for i in range(30)]

    def figures(w: Floats, v: Floats) -> dict[str, Floats]:
        same = mean(a, w) - mean(a, w)
        return {"same": same, "apart": mean(a, w) - mean(a, v), "other": mean(b, v)}

    found = estimates(figures, cases, cases)
    assert (found["same"].low, found["same"].high) == (0, 0)
    assert found["apart"].low < -0.05 < 0.05 < found["apart"].high
    assert found["other"].low < found["other"].value == pytest.approx(b.mean())


def test_the_interval_is_the_central_95_percent_and_skips_undefined_draws() -> None:
    drawn = np.concatenate([np.arange(1001.0), np.full(9, np.nan)])
    found = interval(500.0, drawn)
    assert (found.low, found.high) == pytest.approx((25, 975))
    assert found.skipped == 9


def test_draws_with_one_class_only_are_counted() -> None:
    truth, scores = np.array([True, False, False, False]), np.array([0.9, 0.1, 0.2, 0.3])
    found = estimates(lambda w: {"auc": auc(scores, truth, w)}, list("abcd"), draws=4000)["auc"]
    # The one positive case is in no draw with chance (3/4)^4, in all four with (1/4)^4.
    assert found.skipped / 4000 == pytest.approx((3 / 4) ** 4 + (1 / 4) ** 4, abs=0.03)
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_an_undefined_figure_has_no_interval() -> None:
    found = estimates(lambda w: {"x": mean(np.full(3, np.nan), w)}, list("abc"), draws=50)["x"]
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.skipped == 50


def test_no_image_at_all_is_undefined_and_no_crash() -> None:
    found = estimates(lambda w: {"x": mean(np.zeros(0), w)}, [], draws=10)["x"]
    assert math.isnan(found.value)


def coverage(values_of: list[Floats], cases: list[str], truth: float) -> float:
    hits = 0
    for values in values_of:
        found = estimates(lambda w, v=values: {"m": mean(v, w)}, cases, draws=400)["m"]
        hits += found.low <= truth <= found.high
    return hits / len(values_of)


def test_95_percent_intervals_hold_the_truth_about_95_times_in_100_and_only_by_case() -> None:
    rng = np.random.default_rng(11)
    # 60 cases of 4 images; the images of a case are right or wrong together.
    worlds = [np.repeat(rng.random(60) < 0.7, 4).astype(float) for _ in range(300)]
    by_case = coverage(worlds, [f"case {i // 4}" for i in range(240)], 0.7)
    by_image = coverage(worlds, [f"image {i}" for i in range(240)], 0.7)
    assert 0.91 <= by_case <= 0.98
    assert by_image < 0.80
