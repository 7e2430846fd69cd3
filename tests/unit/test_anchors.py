"""Anchors: as many as the RPN answers, in its order, of the stated sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mammosono.appliance.pipeline.detector.anchors import anchors_by_level
from mammosono.appliance.pipeline.detector.geometry import Geometry

GEOMETRY = Geometry(
    input_size=(96, 64),
    pyramid_strides=(8, 16),
    rpn_strides=(8, 32),
    anchor_sizes=((16.0, 24.0), (80.0,)),
    anchor_ratios=(0.5, 1.0, 2.0),
    roi_level_sizes=(32.0,),
)
PER_CELL = (6, 3)


def sides(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]


def test_every_cell_of_every_level_has_one_anchor_a_size_and_ratio():
    levels = anchors_by_level(GEOMETRY)
    assert [len(level) for level in levels] == [12 * 8 * 6, 3 * 2 * 3]
    assert all(level.dtype == np.float32 and level.shape[1] == 4 for level in levels)


def test_a_size_that_no_stride_divides_is_covered_to_its_rim():
    levels = anchors_by_level(replace(GEOMETRY, input_size=(97, 65)))
    assert [len(level) for level in levels] == [13 * 9 * 6, 4 * 3 * 3]


@pytest.mark.parametrize("k", [0, 1])
def test_cells_come_row_by_row_and_anchors_stand_at_their_middles(k):
    level, stride = anchors_by_level(GEOMETRY)[k], GEOMETRY.rpn_strides[k]
    width = 64 // stride
    for index, (x0, y0, x1, y1) in enumerate(level):
        row, column = divmod(index // PER_CELL[k], width)
        assert (x0 + x1) / 2 == pytest.approx((column + 0.5) * stride, abs=1e-4)
        assert (y0 + y1) / 2 == pytest.approx((row + 0.5) * stride, abs=1e-4)


@pytest.mark.parametrize("k", [0, 1])
def test_within_a_cell_sizes_then_ratios_run_and_the_size_is_the_root_of_the_area(k):
    level = anchors_by_level(GEOMETRY)[k]
    expected = [(s, r) for s in GEOMETRY.anchor_sizes[k] for r in GEOMETRY.anchor_ratios]
    width, height = sides(level)
    cells = len(level) // PER_CELL[k]
    assert np.allclose(np.sqrt(width * height), np.tile([s for s, _ in expected], cells))
    assert np.allclose(height / width, np.tile([r for _, r in expected], cells), rtol=1e-5)
