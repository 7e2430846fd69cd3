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
from mammosono.appliance.pipeline.denoise.network import STAGE as DENOISER
from mammosono.appliance.pipeline.model import SHIPPED, BundleModel, open_model
from mammosono.appliance.values import Modality, Rle
from mammosono.engines.bundle import Bundle, open_bundle
from mammosono.engines.interface import Engine
from mammosono.engines.options import EngineOptions
from mammosono.tools.export.parity import BOUND
from mammosono.tools.export.rules import violations

MAY_BE_SHIPPED = {"BUSI", "CBIS-DDSM"}
"""Sources whose licence lets weights that saw them be given away."""
STAGES = ("trunk", "heads", "masks")


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


def test_the_bundle_has_the_detectors_stages_and_their_hashes_are_right(bundle: Bundle) -> None:
    assert set(bundle.stages) - {DENOISER} == set(STAGES)
    for stage in bundle.stages.values():
        assert hashlib.sha256(Path(stage.path).read_bytes()).hexdigest() == stage.sha256


@pytest.mark.parametrize("stage", STAGES)
def test_a_shipped_stage_breaks_no_rule_of_tensorrt_8_2(bundle: Bundle, stage: str) -> None:
    assert violations(onnx.load(bundle.stages[stage].path)) == []


@pytest.mark.parametrize("stage", STAGES)
def test_the_manifest_says_what_a_shipped_stage_takes_and_gives(bundle: Bundle, stage: str) -> None:
    graph, said = onnx.load(bundle.stages[stage].path).graph, bundle.stages[stage]
    assert specs(graph.input) == said.inputs
    assert specs(graph.output) == said.outputs


def test_the_shapes_are_those_of_the_manifests_geometry(
    bundle: Bundle, opened: tuple[Engine, BundleModel]
) -> None:
    geometry = opened[1].of(Modality.MG).geometry
    assert opened[1].of(Modality.US).geometry == geometry
    trunk, heads, masks = (bundle.stages[name] for name in STAGES)
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
    assert len(training["parity"]) == 8
    assert max(training["parity"].values()) < BOUND
    for split in ("val", "test"):
        groups = training["metrics"][split]["groups"]
        assert sum(groups[m]["n"] for m in ("MG", "US")) == training["images"][split]
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
    geometry = model.of(Modality.MG).geometry
    wrong = model.everywhere(geometry=replace(geometry, **lost))
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
