"""From what the network saw to a probability: of an image, of a finding, of a breast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.pipeline.detector.detector import Detections
from mammosono.appliance.pipeline.scoring import (
    breast_score,
    breasts,
    evidence,
    finding_scores,
    image_score,
    probability,
)
from mammosono.appliance.values import (
    BreastScoring,
    Calibration,
    Evidence,
    Laterality,
    Modality,
    Scoring,
    SourceImage,
)

unit = st.floats(0, 1)
calibrations = st.builds(Calibration, st.floats(0.2, 4), st.floats(-4, 4))
L, R = Laterality.LEFT, Laterality.RIGHT


def seen(*regions: tuple[float, float], image: float = 0.0) -> Detections:
    """(benign, malignant) of each region."""
    benign, malignant = np.array(regions, np.float32).reshape(-1, 2).T
    n = len(regions)
    return Detections(
        np.array([1 - image, 0, image], np.float32), np.zeros((n, 4), np.float32),
        benign, malignant, np.ones((n, 56, 56), np.float32),
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(unit, unit, st.lists(unit, max_size=4))
def test_a_raw_score_is_the_weighted_mean_of_the_whole_image_and_the_region(weight, whole, own):
    what, scoring = seen(*[(0.0, m) for m in own], image=whole), Scoring(weight, 0.0, 0.5)
    expected = [weight * whole + (1 - weight) * m for m in own]
    score = image_score(evidence(what, 0.0), scoring)
    assert finding_scores(what, scoring) == pytest.approx(expected, abs=1e-6)
    assert score == pytest.approx(max(expected, default=weight * whole), abs=1e-6)
    assert 0 <= score <= 1


def test_the_weights_ends_are_the_head_alone_and_the_regions_alone():
    both = evidence(seen((0.1, 0.2), (0.0, 0.9), image=0.4), 0.0)
    assert image_score(both, Scoring(0.0, 0.0, 0.5)) == pytest.approx(0.9)
    assert image_score(both, Scoring(1.0, 0.0, 0.5)) == pytest.approx(0.4)


def test_a_region_counts_from_the_floor_on_and_not_below():
    what = seen((0.0, 0.3), (0.1, 0.2), (0.5, 0.05), image=0.1)
    assert evidence(what, 0.3) == Evidence(pytest.approx(0.1), pytest.approx(0.3))
    assert evidence(what, 0.31).region == pytest.approx(0.05)
    assert evidence(what, 0.6).region == 0


@given(calibrations, unit, unit)
def test_a_calibration_keeps_the_order_of_scores_and_the_range(calibration, one, other):
    low, high = sorted((one, other))
    before, after = probability([low, high], calibration)
    assert 0 <= before <= after <= 1
    if high - low > 1e-6 and 1e-5 < low < high < 1 - 1e-5:
        assert before < after


def test_a_calibration_by_hand():
    # logit(0.8) = 1.3863; 0.5 + 2 * 1.3863 = 3.2726; its sigmoid is 0.963476
    assert probability(0.8, Calibration(2.0, 0.5)) == pytest.approx(0.963476, abs=1e-6)
    assert probability(0.3, Calibration(1.0, 0.0)) == pytest.approx(0.3)
    assert probability(0.3, None) == 0.3
    assert np.isfinite(probability([0.0, 1.0], Calibration(4.0, 0.0))).all()


def test_an_images_score_is_that_of_its_most_malignant_region_as_a_finding():
    what, scoring = (
        seen((0.1, 0.2), (0.0, 0.7), image=0.4),
        Scoring(0.3, 0.05, 0.5, Calibration(0.8, -0.4)),
    )
    assert image_score(evidence(what, 0.05), scoring) == finding_scores(what, scoring).max()


def test_a_breasts_score_is_the_calibrated_mean_of_its_views():
    scoring = Scoring(
        0.5, 0.05, 0.5, Calibration(9.0, 3.0), BreastScoring(Calibration(2.0, 0.5), 0.4)
    )
    views = [Evidence(0.9, 0.8), Evidence(0.7, 0.8)]  # raw 0.85 and 0.75
    assert breast_score(views, scoring) == pytest.approx(0.963476, abs=1e-6)
    with pytest.raises(ValueError, match="rule"):
        breast_score(views, replace(scoring, breast=None))
    with pytest.raises(ValueError, match="views"):
        breast_score([], scoring)


def film(side: Laterality | None, view: str | None) -> SourceImage:
    pixels = np.zeros((70, 70), np.uint8)
    return SourceImage(
        Modality.MG, pixels, 8, (0, 255), None, "ab" * 32, laterality=side, view=view
    )


@pytest.mark.parametrize(
    ("images", "together"),
    [
        ([], {}),
        ([film(L, "CC"), film(L, "MLO")], {L: (0, 1)}),
        ([film(L, "MLO"), film(R, "CC"), film(L, "CC"), film(R, "MLO")], {L: (0, 2), R: (1, 3)}),
        ([film(L, "CC"), film(R, "MLO")], {}),
        ([film(L, "CC"), film(L, "CC")], {}),
        ([film(L, "CC"), film(L, "CC"), film(L, "MLO")], {L: (0, 1, 2)}),
        ([film(L, "CC"), film(L, "MLO"), film(L, "ML"), film(L, None)], {L: (0, 1)}),
        ([film(None, "CC"), film(None, "MLO")], {}),
    ],
)
def test_views_are_of_one_breast_where_side_and_both_standard_views_are_known(images, together):
    assert breasts(images) == together
