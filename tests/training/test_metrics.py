"""Figures of merit against hand computation, against independent ways and for every ordering."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from mammosono.tools.evaluation.figures import pr_points, roc_points
from mammosono.tools.evaluation.metrics import (
    auc,
    average_precision,
    bins,
    brier,
    centre_inside,
    confusion,
    dice,
    equal_mass,
    error_if_calibrated,
    expected_error,
    jaccard,
    mass_bins,
    mean,
    median,
    overlap,
    wilson,
)

few = settings(max_examples=60, deadline=None)
# Quarters: exact in floating point, and coarse enough for ties.
labelled = st.lists(
    st.tuples(st.integers(0, 8).map(lambda i: i / 4), st.booleans()), min_size=2, max_size=12
)
masks = arrays(bool, (4, 5))


def auc_by_pairs(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    wins = [
        1.0 if positive > negative else 0.5 if positive == negative else 0.0
        for positive, negative in itertools.product(scores[truth], scores[~truth])
    ]
    return sum(wins) / len(wins)


def both_classes(
    rows: list[tuple[float, bool]],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scores, truth = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    assume(truth.any() and not truth.all())
    return scores, truth


def test_the_confusion_figures_of_ten_images_are_those_of_the_hand_computation() -> None:
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], bool)
    called = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0], bool)
    found = confusion(truth, called)
    assert (found.tp, found.fp, found.tn, found.fn) == (3, 2, 4, 1)
    assert found.accuracy == pytest.approx(0.7)
    assert found.tpr == pytest.approx(3 / 4)
    assert found.tnr == pytest.approx(4 / 6)
    assert found.precision == pytest.approx(3 / 5)
    assert found.f_score == pytest.approx(2 * 0.6 * 0.75 / (0.6 + 0.75))
    assert found.bcr == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert found.youden == pytest.approx(3 / 4 + 4 / 6 - 1)
    assert found.majority_baseline == pytest.approx(0.6)


def test_a_ratio_without_a_case_is_nan_and_not_zero_or_one() -> None:
    nobody_called = confusion(np.array([True, False]), np.array([False, False]))
    assert math.isnan(nobody_called.precision)
    assert nobody_called.f_score == 0
    only_healthy = confusion(np.array([False, False]), np.array([False, True]))
    assert math.isnan(only_healthy.tpr)
    assert math.isnan(only_healthy.bcr)
    assert math.isnan(only_healthy.youden)
    assert only_healthy.tnr == 0.5
    nobody = confusion(np.zeros(0, bool), np.zeros(0, bool))
    assert math.isnan(nobody.accuracy)
    assert math.isnan(nobody.majority_baseline)


def test_a_weight_counts_like_so_many_copies_of_the_image() -> None:
    rng = np.random.default_rng(1)
    truth, called = rng.random(30) < 0.4, rng.random(30) < 0.5
    scores, weights = rng.integers(0, 6, 30) / 5, rng.integers(0, 4, (7, 30)).astype(float)
    found, area = confusion(truth, called, weights), auc(scores, truth, weights)
    averages, middles = mean(scores, weights), median(scores, weights)
    for i, row in enumerate(weights):
        copies = np.repeat(np.arange(30), row.astype(int))
        plain = confusion(truth[copies], called[copies])
        assert found.f_score[i] == pytest.approx(float(plain.f_score))
        assert found.majority_baseline[i] == pytest.approx(float(plain.majority_baseline))
        assert area[i] == pytest.approx(auc_by_pairs(scores[copies], truth[copies]))
        assert averages[i] == pytest.approx(np.mean(scores[copies]))
        assert middles[i] == pytest.approx(np.median(scores[copies]))


@few
@given(labelled)
def test_auc_is_the_share_of_pairs_in_the_right_order_with_ties_half(
    rows: list[tuple[float, bool]],
) -> None:
    scores, truth = both_classes(rows)
    assert auc(scores, truth) == pytest.approx(auc_by_pairs(scores, truth))


@few
@given(labelled)
def test_auc_is_blind_to_a_rising_map_of_the_scores(rows: list[tuple[float, bool]]) -> None:
    scores, truth = both_classes(rows)
    assert auc(np.exp(scores) - 7, truth) == auc(scores, truth)


@few
@given(labelled)
def test_auc_of_the_other_class_or_of_turned_scores_is_the_complement(
    rows: list[tuple[float, bool]],
) -> None:
    scores, truth = both_classes(rows)
    assert auc(scores, ~truth) == pytest.approx(1 - auc(scores, truth))
    assert auc(-scores, truth) == pytest.approx(1 - auc(scores, truth))


def test_auc_takes_infinite_scores_and_is_undefined_for_one_class() -> None:
    truth = np.array([True, True, False])
    assert auc(np.array([-np.inf, 2.0, 1.0]), truth) == 0.5
    assert math.isnan(auc(np.array([0.1, 0.2]), np.array([True, True])))
    assert math.isnan(auc(np.zeros(0), np.zeros(0, bool)))


def test_average_precision_of_five_images_is_that_of_the_hand_computation() -> None:
    scores = np.array([0.9, 0.8, 0.8, 0.4, -np.inf])
    truth = np.array([True, True, False, False, True])
    # Precision 1 at the first third, 2/3 at the tie, 3/5 at the end.
    assert average_precision(scores, truth) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert average_precision(np.zeros(5), truth) == pytest.approx(3 / 5)
    assert math.isnan(average_precision(scores, np.zeros(5, bool)))
    copies = np.array([[2.0, 0, 1, 3, 1], [0, 0, 1, 1, 0]])
    index = np.repeat(np.arange(5), [2, 0, 1, 3, 1])
    weighted = average_precision(scores, truth, copies)
    assert weighted[0] == pytest.approx(float(average_precision(scores[index], truth[index])))
    assert math.isnan(weighted[1])


@few
@given(labelled)
def test_average_precision_is_one_only_if_every_positive_is_ahead(
    rows: list[tuple[float, bool]],
) -> None:
    scores, truth = both_classes(rows)
    found = average_precision(scores, truth)
    assert 0 < found <= 1
    assert (found > 1 - 1e-12) == (scores[truth].min() > scores[~truth].max())


def test_mean_and_median_leave_out_what_is_nan() -> None:
    values = np.array([np.nan, 4.0, 1.0, 2.0, np.nan, 3.0])
    assert mean(values) == 2.5
    assert median(values) == 2.5
    assert median(values[:4]) == 2.0
    assert math.isnan(mean(values[:1]))
    assert math.isnan(median(values[:1]))
    assert np.isnan(median(values, np.zeros((2, 6)))).all()


def test_overlap_of_two_half_covered_masks_is_that_of_the_hand_computation() -> None:
    a, b = np.zeros((2, 4, 4), bool)
    a[:, :2] = True
    b[:, 1:3] = True
    assert dice(a, b) == 0.5
    assert jaccard(a, b) == pytest.approx(1 / 3)
    assert dice(a, np.zeros_like(a)) == jaccard(a, np.zeros_like(a)) == 0
    assert math.isnan(dice(np.zeros_like(a), np.zeros_like(a)))
    assert math.isnan(jaccard(np.zeros_like(a), np.zeros_like(a)))


@few
@given(masks, masks)
def test_dice_and_jaccard_are_symmetric_and_bound_by_d_equals_2j_over_1_plus_j(
    a: NDArray[np.bool_], b: NDArray[np.bool_]
) -> None:
    assume(a.any() or b.any())
    j = jaccard(a, b)
    assert dice(a, b) == pytest.approx(2 * j / (1 + j))
    assert (dice(b, a), jaccard(b, a)) == (dice(a, b), j)
    assert (j == 1) == bool((a == b).all())


def test_boxes_overlap_from_an_iou_of_a_quarter_on() -> None:
    a = np.array([[0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 1, 0.99]], float)
    b = np.array([[1, 0, 3, 2], [2, 0, 4, 2], [0, 0, 2, 2]], float)
    assert overlap(a, b).tolist() == [[True, False, True], [False, False, True], [False] * 3]
    assert overlap(np.zeros((0, 4)), b).shape == (0, 3)


def test_a_centre_lies_in_a_box_up_to_its_border_and_in_a_circle_up_to_its_radius() -> None:
    lesions = np.array([[0, 0, 4, 4], [0, 0, 4, 4]], float)
    circles = np.array([False, True])
    findings = np.array([[-1, -1, 1, 1], [1, 1, 3, 3], [-1, 1, 1, 3], [-2, 1, 1, 3]], float)
    inside = centre_inside(findings, lesions, circles).tolist()
    assert inside == [[True, False], [True, True], [True, True], [False, False]]


def test_auc_and_average_precision_are_those_of_scikit_learn() -> None:
    oracle = pytest.importorskip("sklearn.metrics", reason="of the test extra")
    rng = np.random.default_rng(3)
    for n in (5, 40, 400):
        truth = rng.random(n) < 0.3
        truth[:2] = True, False
        scores = rng.integers(0, 12, n) / 11  # with ties
        weights = rng.integers(0, 4, n) + 0.5
        for each in (None, weights):
            area = oracle.roc_auc_score(truth, scores, sample_weight=each)
            precision = oracle.average_precision_score(truth, scores, sample_weight=each)
            assert auc(scores, truth, each) == pytest.approx(area, abs=1e-12)
            assert average_precision(scores, truth, each) == pytest.approx(precision, abs=1e-12)


@few
@given(labelled)
def test_the_points_of_the_curves_are_those_of_scikit_learn(
    rows: list[tuple[float, bool]],
) -> None:
    oracle = pytest.importorskip("sklearn.metrics", reason="of the test extra")
    scores, truth = both_classes(rows)
    misses, hits, _ = oracle.roc_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose(roc_points(scores, truth), np.stack([misses, hits], axis=1))
    precision, recall, _ = oracle.precision_recall_curve(truth, scores)
    by_falling_score = np.stack([recall, precision], axis=1)[:-1][::-1]  # without its (0, 1)
    np.testing.assert_allclose(pr_points(scores, truth), by_falling_score)


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


def test_bins_of_equal_mass_hold_equally_many_and_keep_equal_scores_together() -> None:
    twenty = np.linspace(0.99, 0.01, 20) ** 3
    assert equal_mass(twenty).sum(axis=0).tolist() == [2] * 10
    tied = np.array([0.1] * 9 + [0.2])
    assert [bin_.n for bin_ in mass_bins(tied, np.zeros(10, bool))] == [9, 1]
    unread = np.array([0.3, math.nan])
    assert equal_mass(unread).sum(axis=1).tolist() == [1, 0]
    assert not equal_mass(np.zeros(0)).size


@few
@given(labelled)
def test_equal_mass_depends_on_the_order_of_scores_alone_and_leaves_no_image_out(
    rows: list[tuple[float, bool]],
) -> None:
    scores, truth = np.array([row[0] for row in rows]) / 2, np.array([row[1] for row in rows])
    member = equal_mass(scores)
    assert (member.sum(axis=1) == 1).all()
    assert (member == equal_mass(scores**3)).all()
    assert (equal_mass(scores[::-1])[::-1] == member).all()
    # Rising with the score, and no bin holds more than its tenth but for equal scores.
    which = member.argmax(axis=1)
    assert (np.diff(which[np.argsort(scores, kind="stable")]) >= 0).all()
    assert sum(bin_.n for bin_ in mass_bins(scores, truth)) == len(rows)


@few
@given(labelled)
def test_any_ece_is_at_least_the_gap_of_the_means_and_at_most_the_mean_distance(
    rows: list[tuple[float, bool]],
) -> None:
    scores, truth = np.array([row[0] for row in rows]) / 2, np.array([row[1] for row in rows])
    found = float(expected_error(scores, truth, binning=equal_mass))
    assert found >= abs(float((scores - truth).mean())) - 1e-12
    assert found <= float(np.abs(scores - truth).mean()) + 1e-12


def test_the_brier_score_of_four_images_is_that_of_the_hand_computation() -> None:
    scores, truth = np.array([0.9, 0.4, 0.1, math.nan]), np.array([1, 0, 0, 1], bool)
    assert brier(scores, truth) == pytest.approx((0.01 + 0.16 + 0.01) / 3)
    # A score that always says the prevalence has its variance.
    assert brier(np.full(4, 0.5), np.array([1, 1, 0, 0], bool)) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("share", "n", "interval"),
    [
        (0.5, 10, (0.2366, 0.7634)),
        (0.0, 10, (0.0, 0.2775)),
        (1.0, 20, (0.8389, 1.0)),
        (0.9, 10, (0.5958, 0.9821)),
    ],
)
def test_wilsons_interval_is_that_of_the_tables(
    share: float, n: int, interval: tuple[float, float]
) -> None:
    assert wilson(share, n) == pytest.approx(interval, abs=1e-4)


@few
@given(st.integers(1, 300), st.floats(0, 1))
def test_wilsons_interval_holds_the_share_and_narrows_with_more_images(n: int, part: float) -> None:
    share = round(part * n) / n
    low, high = wilson(share, n)
    assert 0 <= low <= share <= high <= 1
    more = wilson(share, 4 * n)
    assert more[1] - more[0] < high - low
    assert all(map(math.isnan, wilson(share, 0)))
