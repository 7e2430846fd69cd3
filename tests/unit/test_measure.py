"""Centroid, area, diameter and outline of a mask."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.measure import regionprops

from mammosono.appliance.output import rle
from mammosono.appliance.pipeline.measure import contour, describe, extent, feret_diameter
from mammosono.appliance.values import Label

BOX = (10.0, 20.0, 30.0, 60.0)
masks = arrays.arrays(
    np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14)
).filter(np.any)


def disk(radius: float) -> np.ndarray:
    """Pixels whose centre lies within `radius` of the middle of an odd square."""
    reach = math.ceil(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return x**2 + y**2 <= radius**2


def finding(mask, *, left=0, top=0, size=(200, 300), spacing=(0.1, 0.2)):
    return describe(mask, left, top, size, spacing, BOX, Label.MALIGNANT, 0.7, 0.9)


def test_a_single_pixel_is_measured_from_its_edges():
    one = finding(np.ones((1, 1), bool), left=7, top=3)
    assert one.centroid == (7.5, 3.5)
    assert one.area_px == 1
    assert one.area_mm2 == pytest.approx(0.02)
    assert one.diameter_mm == pytest.approx(0.2)
    assert one.contour == ((7.5, 3.5),)


def test_a_rectangle_lies_where_its_crop_was_placed():
    block = finding(np.ones((4, 6), bool), left=10, top=20)
    assert block.centroid == (13.0, 22.0)
    assert set(block.contour) == {(10.5, 20.5), (15.5, 20.5), (15.5, 23.5), (10.5, 23.5)}
    assert np.argwhere(rle.decode(block.mask)).min(axis=0).tolist() == [20, 10]
    assert block.mask.size == (200, 300)
    assert (block.label, block.score, block.lesion_score) == (Label.MALIGNANT, 0.7, 0.9)
    assert block.box == BOX


@pytest.mark.parametrize("radius", [5.0, 12.5, 40.0])
def test_a_disk_has_its_diameter(radius):
    assert feret_diameter(disk(radius), (1.0, 1.0)) == pytest.approx(2 * radius + 0.5, abs=0.8)


def test_a_line_of_n_pixels_is_n_pixels_long_on_the_axis_it_lies():
    line = np.ones((1, 9), bool)
    assert feret_diameter(line, (0.1, 0.2)) == pytest.approx(9 * 0.2, abs=1e-6)
    assert feret_diameter(line.T, (0.2, 0.1)) == pytest.approx(9 * 0.2, abs=1e-6)


@given(masks)
@settings(max_examples=60, deadline=None)
def test_the_diameter_of_a_convex_mask_is_that_of_scikit_image(mask):
    (region,) = regionprops(mask.astype(np.uint8))
    diameter = feret_diameter(region.image_convex, (1.0, 1.0))
    assert diameter == pytest.approx(region.feret_diameter_max, abs=1e-4)
    assert feret_diameter(mask, (1.0, 1.0)) <= diameter + 1e-4


@given(masks, st.floats(0.01, 3.0), st.floats(0.01, 3.0))
@settings(max_examples=60, deadline=None)
def test_the_diameter_lies_between_the_extent_and_the_diagonal(mask, row_mm, column_mm):
    rows, columns = np.nonzero(mask)
    extents = (np.ptp(rows) + 1) * row_mm, (np.ptp(columns) + 1) * column_mm
    diameter = feret_diameter(mask, (row_mm, column_mm))
    assert max(extents) * (1 - 1e-5) <= diameter <= math.hypot(*extents) * (1 + 1e-5)


def test_the_outline_is_that_of_the_largest_part_only():
    mask = np.zeros((30, 30), bool)
    mask[2, 2:28] = True
    mask[10:20, 10:20] = True
    points = contour(mask)
    assert points.min() == 10.5
    assert points.max() == 19.5


def test_the_outline_ignores_holes():
    ring = disk(12) & ~np.pad(disk(6), 6)
    np.testing.assert_array_equal(contour(ring), contour(disk(12)))


@given(st.floats(3, 30))
@settings(max_examples=20, deadline=None)
def test_the_outline_keeps_to_the_mask_within_a_pixel(radius):
    mask = np.pad(disk(radius), 2).astype(np.uint8)
    outline = (contour(mask.astype(bool)) - 0.5).astype(np.int32)
    filled = cv2.fillPoly(np.zeros_like(mask), [outline], 1)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    assert (filled <= cv2.dilate(mask, cross)).all()
    assert (mask <= cv2.dilate(filled, cross)).all()


def test_without_spacing_there_are_no_millimetres():
    plain = finding(np.ones((4, 6), bool), spacing=None)
    assert plain.area_px == 24
    assert plain.area_mm2 is None
    assert plain.diameter_mm is None


@pytest.mark.parametrize("shape", [(0, 0), (5, 4)])
def test_an_empty_mask_has_a_defined_answer(shape):
    empty = finding(np.zeros(shape, bool))
    assert empty.centroid == (20.0, 40.0)
    assert (empty.area_px, empty.area_mm2, empty.diameter_mm) == (0, 0.0, 0.0)
    assert empty.contour == ()
    assert not rle.decode(empty.mask).any()


def test_a_crop_outside_the_image_is_refused():
    with pytest.raises(ValueError, match="outside"):
        finding(np.ones((4, 6), bool), left=297)


@given(masks, st.integers(0, 50), st.integers(0, 50))
def test_the_extent_is_the_least_rectangle_around_the_mask(mask, left, top):
    rows, columns = np.nonzero(mask)
    x0, y0, x1, y1 = extent(mask, left, top)
    assert (x0 - left, y0 - top) == (columns.min(), rows.min())
    assert (x1 - left, y1 - top) == (columns.max() + 1, rows.max() + 1)
