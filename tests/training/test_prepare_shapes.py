"""VIA's shapes as masks, and masks as polygons."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.tools.prepare.via import BadShape, IgnoredShape, mask_of, shape_of_mark, shapes_of

SIZE = (40, 60)
"""(height, width)"""


def poly(*points: tuple[float, float], name: str = "polygon") -> dict[str, Any]:
    return {
        "name": name,
        "all_points_x": [x for x, _ in points],
        "all_points_y": [y for _, y in points],
    }


def covered(shape: dict[str, Any]) -> np.ndarray:
    return mask_of(shape, SIZE)[0]


SQUARE = ((10, 5), (20, 5), (20, 15), (10, 15))


def test_a_polygon_covers_its_points_and_all_between() -> None:
    expected = np.zeros(SIZE, bool)
    expected[5:16, 10:21] = True
    mask, cut = mask_of(poly(*SQUARE), SIZE)
    assert np.array_equal(mask, expected)
    assert not cut


@pytest.mark.parametrize("name", ["polygon", "polyline"])
def test_an_open_outline_is_the_closed_one(name: str) -> None:
    closed = covered(poly(*SQUARE, SQUARE[0]))
    assert np.array_equal(covered(poly(*SQUARE, name=name)), closed)


def test_an_outline_that_crosses_itself_is_filled_even_odd() -> None:
    # The square's ring walked twice, the second time smaller: the inner part is outside.
    ring = ((5, 5), (35, 5), (35, 35), (5, 35), (5, 5))
    hole = ((15, 15), (25, 15), (25, 25), (15, 25), (15, 15))
    mask = covered(poly(*ring, *hole))
    assert mask[8, 8]
    assert not mask[20, 20]
    bow = covered(poly((5, 5), (35, 35), (35, 5), (5, 35)))
    assert bow[20, 8]
    assert bow[20, 32]
    assert not bow[8, 20]
    assert not bow[32, 20]


def test_what_lies_outside_the_picture_is_cut_off_and_told() -> None:
    mask, cut = mask_of(poly((-30, -30), (10, -30), (10, 10), (-30, 10)), SIZE)
    assert cut
    assert np.array_equal(np.argwhere(mask).max(0), (10, 10))
    assert mask.sum() == 11 * 11


def test_a_rectangle_is_half_open() -> None:
    mask, cut = mask_of({"name": "rect", "x": 3, "y": 4, "width": 5, "height": 2}, SIZE)
    assert mask.sum() == 10
    assert mask[4:6, 3:8].all()
    assert not cut
    assert mask_of({"name": "rect", "x": 58, "y": 4, "width": 5, "height": 2}, SIZE)[1]


def test_a_circle_covers_the_pixels_whose_centre_lies_in_it() -> None:
    mask, cut = mask_of({"name": "circle", "cx": 30, "cy": 20, "r": 10}, SIZE)
    assert mask.sum() == pytest.approx(math.pi * 100, rel=0.03)
    assert np.array_equal(np.argwhere(mask).mean(0), (20, 30))
    assert not cut
    assert mask_of({"name": "circle", "cx": 5, "cy": 20, "r": 10}, SIZE)[1]


def test_an_ellipse_is_turned_clockwise_by_theta_as_a_canvas_does() -> None:
    shape = {"name": "ellipse", "cx": 30, "cy": 20, "rx": 15, "ry": 4, "theta": math.pi / 6}
    mask = covered(shape)
    drawn = cv2.ellipse(np.zeros(SIZE, np.uint8), (30, 20), (15, 4), 30, 0, 360, 1, -1) > 0
    assert (mask & drawn).sum() / (mask | drawn).sum() > 0.85
    assert mask.sum() == pytest.approx(math.pi * 60, rel=0.05)
    y, x = np.argwhere(mask).T
    assert np.corrcoef(x, y)[0, 1] > 0.8  # down to the right
    assert np.array_equal(covered({**shape, "theta": 0}), covered({**shape, "theta": math.pi}))


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        (poly((1, 1), (9, 9)), "fewer than 3 points"),
        (poly((1, 1), (9, 9), (1, 1), (9, 9)), "fewer than 3 points"),
        (poly((1, 1), (5, 5), (9, 9)), "lie on a line"),
        (poly((100, 100), (120, 100), (120, 120)), "outside the picture"),
        (poly((1, 1), (5, math.nan), (9, 9)), "beyond any picture"),
        (poly((1, 1), (5, 1e12), (9, 9)), "beyond any picture"),
        ({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]}, "pair up"),
        ({"name": "polygon", "all_points_x": [1, 2, "3"], "all_points_y": [1, 2, 9]}, "no number"),
        ({"name": "polygon"}, "pair up"),
        ({"name": "rect", "x": 1, "y": 1, "width": 0, "height": 5}, "without area"),
        ({"name": "rect", "x": 1, "y": 1, "width": 5}, "no number"),
        ({"name": "rect", "x": -9, "y": 1, "width": 5, "height": 5}, "outside the picture"),
        ({"name": "circle", "cx": 5, "cy": 5, "r": -1}, "without area"),
        ({"name": "circle", "cx": 5.5, "cy": 5.5, "r": 0.1}, "too small"),
        ({"name": "ellipse", "cx": 5, "cy": 5, "rx": 3, "ry": True}, "no number"),
        ({"name": "freehand"}, "unknown shape"),
        ({}, "unknown shape"),
    ],
)
def test_a_shape_that_outlines_nothing_says_why(shape: dict[str, Any], why: str) -> None:
    with pytest.raises(BadShape, match=why) as caught:
        mask_of(shape, SIZE)
    assert not isinstance(caught.value, IgnoredShape)


def test_a_point_is_ignored() -> None:
    with pytest.raises(IgnoredShape):
        mask_of({"name": "point", "cx": 5, "cy": 5}, SIZE)


def test_marks_of_the_index_are_via_shapes() -> None:
    box = {"name": "rect", "x": 1.5, "y": 2, "width": 3, "height": 4}
    assert shape_of_mark("box:1.5,2,3,4:benign") == box
    assert shape_of_mark("circle:5,6,7:malignant") == {"name": "circle", "cx": 5, "cy": 6, "r": 7}


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.98))
def test_a_mask_without_holes_comes_back_from_its_shapes_pixel_for_pixel(
    seed: int, share: float
) -> None:
    drawn = (np.random.default_rng(seed).random((12, 14)) < share).astype(np.uint8)
    # Holes filled: all that the outside does not reach.
    _, parts = cv2.connectedComponents(np.pad(1 - drawn, 1, constant_values=1), connectivity=4)
    mask = (parts != parts[0, 0])[1:-1, 1:-1]
    again = np.zeros(mask.shape, bool)
    for shape in shapes_of(mask):
        again |= mask_of(shape, mask.shape)[0]
    assert np.array_equal(again, mask)
