"""Two engines' readings compared as sets: order does not matter, all else does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny

from mammosono.appliance.pipeline.detector.detector import Detections
from mammosono.tools.export.agreement import MARGIN, Agreement, mask_iou

THRESHOLD = 0.4
GEOMETRY = tiny.geometry(input_size=(128, 640))


def seen(*, lesion: tuple[float, ...] = (0.9, 0.6)) -> Detections:
    """Findings far apart, 40 px a side, the upper half of each in the mask."""
    count = len(lesion)
    boxes = np.float32([[100 * k, 0, 100 * k + 40, 40] for k in range(count)]).reshape(-1, 4)
    masks = np.zeros((count, 16, 16), np.float32)
    masks[:, :8] = 1
    score = np.float32(lesion)
    return Detections(np.float32([0.2, 0.3, 0.5]), boxes, score / 2, score / 2, masks)


def compared(a: Detections, b: Detections) -> Agreement:
    found = Agreement()
    found.add(a, b, THRESHOLD, GEOMETRY)
    return found


def reordered(a: Detections, order: list[int]) -> Detections:
    return replace(
        a,
        boxes=a.boxes[order],
        benign=a.benign[order],
        malignant=a.malignant[order],
        masks=a.masks[order],
    )


def test_the_same_in_another_order_agrees() -> None:
    found = compared(seen(), reordered(seen(), [1, 0]))
    assert found == Agreement(images=1, findings=2)
    assert found.broken == []


def test_two_readings_without_findings_agree() -> None:
    assert compared(seen(lesion=()), seen(lesion=())).broken == []


@pytest.mark.parametrize("swap", [False, True])
def test_a_sure_finding_that_one_alone_reports_is_lost(swap: bool) -> None:
    pair = (seen(), seen(lesion=(0.9,)))
    found = compared(*(reversed(pair) if swap else pair))
    assert found.broken == ["1 findings without a counterpart"]


def test_one_just_above_the_threshold_may_be_missing_if_it_was_just_below_for_the_other() -> None:
    """Both are asked for findings down to the margin below the threshold."""
    below = seen(lesion=(0.9, THRESHOLD - MARGIN / 2))
    assert compared(below, seen(lesion=(0.9,))).broken == []


def moved(by: float) -> dict[str, Any]:
    return {"boxes": seen().boxes + np.float32([by, 0, by, 0])}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (moved(30), "4 findings without a counterpart"),
        (moved(4), "2 of 2 findings have another box"),
        ({"masks": np.roll(seen().masks, 3, axis=1)}, "masks overlap by IoU 0.4"),
        ({"malignant": seen().malignant - np.float32(0.1)}, "score is off by 0.1000"),
        ({"benign": seen().benign + np.float32(0.1)}, "score is off by 0.1000"),
        ({"malignant": seen().malignant * np.float32(np.nan)}, "score is off by nan"),
        ({"image": np.float32([0.1, 0.3, 0.6])}, "image's score is off by 0.1000"),
        ({"image": np.float32([np.nan, 0.3, 0.6])}, "image's score is off by nan"),
    ],
)
def test_what_differs_is_named_with_its_measure(change: dict[str, Any], said: str) -> None:
    found = compared(seen(), replace(seen(), **change))
    assert any(said in line for line in found.broken), found.broken


def test_of_two_candidates_that_rank_alike_either_may_be_chosen_but_seldom() -> None:
    six = seen(lesion=(0.9,) * 6)
    boxes = six.boxes.copy()
    boxes[0, [0, 2]] += 4
    assert compared(six, replace(six, boxes=boxes)).broken == []
    boxes[1, [0, 2]] += 4
    (line,) = compared(six, replace(six, boxes=boxes)).broken
    assert line == "2 of 6 findings have another box"


def test_an_innocent_image_after_a_bad_one_hides_nothing() -> None:
    found = compared(seen(), replace(seen(), image=np.float32([np.nan, 0.3, 0.6])))
    found.add(seen(), seen(), THRESHOLD, GEOMETRY)
    assert found.images == 2
    assert any("off by nan" in line for line in found.broken)


def test_masks_overlap_by_what_is_inside_both() -> None:
    a, b = np.array([True, True, False]), np.array([True, False, True])
    assert mask_iou(a, b) == pytest.approx(1 / 3)
    assert mask_iou(a & ~a, b & ~b) == 1
