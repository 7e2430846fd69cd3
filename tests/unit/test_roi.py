"""Gather rows times weights is RoIAlign: against the definition, one sample point at a time."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from fakes import GEOMETRY
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.pipeline.detector.roi import roi_level, roi_samples

HEIGHT, WIDTH = GEOMETRY.input_size
FUSED = replace(GEOMETRY, roi_levels="fused")
BY_SIZE = replace(GEOMETRY, roi_levels="by_size")
UNEVEN = replace(BY_SIZE, input_size=(117, 91))


def pyramid(geometry, channels=3, seed=0):
    """Random levels [h, w, C] in double precision."""
    rng = np.random.default_rng(seed)
    shapes = geometry.level_shapes(geometry.pyramid_strides)
    return [rng.normal(size=(*shape, channels)) for shape in shapes]


def boxes_of(geometry, seed=0):
    """Random boxes and the hard ones: points, slivers, borders, the whole image."""
    rng = np.random.default_rng(seed)
    h, w = geometry.input_size
    corners = np.sort(rng.uniform(0, 1, (12, 2, 2)), axis=1).reshape(12, 4) * [w, h, w, h]
    hard = [
        (0, 0, w, h),
        (20, 30, 20, 30),
        (0, 0, 0, 0),
        (w, h, w, h),
        (0, 40, w, 40.5),
        (33.3, 0, 33.4, h),
        (0, 0, 9.5, 7.5),
        (w - 8, h - 6, w, h),
        (w - 1, 0, w, h),
    ]
    return np.concatenate([corners, hard]).astype(np.float32)


def bilinear(level, x, y):
    """Value of a feature map at a point in cells, the map continued by its border."""
    height, width, _ = level.shape
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    column, row = min(int(x), width - 2), min(int(y), height - 2)
    fx, fy = x - column, y - row
    top = (1 - fx) * level[row, column] + fx * level[row, column + 1]
    bottom = (1 - fx) * level[row + 1, column] + fx * level[row + 1, column + 1]
    return (1 - fy) * top + fy * bottom


def roi_align(level, stride, box, bins):
    """[bins, bins, C]: RoIAlign, aligned, 2 x 2 samples a bin, in double precision."""
    x0, y0, x1, y1 = (float(v) / stride - 0.5 for v in box)
    wide, high = (x1 - x0) / bins, (y1 - y0) / bins
    pooled = np.zeros((bins, bins, level.shape[2]))
    for row in range(bins):
        for column in range(bins):
            for sy in (0.25, 0.75):
                for sx in (0.25, 0.75):
                    x, y = x0 + (column + sx) * wide, y0 + (row + sy) * high
                    pooled[row, column] += bilinear(level, x, y) / 4
    return pooled


def reference(levels, boxes, bins, geometry):
    """[N, bins * bins, C] by the geometry's level rule."""
    pooled = []
    for box in boxes:
        side = sqrt(float(box[2] - box[0]) * float(box[3] - box[1]))
        fitting = sum(side >= bound for bound in geometry.roi_level_sizes)
        chosen = range(len(levels)) if geometry.roi_levels == "fused" else [fitting]
        strides = geometry.pyramid_strides
        pooled.append(np.mean([roi_align(levels[k], strides[k], box, bins) for k in chosen], 0))
    return np.reshape(pooled, (len(boxes), bins * bins, -1))


def gathered(levels, boxes, bins, geometry, dtype=np.float32):
    """What the device does, with features in `dtype`."""
    flat = np.concatenate([level.reshape(-1, level.shape[2]) for level in levels]).astype(dtype)
    rows, weights = roi_samples(boxes, bins, geometry)
    return np.einsum("nbk,nbkc->nbc", weights.astype(dtype), flat[rows])


@pytest.mark.parametrize("geometry", [BY_SIZE, FUSED, UNEVEN], ids=["by_size", "fused", "uneven"])
@pytest.mark.parametrize("bins", [7, 14])
def test_it_is_roi_align(geometry, bins):
    levels, boxes = pyramid(geometry, seed=bins), boxes_of(geometry, seed=bins)
    expected = reference(levels, boxes, bins, geometry)
    assert np.abs(gathered(levels, boxes, bins, geometry) - expected).max() <= 1e-4


@pytest.mark.parametrize("geometry", [BY_SIZE, FUSED], ids=["by_size", "fused"])
@pytest.mark.parametrize("bins", [7, 14])
def test_shapes_and_dtypes_are_those_of_the_stage(geometry, bins):
    boxes = boxes_of(geometry)
    for some in (boxes, boxes[:0]):
        rows, weights = roi_samples(some, bins, geometry)
        assert rows.shape == weights.shape == (len(some), bins**2, geometry.samples_per_row)
        assert (rows.dtype, weights.dtype) == (np.int32, np.float32)
        assert rows.flags.c_contiguous
        assert weights.flags.c_contiguous


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4),
    st.sampled_from([BY_SIZE, FUSED, UNEVEN]),
)
def test_rows_lie_in_the_pyramid_and_the_weights_of_a_bin_sum_to_one(corners, geometry):
    (xa, ya, xb, yb), (h, w) = corners, geometry.input_size
    box = np.array([[min(xa, xb) * w, min(ya, yb) * h, max(xa, xb) * w, max(ya, yb) * h]])
    rows, weights = roi_samples(box.astype(np.float32), 7, geometry)
    assert rows.min() >= 0
    assert rows.max() < geometry.pyramid_rows
    assert weights.min() >= 0
    assert np.allclose(weights.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("side", [12, 30, 60])
def test_a_linear_feature_is_read_off_at_the_middle_of_each_bin(side):
    """Holds only with the aligned convention: a cell's value stands at the cell's middle."""
    levels = []
    shapes = GEOMETRY.level_shapes(GEOMETRY.pyramid_strides)
    for (height, width), stride in zip(shapes, GEOMETRY.pyramid_strides, strict=True):
        y, x = (np.mgrid[:height, :width] + 0.5) * stride
        levels.append(np.stack([x, y, 3 * x - 2 * y + 5], axis=-1))
    box = np.array([[15.3, 21.7, 15.3 + side, 21.7 + side]], np.float32)
    pooled = gathered(levels, box, 7, GEOMETRY, np.float64).reshape(7, 7, 3)
    middles = (np.arange(7) + 0.5) * side / 7
    x, y = np.meshgrid(15.3 + middles, 21.7 + middles)
    assert np.allclose(pooled, np.stack([x, y, 3 * x - 2 * y + 5], axis=-1), atol=2e-3)


def test_a_constant_pyramid_is_constant_wherever_one_looks():
    levels = [np.full_like(level, 2.5) for level in pyramid(GEOMETRY)]
    assert np.allclose(gathered(levels, boxes_of(GEOMETRY), 7, GEOMETRY), 2.5, atol=1e-5)


def test_the_level_is_that_whose_range_holds_the_side():
    sides = np.array([0, 5, 19.99, 20, 39.99, 40, 1000], np.float32)
    boxes = np.stack([0 * sides, 0 * sides, sides / 2, sides * 2], axis=1)
    assert roi_level(boxes, GEOMETRY).tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_a_box_touches_only_the_rows_of_its_own_level():
    shapes = GEOMETRY.level_shapes(GEOMETRY.pyramid_strides)
    ends = np.cumsum([h * w for h, w in shapes])
    for level, side in enumerate((10, 30, 80)):
        rows, _ = roi_samples(np.array([[1, 1, 1 + side, 1 + side]], np.float32), 7, BY_SIZE)
        assert rows.max() < ends[level]
        assert rows.min() >= ends[level] - shapes[level][0] * shapes[level][1]
