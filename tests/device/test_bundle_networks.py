"""Manifests of schema 2, with several networks; and one of schema 1 read as one of schema 2."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mammosono.engines.bundle import (
    Bundle,
    as_bundle,
    open_bundle,
    read_stage,
    with_variant,
    write_manifest,
)
from mammosono.engines.errors import BundleError
from mammosono.engines.schema1 import KIND, TOLERANCES

FILM, PROBE, HALF = b"graph of films", b"graph of ultrasound", b"graph of films in half"


def stage(file: str, data: bytes, height: int, width: int) -> dict[str, Any]:
    return {
        "file": file,
        "sha256": hashlib.sha256(data).hexdigest(),
        "inputs": {"image": {"dtype": "float32", "shape": [1, 1, height, width]}},
        "outputs": {"classes": {"dtype": "float32", "shape": [1, 3]}},
    }


def manifest() -> dict[str, Any]:
    film = stage("film.trunk.onnx", FILM, 96, 64)
    film["variants"] = {
        "mixed": {"file": "film.half.onnx", "sha256": hashlib.sha256(HALF).hexdigest()}
    }
    film["fp32"] = ["/Softmax"]
    film["tolerances"] = {"classes": {"largest": 0.05, "mean": 0.01}}
    return {
        "schema": 2,
        "kind": "refined-mask-rcnn/1",
        "name": "pair",
        "version": "1",
        "networks": {
            "film": {"stages": {"trunk": film}, "geometry": {"input_size": [96, 64]}},
            "probe": {"stages": {"trunk": stage("probe.trunk.onnx", PROBE, 64, 96)}},
        },
        "modalities": {"MG": {"network": "film"}, "US": {"network": "probe"}},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in (("film.trunk", FILM), ("probe.trunk", PROBE), ("film.half", HALF)):
        (tmp_path / f"{name}.onnx").write_bytes(data)
    write_manifest(tmp_path, manifest())
    return tmp_path


def test_no_two_stages_are_called_alike_though_two_networks_call_theirs_so(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert set(bundle.stages) == {"film.trunk", "probe.trunk"}
    assert {name: each.name for name, each in bundle.stages.items()} == {
        "film.trunk": "film.trunk",
        "probe.trunk": "probe.trunk",
    }
    assert {name: each.stages for name, each in bundle.networks.items()} == {
        "film": {"trunk": "film.trunk"},
        "probe": {"trunk": "probe.trunk"},
    }
    assert {each.network for each in bundle.stages.values()} == {"film", "probe"}
    assert read_stage(bundle.stages["film.trunk"]) == FILM
    assert bundle.stages["probe.trunk"].inputs == {"image": ("float32", (1, 1, 64, 96))}


def test_what_is_the_models_is_carried_unread(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.kind == "refined-mask-rcnn/1"
    assert bundle.modalities == manifest()["modalities"]
    assert bundle.networks["film"].entry["geometry"] == {"input_size": [96, 64]}
    assert bundle.manifest == manifest()


def test_bounds_and_variants_are_the_stages_own(folder: Path) -> None:
    stages = open_bundle(folder).stages
    assert stages["film.trunk"].tolerances == {"classes": {"largest": 0.05, "mean": 0.01}}
    assert set(stages["film.trunk"].variants) == {"mixed"}
    assert stages["probe.trunk"].tolerances == stages["probe.trunk"].variants == {}


def test_a_variant_takes_the_place_of_the_graphs_that_have_it(folder: Path) -> None:
    mixed = with_variant(open_bundle(folder), "mixed")
    assert read_stage(mixed.stages["film.trunk"]) == HALF
    assert read_stage(mixed.stages["probe.trunk"]) == PROBE
    with pytest.raises(BundleError, match="no stage has a variant 'int8'; choose another"):
        with_variant(mixed, "int8")


def test_a_damaged_variant_is_refused_when_it_is_chosen(folder: Path) -> None:
    (folder / "film.half.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"film\.half\.onnx: its sha256"):
        with_variant(open_bundle(folder), "mixed")


FILM_TRUNK = ("networks", "film", "stages", "trunk")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("kind",), None),
        (("kind",), "refined-mask-rcnn"),
        (("kind",), 1),
        (("networks",), None),
        (("networks",), {}),
        (("networks",), ["film"]),
        (("networks", "film"), "film.trunk.onnx"),
        (("networks", "film.left"), {"stages": {}}),
        (("networks", "../film"), {"stages": {}}),
        (("networks", "film", "stages"), None),
        (("networks", "film", "stages"), {}),
        (("networks", "film", "stages", "trunk.left"), stage("film.trunk.onnx", FILM, 8, 8)),
        (FILM_TRUNK, []),
        ((*FILM_TRUNK, "file"), "../film.trunk.onnx"),
        ((*FILM_TRUNK, "sha256"), "0" * 63),
        ((*FILM_TRUNK, "outputs"), {}),
        ((*FILM_TRUNK, "fp32"), "/Softmax"),
        ((*FILM_TRUNK, "variants"), ["mixed"]),
        ((*FILM_TRUNK, "variants", "mixed"), "film.half.onnx"),
        ((*FILM_TRUNK, "variants", "mixed"), None),
        ((*FILM_TRUNK, "variants", "in half"), {"file": "a.onnx", "sha256": "0" * 64}),
        ((*FILM_TRUNK, "variants", "mixed", "file"), "/etc/hostname"),
        ((*FILM_TRUNK, "tolerances"), [0.1]),
        ((*FILM_TRUNK, "tolerances"), {"masks": {"largest": 0.1}}),
        ((*FILM_TRUNK, "tolerances", "classes"), {}),
        ((*FILM_TRUNK, "tolerances", "classes"), {"median": 0.1}),
        ((*FILM_TRUNK, "tolerances", "classes"), 0.1),
        ((*FILM_TRUNK, "tolerances", "classes", "largest"), -0.1),
        ((*FILM_TRUNK, "tolerances", "classes", "largest"), "0.1"),
        ((*FILM_TRUNK, "tolerances", "classes", "largest"), True),
        ((*FILM_TRUNK, "tolerances", "classes", "largest"), float("nan")),
        (("modalities",), None),
        (("modalities",), ["MG", "US"]),
        (("parity",), {"file": "parity.npz", "sha256": "0"}),
    ],
)
def test_a_malformed_manifest_is_refused_when_opened_and_when_written(
    folder: Path, path: tuple[str, ...], value: object
) -> None:
    broken = manifest()
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (folder / "manifest.json").write_text(json.dumps(broken), encoding="utf-8")
    for refused in (lambda: open_bundle(folder), lambda: write_manifest(folder, broken)):
        with pytest.raises(BundleError, match=r"^manifest\.json: .* is missing or malformed"):
            refused()


@pytest.mark.parametrize("key", ["kind", "networks", "modalities", "name", "version"])
def test_a_missing_part_is_refused(folder: Path, key: str) -> None:
    broken = manifest()
    del broken[key]
    with pytest.raises(BundleError, match=f"'{key}' is missing or malformed"):
        write_manifest(folder, broken)


def old(**numbers: Any) -> Bundle:
    """A bundle of schema 1, all of whose numbers are there unless told otherwise."""
    entry = stage("trunk.onnx", FILM, 96, 64)
    entry.update(fp32=["/Softmax"], mixed={"file": "trunk.mixed.onnx", "sha256": "0" * 64})
    noise = {"noise": {"dtype": "float32", "shape": [1, 1, 96, 64]}}
    said = {
        "schema": 1,
        "name": "compact",
        "version": "1",
        "stages": {"trunk": entry, "denoise_mg": {**entry, "outputs": noise}},
        "geometry": {"input_size": [96, 64]},
        "normalisation": {"mean": 0.5},
        "image_score": {"MG": {"head_weight": 0.4, "rule": "in words"}, "US": {"head_weight": 0.1}},
        "finding_thresholds": {"MG": 0.2, "US": 0.3},
        "operating_points": {"MG": 0.41, "US": 0.5},
    }
    return as_bundle("/nowhere", {**said, **numbers}, "ab" * 32)


def test_a_manifest_of_schema_1_is_one_network_for_every_modality_with_plain_stage_names() -> None:
    bundle = old()
    assert bundle.kind == KIND == "refined-mask-rcnn/1"
    assert set(bundle.stages) == {"trunk", "denoise_mg"}
    network = bundle.networks["compact"]
    assert network.stages == {"trunk": "trunk", "denoise_mg": "denoise_mg"}
    assert network.entry["geometry"] == {"input_size": [96, 64]}
    assert network.entry["normalisation"] == {"mean": 0.5}
    assert bundle.modalities == {
        "MG": {
            "network": "compact",
            "denoise": "denoise_mg",
            "finding_threshold": 0.2,
            "score": {"rule": "head-and-finding", "head_weight": 0.4},
            "operating_point": 0.41,
        },
        "US": {
            "network": "compact",
            "finding_threshold": 0.3,
            "score": {"rule": "head-and-finding", "head_weight": 0.1},
            "operating_point": 0.5,
        },
    }


def test_the_stages_of_schema_1_have_the_bounds_of_their_kind_and_their_mixed_graph() -> None:
    stages = old().stages
    assert stages["trunk"].tolerances == {"classes": TOLERANCES["classes"]}
    assert stages["denoise_mg"].tolerances == {"noise": TOLERANCES["noise"]}
    assert stages["trunk"].variants == {"mixed": ("/nowhere/trunk.mixed.onnx", "0" * 64)}


def test_a_number_that_schema_1_lacks_is_lacking_still() -> None:
    assert "operating_point" not in old(operating_points={"MG": 0.41}).modalities["US"]
    assert "score" not in old(image_score=None).modalities["MG"]


def test_the_manifest_of_schema_1_stays_as_it_is_written() -> None:
    said = old().manifest
    before = copy.deepcopy(said)
    as_bundle("/nowhere", said, "")
    assert said == before
    assert said["schema"] == 1
