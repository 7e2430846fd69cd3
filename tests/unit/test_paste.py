"""A mask pasted into the image: the inverse of how it was taught, to the pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mammosono.appliance.pipeline.detector.paste import paste
from mammosono.tools.training.targets import mask_target

SIZE = (90, 120)
N = 56
ONES = np.ones((N, N), np.float32)
side = st.floats(0.0, 200, width=32)


def pasted(mask, box, size=SIZE, threshold=0.5):
    """The bool image [H, W]."""
    crop, left, top = paste(mask, np.array(box, np.float32), size, threshold)
    whole = np.zeros(size, bool)
    whole[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return whole


def centres(size=SIZE):
    return np.mgrid[: size[0], : size[1]] + 0.5


@settings(max_examples=80, deadline=None)
@example(10.5, 20.5, 30.0, 40.0)  # its edges run through centres: the first is in, the last out
@given(st.floats(-100, 150, width=32), st.floats(-100, 150, width=32), side, side)
def test_a_full_mask_is_the_pixels_whose_centres_are_in_the_box(x0, y0, wide, high):
    box = np.array([x0, y0, x0 + wide, y0 + high], np.float32)
    y, x = centres()
    inside = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
    assert np.array_equal(pasted(ONES, box), inside)


@settings(max_examples=60, deadline=None)
@given(st.floats(-20, 60, width=32), st.floats(3, 100, width=32))
def test_an_edge_in_the_middle_of_the_grid_lies_in_the_middle_of_the_box(x0, wide):
    mask = np.zeros((N, N), np.float32)
    mask[:, : N // 2] = 1
    found = pasted(mask, (x0, 10, x0 + wide, 60))[30]
    x = np.arange(SIZE[1]) + 0.5
    # The interpolation's own grid is 1/32 of a cell.
    sure = np.abs(x - x0 - wide / 2) > wide / N / 16 + 1e-3
    expected = (x >= x0) & (x < x0 + wide / 2)
    assert np.array_equal(found[sure], expected[sure])


def test_at_the_grids_own_scale_pixels_are_cells():
    mask = (np.random.default_rng(0).random((N, N)) > 0.5).astype(np.float32)
    crop, left, top = paste(mask, np.array([30, 20, 30 + N, 20 + N], np.float32), SIZE, 0.5)
    assert (left, top) == (30, 20)
    assert np.array_equal(crop, mask >= 0.5)


def test_a_box_over_the_rim_shows_the_part_inside():
    mask = (np.random.default_rng(0).random((N, N)) > 0.5).astype(np.float32)
    crop, left, top = paste(mask, np.array([-10, 60, -10 + N, 60 + N], np.float32), SIZE, 0.5)
    assert (left, top) == (0, 60)
    assert np.array_equal(crop, mask[:30, 10:] >= 0.5)


def test_a_pixel_at_the_threshold_is_in():
    assert pasted(ONES * 0.5, (10, 10, 40, 40)).sum() == 900
    assert pasted(ONES * 0.49, (10, 10, 40, 40)).sum() == 0
    assert pasted(ONES * 0.49, (10, 10, 40, 40), threshold=0.4).sum() == 900


@pytest.mark.parametrize(
    "box",
    [(-30, 10, -5, 40), (120, 10, 150, 40), (10, 90, 40, 99), (10, -9, 40, 0), (30, 30, 30, 50)],
)
def test_a_box_outside_or_without_extent_is_empty(box):
    crop, _, _ = paste(ONES, np.array(box, np.float32), SIZE, 0.5)
    assert crop.shape == (0, 0)


@pytest.mark.parametrize("radius", [6, 20, 60, 130])
@pytest.mark.parametrize("slack", [0.0, 0.3])
def test_a_disc_taught_and_pasted_back_is_the_disc(radius, slack):
    """slack: the box is larger than the disc by this share of it, and off by a fraction."""
    size = (300, 320)
    y, x = centres(size)
    cx, cy = 158.3, 149.6
    disc = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
    more = radius * (1 + slack)
    box = np.array([cx - more, cy - more, cx + more * 1.1, cy + more], np.float32)
    again = pasted(mask_target(disc.astype(np.uint8), box, N), box, size)
    assert (again & disc).sum() / (again | disc).sum() > 0.95


def test_nothing_shifts_on_the_way_there_and_back():
    """A cell is 3.75 px here; an edge that falls on a tie may go either way."""
    size = (300, 320)
    y, x = centres(size)
    disc = (x - 160) ** 2 + (y - 150) ** 2 < 100**2
    box = np.array([55, 45, 265, 255], np.float32)
    again = pasted(mask_target(disc.astype(np.uint8), box, N), box, size)
    assert x[again].mean() == pytest.approx(160, abs=0.2)
    assert y[again].mean() == pytest.approx(150, abs=0.2)
