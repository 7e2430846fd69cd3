"""Detection metrics: FROC by hand and by weights; average precision is pycocotools' own."""

from __future__ import annotations

import io
import json
import math
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from searches import drawn_searches, finding, lesion, search

from mammosono.tools.evaluation.bootstrap import case_weights
from mammosono.tools.evaluation.coco import average_precision, findings_file, match, truth_file
from mammosono.tools.evaluation.detection_metrics import (
    curve,
    events_of,
    froc_events,
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
    events, ones = events_of(three_images()), np.ones(3)
    # Falling: found .9, false .8, false .7, found .6, false .3; three lesions, three images.
    assert sensitivity_at(events, 0.25, ones) == pytest.approx(1 / 3)
    assert sensitivity_at(events, 1 / 3, ones) == pytest.approx(1 / 3)
    assert sensitivity_at(events, 0.5, ones) == pytest.approx(1 / 3)
    assert sensitivity_at(events, 2 / 3, ones) == pytest.approx(2 / 3)
    assert sensitivity_at(events, 2.0, ones) == pytest.approx(2 / 3)


def test_a_second_finding_on_a_found_lesion_is_neither_right_nor_false() -> None:
    twice = search("a", [lesion(HERE)], [finding(HERE, 0.9), finding((11, 11, 19, 19), 0.8)])
    false, found, score = curve(events_of([twice]), 1)
    assert (false.tolist(), found.tolist(), score.tolist()) == ([0], [1], [0.9])


def test_no_threshold_falls_between_equal_scores() -> None:
    tied = search("a", [lesion(HERE)], [finding(AWAY, 0.5), finding(HERE, 0.5)])
    assert sensitivity_at(events_of([tied]), 0.5, np.ones(1)) == 0
    assert sensitivity_at(events_of([tied]), 1.0, np.ones(1)) == 1


def test_the_threshold_comes_from_all_lesions_and_the_share_from_those_asked_about() -> None:
    events = events_of(three_images())
    first, last = np.array([True, False, False]), np.array([False, False, True])
    assert sensitivity_at(events, 0.25, np.ones(3), first) == 1
    assert sensitivity_at(events, 0.25, np.ones(3), last) == 0
    assert sensitivity_at(events, 1.0, np.ones(3), last) == 1


def test_without_a_lesion_the_sensitivity_is_undefined() -> None:
    events = events_of([search("a", [], [finding(HERE, 0.9)])])
    assert math.isnan(sensitivity_at(events, 1.0, np.ones(1)))
    assert math.isnan(sensitivity_at(froc_events([]), 1.0, np.ones(0)))


@few
@given(st.integers(0, 10_000))
def test_more_false_alarms_allowed_never_find_less(seed: int) -> None:
    searches = drawn_searches(seed, 8)
    events = events_of(searches)
    false, found, score = curve(events, len(searches))
    assert (np.diff(false) >= 0).all()
    assert (np.diff(score) < 0).all()
    if events.of_image.size:
        assert (np.diff(found) >= 0).all()
        rates = [float(sensitivity_at(events, r, np.ones(8))) for r in (0, 0.25, 0.5, 1, 2, 9)]
        assert rates == sorted(rates)
        assert rates[-1] == found[-1] if found.size else rates[-1] == 0


def test_a_weight_counts_like_so_many_copies_in_the_froc_curve() -> None:
    searches = drawn_searches(3, 10)
    weights = case_weights([s.record.case for s in searches], 6, np.random.default_rng(1))
    found = sensitivity_at(events_of(searches), 0.7, weights)
    for row, value in zip(weights, found, strict=True):
        copies = [s for s, n in zip(searches, row, strict=True) for _ in range(int(n))]
        plain = sensitivity_at(events_of(copies), 0.7, np.ones(len(copies)))
        assert value == pytest.approx(float(plain))


@pytest.mark.parametrize(
    ("share", "expected"), [(0.003, 0), (1 / 256, 1), (0.01, 1), (0.03, 2), (0.0625, 3), (0.9, 3)]
)
def test_size_classes_part_at_a_sixteenth_an_eighth_and_a_quarter_of_the_side(
    share: float, expected: int
) -> None:
    assert size_class(share) == expected


def by_pycocotools(searches: list[Search], kind: str, folder: Path) -> tuple[float, float]:
    """AP50:95 and AP50 of the two files as a stranger would have them computed."""
    (folder / "truth.json").write_text(json.dumps(truth_file(searches)))
    (folder / "found.json").write_text(json.dumps(findings_file(searches)))
    with redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "truth.json"))
        judge = COCOeval(truth, truth.loadRes(str(folder / "found.json")), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0]), float(judge.stats[1])


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_precision_is_that_of_pycocotools_on_the_files_we_write(
    seed: int, kind: str, tmp_path: Path
) -> None:
    searches = drawn_searches(seed, 12)
    ap = average_precision(match(searches, kind), np.ones(12))
    whole, at_half = by_pycocotools(searches, kind, tmp_path)
    assert 0 < whole < at_half < 1
    assert float(ap.mean()) == pytest.approx(whole, abs=1e-9)
    assert float(ap[0]) == pytest.approx(at_half, abs=1e-9)


def test_a_weight_counts_like_so_many_copies_in_average_precision() -> None:
    searches = drawn_searches(5, 10)
    weights = case_weights([s.record.case for s in searches], 5, np.random.default_rng(2))
    resampled = average_precision(match(searches, "bbox"), weights)
    for row, value in zip(weights, resampled, strict=True):
        copies = [s for s, n in zip(searches, row, strict=True) for _ in range(int(n))]
        plain = average_precision(match(copies, "bbox"), np.ones(len(copies)))
        # Copies of one score may stand in another order; precision at their end is the same.
        np.testing.assert_allclose(value, plain, atol=0.02)


def test_one_found_of_two_after_one_false_alarm_is_half_the_recalls_at_half_the_precision() -> None:
    image = search("a", [lesion(HERE), lesion(THERE)], [finding((70, 0, 9, 9), 0.9)])
    image = search("a", list(image.lesions), [*image.detections, finding(HERE, 0.8)])
    ap = average_precision(match([image], "segm"), np.ones(1))
    # 51 of the 101 recalls, 0 to 0.50, have precision 1/2; the others none.
    np.testing.assert_allclose(ap, 51 / 101 / 2)


def test_a_perfect_search_has_precision_one_and_no_lesion_leaves_it_undefined() -> None:
    perfect = search("a", [lesion(HERE)], [finding(HERE, 0.9)])
    np.testing.assert_allclose(average_precision(match([perfect], "bbox"), np.ones(1)), 1)
    nothing = search("b", [], [finding(HERE, 0.9)])
    assert np.isnan(average_precision(match([nothing], "bbox"), np.ones(1))).all()
    blind = search("c", [lesion(HERE)], [])
    assert average_precision(match([blind], "bbox"), np.ones(1)).tolist() == [0] * 10


def test_what_has_no_box_or_mask_is_refused_and_not_guessed() -> None:
    circle = search("a", [lesion(HERE, circle=True)], [])
    with pytest.raises(ValueError, match="no box"):
        match([circle], "bbox")
    with pytest.raises(ValueError, match="no mask"):
        match([circle], "segm")


def test_the_files_name_every_image_lesion_and_finding_and_what_the_device_reports() -> None:
    searches = [
        search("a.png", [lesion(HERE)], [finding(HERE, 0.9), finding(THERE, 0.2)]),
        search("b.png", [], []),
    ]
    truth, results = truth_file(searches), findings_file(searches)
    assert [image["file_name"] for image in truth["images"]] == ["a.png", "b.png"]
    assert truth["annotations"][0]["bbox"] == [10, 10, 20, 20]
    assert truth["annotations"][0]["label"] == "benign"
    assert [(r["image_id"], r["score"], r["reported"]) for r in results] == [
        (1, 0.9, True),
        (1, 0.2, False),
    ]
    assert not math.isnan(json.loads(json.dumps(truth))["images"][0]["width"])
