"""The bundle that ships: whole, fit for every runtime, and saying what it said when it was judged.

The golden reading lies in tests/golden/demo_pair.json. After the bundle was replaced on purpose,
and only then, `python tests/golden.py` writes it anew.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import golden
import numpy as np
import onnx
import pytest
from onnx import helper

from mammosono.appliance.output.rle import decode, encode
from mammosono.appliance.pipeline.model import SHIPPED, BundleModel, open_model
from mammosono.appliance.values import Modality, Rle
from mammosono.engines.bundle import Bundle, open_bundle
from mammosono.engines.interface import Engine
from mammosono.engines.options import EngineOptions
from mammosono.tools.export.parity import BOUND
from mammosono.tools.export.rules import violations

MAY_BE_SHIPPED = {"BUSI", "BUS-BRA", "CBIS-DDSM", "CDD-CESM"}
"""Sources whose licence lets weights that saw them be given away."""


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(SHIPPED)


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[Engine, BundleModel]]:
    engine, model = open_model(None, EngineOptions(threads=1))
    yield engine, model
    engine.close()


@pytest.fixture(scope="module")
def expected() -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = json.loads(golden.FILE.read_text(encoding="utf-8"))
    return kept


def test_every_reading_network_has_the_detectors_stages_and_all_hashes_are_right(
    bundle: Bundle, opened: tuple[Engine, BundleModel]
) -> None:
    model = opened[1]
    assert set(model.modalities) == set(Modality)
    named = [name for own in model.modalities.values() for name in (*own.stages, own.denoiser)]
    named += [model.kind.stage] if model.kind else []
    assert set(bundle.stages) == set(named) - {None}
    for stage in bundle.stages.values():
        assert hashlib.sha256(Path(stage.path).read_bytes()).hexdigest() == stage.sha256


def test_nothing_lies_in_the_folder_that_the_manifest_does_not_vouch_for(bundle: Bundle) -> None:
    files = {stage.path for stage in bundle.stages.values()} | {bundle.parity.path}
    files |= {file.path for stage in bundle.stages.values() for file in stage.variants.values()}
    assert {str(file) for file in Path(bundle.folder).iterdir()} - files == {
        str(Path(bundle.folder) / "manifest.json")
    }


def test_no_shipped_stage_breaks_a_rule_of_tensorrt_8_2(bundle: Bundle) -> None:
    found = {name: violations(onnx.load(s.path)) for name, s in bundle.stages.items()}
    assert found == {name: [] for name in bundle.stages}


def test_the_manifest_says_what_each_stage_takes_and_gives(bundle: Bundle) -> None:
    for said in bundle.stages.values():
        graph = onnx.load(said.path).graph
        assert specs(graph.input) == said.inputs
        assert specs(graph.output) == said.outputs


def test_the_shapes_are_those_of_the_manifests_geometry(
    bundle: Bundle, opened: tuple[Engine, BundleModel]
) -> None:
    for own in opened[1].modalities.values():
        geometry = own.geometry
        trunk, heads, masks = (bundle.stages[name] for name in own.stages)
        assert trunk.inputs["image"][1] == (1, 1, *geometry.input_size)
        assert trunk.outputs["pyramid"] == heads.inputs["pyramid"] == masks.inputs["pyramid"]
        assert trunk.outputs["pyramid"][1][0] == geometry.pyramid_rows
        assert heads.outputs["classes"][1] == (geometry.proposals, 3)
        assert masks.outputs["masks"][1] == (geometry.findings, *(2 * [geometry.mask_size]))


def test_the_weights_saw_only_what_may_be_shipped_and_the_manifest_says_how_they_did(
    bundle: Bundle,
) -> None:
    training = bundle.manifest["training"]
    assert set(training["sources"]) <= MAY_BE_SHIPPED
    assert len(training["split_sha256"]) == 64
    assert all(training["images"][split] > 0 for split in ("train", "val", "test"))
    outputs = [f"{n}.{o}" for n, s in bundle.stages.items() for o in s.outputs]
    assert set(training["parity"]) == set(outputs)
    assert max(training["parity"].values()) < BOUND
    for split in ("val", "test"):
        groups = training["metrics"][split]["groups"]
        sources = [name for name in groups if name.startswith(("MG/", "US/"))]
        assert sum(groups[name]["n"] for name in sources) == training["images"][split]
        for name in ("tpr", "tnr", "auc"):
            for modality in ("MG", "US"):
                figure = groups[modality]["estimates"][name]
                assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1


def test_the_shipped_model_is_better_than_a_coin(bundle: Bundle) -> None:
    groups = bundle.manifest["training"]["metrics"]["test"]["groups"]
    assert groups["MG"]["estimates"]["auc"]["value"] > 0.5
    assert groups["US"]["estimates"]["auc"]["value"] > 0.7


def test_the_demos_pair_is_read_as_it_was_when_the_bundle_was_judged(
    opened: tuple[Engine, BundleModel], expected: list[dict[str, Any]]
) -> None:
    found = golden.differences(expected, golden.read_demo_pair(*opened))
    assert not found, f"{found}; if the bundle was replaced on purpose: python tests/golden.py"


@pytest.mark.parametrize(
    "lost",
    [
        {"box_weights": (1.0, 1.0, 1.0, 1.0)},
        {"rpn_weights": (10.0, 10.0, 5.0, 5.0)},
        {"anchor_ratios": (1.0, 1.0, 1.0)},
        {"mask_threshold": 0.4},
    ],
    ids=lambda lost: next(iter(lost)),
)
def test_a_number_of_the_geometry_that_is_lost_would_be_noticed(
    lost: dict[str, Any], opened: tuple[Engine, BundleModel], expected: list[dict[str, Any]]
) -> None:
    engine, model = opened
    wrong = replace(
        model,
        modalities={
            modality: replace(own, geometry=replace(own.geometry, **lost))
            for modality, own in model.modalities.items()
        },
    )
    assert golden.differences(expected, golden.read_demo_pair(engine, wrong))


def test_a_mask_in_the_wrong_place_would_be_noticed(expected: list[dict[str, Any]]) -> None:
    shifted = copy.deepcopy(expected)
    finding = next(f for image in shifted for f in image["findings"])
    size = tuple(finding["mask"]["size"])
    mask = decode(Rle(size, finding["mask"]["counts"]))
    finding["mask"]["counts"] = encode(np.roll(mask, 4, axis=1), 0, 0, size).counts
    (line,) = golden.differences(expected, shifted)
    assert "px off" in line


def specs(values: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
    kinds = {value.name: value.type.tensor_type for value in values}
    return {
        name: (
            helper.tensor_dtype_to_np_dtype(kind.elem_type).name,
            tuple(d.dim_value for d in kind.shape.dim),
        )
        for name, kind in kinds.items()
    }
