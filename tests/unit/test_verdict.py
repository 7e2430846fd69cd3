"""From what the network saw to what the box says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes import GEOMETRY, fake_model
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.output import rle
from mammosono.appliance.pipeline.detector.detector import Detections
from mammosono.appliance.pipeline.detector.frame import Frame
from mammosono.appliance.pipeline.scoring import evidence, image_score
from mammosono.appliance.pipeline.verdict import NO_BREAST, findings_of, judge
from mammosono.appliance.values import (
    Label,
    Modality,
    ScaledRegion,
    Scoring,
    SourceImage,
    Verdict,
)

FRAME = Frame((40, 20, 232, 276), 0.5, GEOMETRY.input_size)
IMAGE = SourceImage(Modality.MG, np.zeros((300, 260), np.uint8), 8, (0, 255), (0.1, 0.1), "ab" * 32)
POINT = 0.5
unit = st.floats(0, 1)


def seen(*lesions: tuple[float, float], image: float = 0.0) -> Detections:
    """(benign, malignant) of each finding, boxes side by side in input px."""
    n = len(lesions)
    boxes = np.array([(10 + 20 * k, 30, 26 + 20 * k, 60) for k in range(n)], np.float32)
    benign, malignant = np.array(lesions, np.float32).reshape(-1, 2).T
    return Detections(
        np.array([1 - image, 0, image], np.float32),
        boxes.reshape(-1, 4),
        benign,
        malignant,
        np.ones((n, 56, 56), np.float32),
    )


@given(unit, unit, st.booleans())
def test_positive_is_a_score_at_or_above_the_operating_point(score, point, found):
    verdict, _ = judge(score, point, replace(FRAME, found=found))
    assert (verdict is Verdict.POSITIVE) == (score >= point)


@given(unit, unit)
def test_a_film_without_a_breast_is_never_negative(score, point):
    verdict, said = judge(score, point, replace(FRAME, found=False))
    assert verdict is not Verdict.NEGATIVE
    assert said == (() if verdict is Verdict.POSITIVE else (NO_BREAST,))


def test_a_film_with_a_breast_below_the_point_is_negative_without_a_word():
    assert judge(0.49, POINT, FRAME) == (Verdict.NEGATIVE, ())


def findings(what: Detections, head_weight: float = 0.5, image: SourceImage = IMAGE):
    """The findings of an image that is judged by itself; shown from a lesion score of 0.3."""
    own = fake_model(head_weight=head_weight).of(image.modality)
    return findings_of(image, FRAME, what, own, POINT)


def labels(*lesions, image: float = 0.0, head_weight: float = 0.0) -> list[Label]:
    return [f.label for f in findings(seen(*lesions, image=image), head_weight)]


B, M = Label.BENIGN, Label.MALIGNANT


@pytest.mark.parametrize(
    ("lesions", "expected"),
    [
        ([(0.1, 0.8)], [M]),
        ([(0.4, 0.5)], [M]),
        ([(0.4, 0.49)], [B]),
        ([(0.9, 0.05)], [B]),
        ([(0.1, 0.8), (0.1, 0.7)], [M, M]),
        ([(0.1, 0.4), (0.3, 0.6)], [M, B]),
        ([], []),
    ],
)
def test_a_finding_is_malignant_where_its_score_reaches_the_point(lesions, expected):
    assert labels(*lesions) == expected


def test_a_benign_looking_finding_is_not_made_malignant_by_the_rest_of_the_image():
    # The head alone lifts both scores over the point; only one looks malignant by itself.
    assert labels((0.6, 0.3), (0.1, 0.8), image=1.0, head_weight=0.6) == [M, B]


def test_a_tie_of_a_findings_own_looks_is_malignant():
    assert labels((0.1, 0.8), (0.45, 0.45), image=1.0, head_weight=0.6) == [M, M]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(unit, unit).map(lambda p: (p[0] * (1 - p[1]), p[1])), max_size=4),
    unit,
    unit,
)
def test_a_positive_image_with_findings_names_one_malignant_and_a_negative_one_none(
    lesions, whole, weight
):
    what = seen(*lesions, image=whole)
    found = findings(what, weight)
    score = image_score(evidence(what, 0.3), Scoring(weight, 0.3, POINT))
    verdict, _ = judge(score, POINT, FRAME)
    malignant = [f for f in found if f.label is M]
    if verdict is Verdict.POSITIVE and found:
        assert malignant[0] is found[0]
    if verdict is Verdict.NEGATIVE:
        assert not malignant
    assert all(f.score >= POINT for f in malignant)
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)
    assert all(0 <= f.lesion_score <= 1 for f in found)


def test_findings_carry_boxes_masks_and_measures_of_the_image_as_posted():
    (found,) = findings(seen((0.1, 0.8)))
    # Input px 10..26 x 30..60 at half scale, the crop's corner at (40, 20).
    assert found.box == pytest.approx((60, 80, 92, 140))
    assert found.score == pytest.approx(0.4)
    assert found.lesion_score == pytest.approx(0.9)
    assert found.area_px == 32 * 60
    assert found.area_mm2 == pytest.approx(19.2)
    assert found.centroid == pytest.approx((76, 110))
    mask = rle.decode(found.mask)
    assert mask.shape == (300, 260)
    assert mask[80:140, 60:92].all()
    assert mask.sum() == found.area_px


def test_a_box_over_the_images_edge_is_cut_there():
    image = replace(IMAGE, pixels=np.zeros((300, 80), np.uint8))
    (found,) = findings(seen((0.1, 0.8)), image=image)
    assert found.box == pytest.approx((60, 80, 80, 140))
    assert found.area_px == 20 * 60


def test_a_finding_without_a_pixel_in_the_image_is_none():
    outside = replace(IMAGE, pixels=np.zeros((70, 50), np.uint8))
    assert findings(seen((0.1, 0.8)), image=outside) == ()
    faint = replace(seen((0.1, 0.8)), masks=np.full((1, 56, 56), 0.4, np.float32))
    assert findings(faint) == ()


def test_what_lies_under_the_finding_threshold_is_not_shown():
    assert [f.score for f in findings(seen((0.1, 0.15), (0.2, 0.45)), 0.0)] == pytest.approx([0.45])


def test_of_the_findings_that_have_pixels_the_first_is_the_one_named():
    what = seen((0.1, 0.9), (0.7, 0.2), (0.8, 0.1), image=1.0)
    masks = what.masks.copy()
    masks[0] = 0
    found = findings(replace(what, masks=masks), 0.6)
    assert [f.label for f in found] == [M, B]


def test_millimetres_of_a_finding_are_those_of_the_region_it_lies_in():
    whole = findings(seen((0.1, 0.8), (0.1, 0.7)))
    first, second = (finding.box for finding in whole)
    split = int((first[2] + second[0]) / 2)
    region = ScaledRegion((0, 0, split, IMAGE.height), (0.2, 0.2))
    scaled = findings(
        seen((0.1, 0.8), (0.1, 0.7)), image=replace(IMAGE, spacing_mm=None, regions=(region,))
    )
    assert scaled[0].area_mm2 == pytest.approx(4 * whole[0].area_mm2)
    assert scaled[0].diameter_mm == pytest.approx(2 * whole[0].diameter_mm)
    assert (scaled[1].area_mm2, scaled[1].diameter_mm) == (None, None)
