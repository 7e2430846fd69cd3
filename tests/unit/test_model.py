"""Which manifests the appliance takes: all of the numbers, and numbers that make sense."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import GEOMETRY

from mammosono.appliance.errors import ModalityNotRead, ModelUnavailable
from mammosono.appliance.pipeline.detector.detector import DetectorStages
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.appliance.pipeline.model import (
    BundleModel,
    ModalityModel,
    Normalisation,
    model_of,
    open_model,
)
from mammosono.appliance.values import BreastScoring, Calibration, Modality, Scoring
from mammosono.engines.bundle import as_bundle
from mammosono.engines.options import EngineOptions


def tensor(*shape: int, dtype: str = "float32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape)}


def stage(inputs: Any, outputs: Any) -> dict[str, Any]:
    return {"file": "x.onnx", "sha256": "ab" * 32, "inputs": inputs, "outputs": outputs}


def network(geometry: Geometry, anchors: int) -> dict[str, Any]:
    """A network without a denoiser. anchors: in all levels that propose."""
    heads = tensor(16, 7 * 7, 4 * 4 * 3, dtype="int32")
    masks = tensor(4, 14 * 14, 4 * 4 * 3, dtype="int32")
    return {
        "geometry": geometry.to_manifest(),
        "normalisation": {"percentiles": [1.0, 99.7], "mean": 0.35, "std": 0.25},
        "stages": {
            "trunk": stage(
                {"image": tensor(1, 1, *geometry.input_size)}, {"deltas": tensor(1, anchors, 4)}
            ),
            "heads": stage({"rows": heads}, {"box_deltas": tensor(16, 4)}),
            "masks": stage({"rows": masks}, {"masks": tensor(4, 56, 56)}),
        },
    }


SIZE = tensor(1, 1, *GEOMETRY.input_size)
WIDE = replace(GEOMETRY, input_size=(96, 160))
# Two sizes of anchors at stride 8, one at stride 16.
NETWORK = network(GEOMETRY, 16 * 12 * 2 + 8 * 6)
NETWORK["stages"]["clean"] = stage({"noisy": SIZE}, {"noise": SIZE})
MANIFEST: dict[str, Any] = {
    "schema": 2,
    "kind": "refined-mask-rcnn/1",
    "name": "compact",
    "version": "1.0.0",
    "networks": {"film": NETWORK, "probe": network(WIDE, 12 * 20 * 2 + 6 * 10)},
    "modalities": {
        "MG": {
            "network": "film",
            "denoise": "clean",
            "finding_threshold": 0.2,
            "score": {
                "rule": "head-and-region",
                "head_weight": 0.4,
                "region_floor": 0.05,
                "calibration": {"slope": 0.8, "intercept": -0.3},
                "breast": {
                    "calibration": {"slope": 1.2, "intercept": 0.1},
                    "operating_point": 0.37,
                },
            },
            "operating_point": 0.41,
        },
        "US": {
            "network": "probe",
            "finding_threshold": 0.3,
            "score": {"rule": "head-and-finding", "head_weight": 0.0},
            "operating_point": 1.0,
        },
    },
}
FILM, MG = ("networks", "film"), ("modalities", "MG")


def model(manifest: dict[str, Any]) -> BundleModel:
    return model_of(as_bundle("/nowhere", manifest, "cd" * 32), "fake 1.0")


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


def test_each_modality_has_its_own_network_and_numbers():
    one = model(MANIFEST)
    assert one.of(Modality.MG) == ModalityModel(
        network="film",
        stages=DetectorStages("film.trunk", "film.heads", "film.masks"),
        geometry=GEOMETRY,
        normalisation=Normalisation((1.0, 99.7), 0.35, 0.25),
        denoiser="film.clean",
        finding_threshold=0.2,
        scoring=Scoring(
            0.4, 0.05, 0.41, Calibration(0.8, -0.3), BreastScoring(Calibration(1.2, 0.1), 0.37)
        ),
    )
    assert one.of(Modality.US) == ModalityModel(
        network="probe",
        stages=DetectorStages("probe.trunk", "probe.heads", "probe.masks"),
        geometry=WIDE,
        normalisation=Normalisation((1.0, 99.7), 0.35, 0.25),
        denoiser=None,
        finding_threshold=0.3,
        scoring=Scoring(0.0, 0.3, 1.0),
    )
    assert (one.info.name, one.info.version, one.info.sha256) == ("compact", "1.0.0", "cd" * 32)
    assert one.info.runtime == "fake 1.0"
    assert one.info.operating_points == {"MG": 0.41, "US": 1.0}
    assert one.info.networks == {"MG": "film", "US": "probe"}
    assert one.info.input_sizes == {"MG": GEOMETRY.input_size, "US": WIDE.input_size}


def test_one_network_may_serve_every_modality():
    one = model(changed("modalities", "US", "network", to="film"))
    assert one.of(Modality.US).stages == one.of(Modality.MG).stages
    assert one.of(Modality.US).denoiser is None


def test_a_modality_that_the_bundle_lacks_is_refused_by_name_and_never_read():
    one = model(without("modalities", "US"))
    assert set(one.modalities) == {Modality.MG}
    assert one.info.operating_points == {"MG": 0.41}
    with pytest.raises(ModalityNotRead, match=r"reads MG and no US; .* Leave it out, or install"):
        one.of(Modality.US)


def test_a_manifest_of_schema_1_reads_as_the_same_model():
    """Its one network's stages have plain names; all numbers are where the other has them."""
    stages = dict(NETWORK["stages"])
    stages["denoise_mg"] = stages.pop("clean")
    old = model(
        {
            "schema": 1,
            "name": "compact",
            "version": "1.0.0",
            "geometry": NETWORK["geometry"],
            "normalisation": NETWORK["normalisation"],
            "stages": stages,
            "image_score": {"MG": {"head_weight": 0.4}, "US": {"head_weight": 0.0}},
            "finding_thresholds": {"MG": 0.2, "US": 0.3},
            "operating_points": {"MG": 0.41, "US": 1.0},
        }
    )
    before = {"rule": "head-and-finding", "head_weight": 0.4}
    manifest = changed("modalities", "US", "network", to="film")
    manifest["modalities"]["MG"]["score"] = before
    new = model(manifest)
    assert new.of(Modality.MG).scoring == Scoring(0.4, 0.2, 0.41)  # what is shown alone counts
    assert set(old.info.networks.values()) == {"compact"}
    assert old.info == replace(new.info, networks=old.info.networks)
    for modality in Modality:
        plain = replace(new.of(modality), network="compact", stages=DetectorStages())
        if plain.denoiser is not None:
            plain = replace(plain, denoiser="denoise_mg")
        assert old.of(modality) == plain


def test_a_bundle_of_another_kind_is_refused_with_the_remedy():
    with pytest.raises(ModelUnavailable, match=r"of kind yolo/3 and this version reads refined-"):
        model(changed("kind", to="yolo/3"))


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ((*FILM, "geometry"), "geometry"),
        ((*FILM, "geometry", "box_weights"), "box_weights"),
        ((*FILM, "geometry", "findings"), "findings"),
        ((*FILM, "normalisation"), "normalisation"),
        ((*FILM, "normalisation", "std"), "std"),
        ((*FILM, "stages", "heads"), "stage heads of network film"),
        ((*FILM, "stages", "clean"), "clean"),
        ((*MG, "network"), "network of MG"),
        ((*MG, "finding_threshold"), "finding_threshold of MG"),
        ((*MG, "score"), "score of MG"),
        ((*MG, "score", "rule"), "rule"),
        ((*MG, "score", "head_weight"), "head_weight of MG"),
        ((*MG, "score", "region_floor"), "region_floor of MG"),
        ((*MG, "score", "calibration"), "calibration of MG"),
        ((*MG, "score", "calibration", "slope"), "slope of MG"),
        ((*MG, "score", "breast", "calibration"), "calibration of MG"),
        ((*MG, "score", "breast", "operating_point"), "operating_point of MG"),
        ((*MG, "operating_point"), "operating_point of MG"),
    ],
)
def test_what_is_missing_is_named(path, named):
    message = refusal(without(*path))
    assert named in message
    assert "is missing" in message


@pytest.mark.parametrize(
    "value", [-0.01, 1.01, float("nan"), float("inf"), "high", "0.5", True, None, [0.5]]
)
@pytest.mark.parametrize(
    "path",
    [
        (*MG, "operating_point"),
        (*MG, "finding_threshold"),
        (*MG, "score", "head_weight"),
        (*MG, "score", "region_floor"),
        (*MG, "score", "breast", "operating_point"),
    ],
    ids="/".join,
)
def test_a_score_outside_zero_to_one_is_refused_for_no_image_would_ever_reach_it(path, value):
    refusal(changed(*path, to=value))


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "1", None, True])
@pytest.mark.parametrize(
    "path", [(*MG, "score", "calibration"), (*MG, "score", "breast", "calibration")], ids="/".join
)
def test_a_calibration_that_would_not_rise_with_the_evidence_is_refused(path, value):
    refusal(changed(*path, "slope", to=value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("modalities",), {}),
        (("modalities", "MR"), MANIFEST["modalities"]["MG"]),
        (MG, None),
        (MG, []),
        ((*MG, "network"), "other"),
        ((*MG, "network"), []),
        ((*MG, "score"), 0.4),
        ((*MG, "score", "rule"), "median"),
        ((*MG, "denoise"), "other"),
        ((*MG, "denoise"), {}),
        (("modalities", "US", "denoise"), "clean"),
    ],
)
def test_a_modality_that_makes_no_sense_is_refused(path, value):
    refusal(changed(*path, to=value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("std", 0.0),
        ("std", 1e30),
        ("std", True),
        ("mean", "0.3"),
        ("mean", 1e300),
        ("percentiles", [False, 99.7]),
        ("std", float("nan")),
        ("mean", "grey"),
        ("mean", float("nan")),
        ("percentiles", [1.0]),
        ("percentiles", [99.0, 1.0]),
        ("percentiles", [1.0, 101.0]),
    ],
)
def test_grey_levels_that_make_no_sense_are_refused(key, value):
    refusal(changed(*FILM, "normalisation", key, to=value))


@pytest.mark.parametrize("value", [None, 3, [], "strides", {}])
def test_a_geometry_that_is_none_is_refused(value):
    refusal(changed(*FILM, "geometry", to=value))


def test_a_geometry_with_an_unknown_number_or_ill_fitting_lists_is_refused():
    assert "soft_nms" in refusal(changed(*FILM, "geometry", "soft_nms", to=True))
    assert "anchor_sizes" in refusal(changed(*FILM, "geometry", "anchor_sizes", to=[[16.0]]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9, 0, "2", None])
def test_a_geometry_that_finds_nothing_is_refused_for_it_would_read_as_negative(value):
    assert "min_box_px" in refusal(changed(*FILM, "geometry", "min_box_px", to=value))


@pytest.mark.parametrize(
    ("name", "value", "tensor"),
    [
        ("input_size", [96, 160], "image of stage film.trunk"),
        ("rpn_strides", [8, 8], "deltas of stage film.trunk"),
        ("anchor_ratios", [], "deltas of stage film.trunk"),
        ("box_bins", 3, "rows of stage film.heads"),
        ("roi_levels", "by_size", "rows of stage film.heads"),
        ("proposals", 8, "rows of stage film.heads"),
        ("mask_bins", 3, "rows of stage film.masks"),
        ("findings", 8, "rows of stage film.masks"),
        ("mask_size", 28, "masks of stage film.masks"),
    ],
)
def test_a_geometry_of_another_network_is_refused_before_a_study_waits(name, value, tensor):
    message = refusal(changed(*FILM, "geometry", name, to=value))
    assert f"{tensor} does not fit the network's geometry" in message


def test_a_stage_in_the_place_of_another_is_refused():
    message = refusal(changed(*FILM, "stages", "masks", to=NETWORK["stages"]["heads"]))
    assert "rows of stage film.masks does not fit" in message


SMALL = {"dtype": "float32", "shape": [1, 1, 64, 64]}


@pytest.mark.parametrize(
    "wrong", [stage({"noisy": SMALL}, {"noise": SMALL}), stage({"noisy": SIZE}, {"clean": SIZE})]
)
def test_a_denoiser_of_another_shape_is_refused(wrong):
    message = refusal(changed(*FILM, "stages", "clean", to=wrong))
    assert "film.clean does not fit" in message


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
