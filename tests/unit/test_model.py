"""Which manifests the appliance takes: all of the numbers, and numbers that make sense."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import GEOMETRY

from mammosono.appliance.errors import ModelUnavailable
from mammosono.appliance.pipeline.model import Model, Normalisation, model_of, open_model
from mammosono.appliance.values import Modality
from mammosono.engines.bundle import Bundle, Stage
from mammosono.engines.options import EngineOptions

MANIFEST: dict[str, Any] = {
    "geometry": GEOMETRY.to_manifest(),
    "normalisation": {"percentiles": [1.0, 99.7], "mean": 0.35, "std": 0.25},
    "image_score": {"MG": {"head_weight": 0.4}, "US": {"head_weight": 0.0}},
    "finding_thresholds": {"MG": 0.2, "US": 0.3},
    "operating_points": {"MG": 0.41, "US": 1.0},
}


def model(manifest: dict[str, Any]) -> Model:
    bundle = Bundle("/nowhere", "compact", "1.0.0", manifest, {}, "cd" * 32)
    return model_of(bundle, "fake 1.0")


def refusal(manifest: dict[str, Any]) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        model(manifest)
    message = str(caught.value)
    assert message.startswith("the bundle's manifest cannot be used: ")
    assert message.endswith("export the bundle anew")
    assert "\n" not in message
    return message


def changed(*path: str, to: Any) -> dict[str, Any]:
    manifest = copy.deepcopy(MANIFEST)
    entry = manifest
    for key in path[:-1]:
        entry = entry[key]
    entry[path[-1]] = to
    return manifest


def without(*path: str) -> dict[str, Any]:
    manifest = copy.deepcopy(MANIFEST)
    entry = manifest
    for key in path[:-1]:
        entry = entry[key]
    del entry[path[-1]]
    return manifest


def test_it_holds_what_the_manifest_says():
    one = model(MANIFEST)
    assert one.geometry == GEOMETRY
    assert one.normalisation == Normalisation((1.0, 99.7), 0.35, 0.25)
    assert one.head_weight == {Modality.MG: 0.4, Modality.US: 0.0}
    assert one.finding_threshold == {Modality.MG: 0.2, Modality.US: 0.3}
    assert one.operating_point == {Modality.MG: 0.41, Modality.US: 1.0}
    assert (one.info.name, one.info.version, one.info.sha256) == ("compact", "1.0.0", "cd" * 32)
    assert one.info.runtime == "fake 1.0"
    assert one.info.operating_points == {"MG": 0.41, "US": 1.0}


@pytest.mark.parametrize("key", sorted(MANIFEST))
def test_a_missing_part_is_named(key):
    assert f"{key} is missing" in refusal(without(key))


@pytest.mark.parametrize(
    "path",
    [
        ("geometry", "box_weights"),
        ("geometry", "findings"),
        ("normalisation", "std"),
        ("operating_points", "US"),
        ("finding_thresholds", "MG"),
        ("image_score", "MG", "head_weight"),
    ],
    ids="/".join,
)
def test_a_missing_number_is_named(path):
    message = refusal(without(*path))
    assert path[-1] in message
    assert "missing" in message


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan"), float("inf"), "high", None, [0.5]])
@pytest.mark.parametrize(
    "path",
    [
        ("operating_points", "MG"),
        ("finding_thresholds", "US"),
        ("image_score", "MG", "head_weight"),
    ],
    ids="/".join,
)
def test_a_score_outside_zero_to_one_is_refused_for_no_image_would_ever_reach_it(path, value):
    refusal(changed(*path, to=value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("std", 0.0),
        ("std", float("nan")),
        ("mean", "grey"),
        ("mean", float("nan")),
        ("percentiles", [1.0]),
        ("percentiles", [99.0, 1.0]),
        ("percentiles", [1.0, 101.0]),
    ],
)
def test_grey_levels_that_make_no_sense_are_refused(key, value):
    refusal(changed("normalisation", key, to=value))


@pytest.mark.parametrize("value", [None, 3, [], "strides", {}])
def test_a_geometry_that_is_none_is_refused(value):
    refusal(changed("geometry", to=value))


def test_a_geometry_with_an_unknown_number_or_ill_fitting_lists_is_refused():
    assert "soft_nms" in refusal(changed("geometry", "soft_nms", to=True))
    assert "anchor_sizes" in refusal(changed("geometry", "anchor_sizes", to=[[16.0]]))


def fourth(noisy: tuple[int, ...], name: str = "noise") -> Bundle:
    """A bundle with a denoiser's stage."""
    tensors = {"noisy": ("float32", noisy)}, {name: ("float32", noisy)}
    stages = {"denoise_mg": Stage("denoise_mg", "/nowhere/x.onnx", "ab" * 32, *tensors)}
    return Bundle("/nowhere", "compact", "1.0.0", MANIFEST, stages, "cd" * 32)


def test_it_denoises_where_the_bundle_has_a_stage_for_it_that_takes_the_networks_input():
    assert not model(MANIFEST).denoises
    assert model_of(fourth((1, 1, *GEOMETRY.input_size)), "fake 1.0").denoises


@pytest.mark.parametrize(
    "bundle", [fourth((1, 1, 64, 64)), fourth((1, 1, *GEOMETRY.input_size), "clean")]
)
def test_a_denoiser_of_another_shape_is_refused(bundle):
    with pytest.raises(ModelUnavailable, match="denoise_mg does not fit"):
        model_of(bundle, "fake 1.0")


def test_a_folder_without_a_bundle_is_unavailable_and_no_path_is_told(tmp_path: Path):
    with pytest.raises(ModelUnavailable) as caught:
        open_model(tmp_path, EngineOptions(threads=1))
    assert str(tmp_path) not in str(caught.value)
    assert "manifest.json" in str(caught.value)


def test_the_padding_is_standardised_black():
    grey = Normalisation((0.0, 100.0), 0.35, 0.25)
    canvas = np.array([[0, 0.35, 0.6]], np.float32)
    assert grey.standardise(canvas).dtype == np.float32
    assert np.allclose(grey.standardise(canvas), [[-1.4, 0, 1]])


def test_levels_run_from_zero_to_one():
    grey = Normalisation((0.0, 100.0), 0.35, 0.25)
    assert np.allclose(grey.levels(np.array([[10, 20, 30]], np.float32)), [[0, 0.5, 1]])
