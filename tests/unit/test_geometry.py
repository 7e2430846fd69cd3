"""The numbers that training and device share survive the manifest, or are refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from fakes import GEOMETRY

from mammosono.appliance.pipeline.detector.geometry import Geometry


def test_it_comes_back_from_json_as_it_was():
    entry = json.loads(json.dumps(GEOMETRY.to_manifest()))
    assert Geometry.from_manifest(entry) == GEOMETRY


@pytest.mark.parametrize("name", [f.name for f in fields(Geometry)])
def test_no_number_is_optional_in_a_manifest(name):
    entry = GEOMETRY.to_manifest()
    del entry[name]
    with pytest.raises(KeyError, match=name):
        Geometry.from_manifest(entry)


def test_a_number_it_does_not_know_is_refused():
    with pytest.raises(TypeError, match="soft_nms"):
        Geometry.from_manifest({**GEOMETRY.to_manifest(), "soft_nms": True})


@pytest.mark.parametrize("sizes", [((16.0,),), ((16.0,), (24.0,), (48.0,))])
def test_anchor_sizes_must_fit_the_levels(sizes):
    with pytest.raises(ValueError, match="anchor_sizes"):
        replace(GEOMETRY, anchor_sizes=sizes)


@pytest.mark.parametrize("sizes", [(), (20.0,), (20.0, 40.0, 80.0)])
def test_level_sizes_must_fit_the_pyramid(sizes):
    with pytest.raises(ValueError, match="roi_level_sizes"):
        replace(GEOMETRY, roi_level_sizes=sizes)


def test_levels_are_rounded_up_as_a_strided_convolution_with_padding_does():
    uneven = replace(GEOMETRY, input_size=(97, 64))
    assert uneven.level_shapes((4, 16)) == ((25, 16), (7, 4))
    assert uneven.pyramid_rows == 25 * 16 + 13 * 8 + 7 * 4


def test_samples_a_bin_are_four_corners_of_each_point_on_each_level_used():
    assert replace(GEOMETRY, roi_levels="by_size").samples_per_row == 16
    assert replace(GEOMETRY, roi_levels="fused").samples_per_row == 48


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_size", [128]),
        ("input_size", [0, 96]),
        ("input_size", [128.0, 96.0]),
        ("input_size", [True, 96]),
        ("pyramid_strides", [-4, 8, 16]),
        ("rpn_strides", [0, 16]),
        ("anchor_sizes", [[float("nan"), 24.0], [48.0]]),
        ("anchor_ratios", [0.0]),
        ("rpn_weights", [0, 0, 0, 0]),
        ("box_weights", [1.0]),
        ("delta_clamp", float("nan")),
        ("pre_nms_top_n", 0),
        ("proposal_nms_iou", 1.5),
        ("proposals", "16"),
        ("proposals_floor", -1),
        ("min_box_px", float("nan")),
        ("min_box_px", 96),
        ("roi_level_sizes", [float("inf"), 40.0]),
        ("roi_levels", "largest"),
        ("box_bins", 0),
        ("findings", -1),
        ("finding_nms_iou", float("nan")),
        ("mask_threshold", 2.0),
        ("mask_threshold", None),
    ],
)
def test_a_number_with_which_nothing_is_found_is_refused_by_its_name(name, value):
    """Such an image would read as one without a finding."""
    with pytest.raises(ValueError, match=name):
        Geometry.from_manifest({**GEOMETRY.to_manifest(), name: value})
