"""Two operating points chosen together for the fused verdict."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.pipeline.fusion import fuse
from mammosono.appliance.values import Modality, Verdict
from mammosono.tools.evaluation.operating_points import JointPoint, Target, choose_jointly

few = settings(max_examples=30, deadline=None)
MG, US = Modality.MG, Modality.US
side = st.lists(
    st.tuples(st.integers(0, 20).map(lambda i: i / 20), st.booleans()), min_size=2, max_size=7
).filter(lambda rows: len({truth for _, truth in rows}) == 2)
Sides = tuple[dict[Modality, np.ndarray], dict[Modality, np.ndarray]]


def sides(mg: list[tuple[float, bool]], us: list[tuple[float, bool]]) -> Sides:
    scores = {m: np.array([r[0] for r in rows]) for m, rows in ((MG, mg), (US, us))}
    truth = {m: np.array([r[1] for r in rows]) for m, rows in ((MG, mg), (US, us))}
    return scores, truth


def rates(
    scores: dict[Modality, np.ndarray], truth: dict[Modality, np.ndarray], at: dict[Modality, float]
) -> tuple[float, float]:
    """TPR and TNR over every pair of the same truth, by the device's own fusion."""
    right: dict[bool, list[bool]] = {True: [], False: []}
    for i, j in itertools.product(range(len(scores[MG])), range(len(scores[US]))):
        if truth[MG][i] == truth[US][j]:
            each = {MG: scores[MG][i] >= at[MG], US: scores[US][j] >= at[US]}
            called = {m: [Verdict.POSITIVE if yes else Verdict.NEGATIVE] for m, yes in each.items()}
            sick = bool(truth[MG][i])
            wanted = Verdict.POSITIVE if sick else Verdict.NEGATIVE
            right[sick].append(fuse(called).verdict is wanted)
    return float(np.mean(right[True])), float(np.mean(right[False]))


def thresholds(point: JointPoint) -> dict[Modality, float]:
    return {m: each.threshold for m, each in point.points.items()}


@few
@given(side, side, st.floats(0.1, 1), st.booleans())
def test_the_target_is_met_by_the_fused_verdict_and_no_other_cut_does_better(
    mg: list[tuple[float, bool]], us: list[tuple[float, bool]], rate: float, sensitive: bool
) -> None:
    scores, truth = sides(mg, us)
    target = Target(rate, None, 0.0) if sensitive else Target(None, rate, 0.0)
    try:
        chosen = choose_jointly(scores, truth, target)
    except ValueError:
        # Only scores of 1 cannot be cleared.
        assert not sensitive
        assert max(scores[MG].max(), scores[US].max()) == 1
        return
    tpr, tnr = rates(scores, truth, thresholds(chosen))
    assert (chosen.tpr, chosen.tnr) == (pytest.approx(tpr), pytest.approx(tnr))
    assert (tpr if sensitive else tnr) >= rate - 1e-9
    for a, b in itertools.product(np.unique(scores[MG]), np.unique(scores[US])):
        other = rates(scores, truth, {MG: a, US: b})
        if (other[0] if sensitive else other[1]) >= rate:
            assert (other[1] if sensitive else other[0]) <= (tnr if sensitive else tpr) + 1e-9


@few
@given(side, side)
def test_asking_for_more_sensitivity_never_gives_more_specificity(
    mg: list[tuple[float, bool]], us: list[tuple[float, bool]]
) -> None:
    scores, truth = sides(mg, us)
    tnrs = [choose_jointly(scores, truth, Target(r, None, 0.0)).tnr for r in (0.3, 0.6, 0.9, 1)]
    assert tnrs == sorted(tnrs, reverse=True)


GOOD = [(0.9, True), (0.8, True), (0.2, False), (0.1, False)]
BLIND = [(0.5, True), (0.4, True), (0.6, False), (0.3, False)]


def test_a_weak_test_is_not_silenced_although_that_would_cost_nothing() -> None:
    scores, truth = sides(BLIND, GOOD)
    free = choose_jointly(scores, truth, Target(1.0, None, 0.0))
    assert free.points[MG].tpr == 0
    assert free.tnr == 1
    kept = choose_jointly(scores, truth, Target(1.0, None, 0.5))
    assert kept.points[MG].tpr >= 0.5
    assert kept.tnr == pytest.approx(0.5)


def test_the_threshold_lies_midway_between_scores() -> None:
    scores, truth = sides(GOOD, GOOD)
    assert thresholds(choose_jointly(scores, truth, Target(1.0))) == {MG: 0.5, US: 0.5}


def test_of_equally_good_ones_the_sensitivities_are_most_alike() -> None:
    # Of three malignant ones either test finds two for nothing, or three at the price of a false
    # alarm that costs as much on either side.
    rows = [(0.9, True), (0.8, True), (0.3, True), (0.5, False), (0.1, False)]
    chosen = choose_jointly(*sides(rows, rows), Target(8 / 9))
    assert [point.tpr for point in chosen.points.values()] == pytest.approx([2 / 3, 2 / 3])
    assert (chosen.tpr, chosen.tnr) == (pytest.approx(8 / 9), 1)


@pytest.mark.parametrize("target", [{}, {"sensitivity": 0.9, "specificity": 0.9}])
def test_exactly_one_target_is_stated(target: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="one of them"):
        Target(**target)


@pytest.mark.parametrize("rate", [0.0, 1.1, float("nan")])
def test_a_target_is_a_rate(rate: float) -> None:
    with pytest.raises(ValueError, match="rate above 0"):
        Target(sensitivity=rate)


def test_what_cannot_be_met_is_refused_with_a_remedy() -> None:
    scores, truth = sides(BLIND, BLIND)
    with pytest.raises(ValueError, match=r"fused specificity of 1 .* of 0.9 alone; ask for less"):
        choose_jointly(scores, truth, Target(None, 1.0, 0.9))
