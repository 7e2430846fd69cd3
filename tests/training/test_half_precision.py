"""What is added to a bundle for a device builder: whole, vouched for, and the same each time."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tiny_bundle import drawn_bundle

from mammosono.engines.bundle import Bundle, open_bundle, read_file, write_manifest
from mammosono.engines.interface import Tensor
from mammosono.engines.onnx_engine import OnnxEngine
from mammosono.engines.trt.parity import read_tensors, try_plans
from mammosono.tools.export.half_precision import CASES, add_half_precision
from mammosono.tools.export.mixed import fp32_nodes

STAGES = ("trunk", "heads", "masks")
INPUTS = {"trunk": {"image"}, "heads": {"rows", "weights"}, "masks": {"rows", "weights"}}
OUTPUTS = {
    "trunk": {"objectness", "deltas", "image_classes"},
    "heads": {"classes", "box_deltas"},
    "masks": {"masks"},
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_bundle(tmp_path_factory.mktemp("plain") / "tiny")


@pytest.fixture(scope="module")
def bundle(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("added") / "tiny"
    shutil.copytree(plain, folder)
    add_half_precision(folder)
    return open_bundle(folder)


@pytest.fixture(scope="module")
def tensors(bundle: Bundle) -> Mapping[str, NDArray[Any]]:
    return read_tensors(bundle)


def test_every_stage_has_its_nodes_and_its_mixed_graph_where_that_saves_anything(
    bundle: Bundle,
) -> None:
    for name, stage in bundle.stages.items():
        single = onnx.load(stage.path)
        assert list(stage.fp32) == fp32_nodes(name, single)
        stored = Path(bundle.folder) / f"{name}.mixed.onnx"
        if name == "heads":  # its weights are those of the fully connected layers, held at FP32
            assert not stage.variants
            assert not stored.exists()
            continue
        mixed = onnx.load_from_string(read_file(stage.variants["mixed"]))
        assert stage.variants["mixed"].path == str(stored)
        assert mixed.ByteSize() < 0.9 * single.ByteSize()


def test_all_else_of_the_bundle_is_as_it_was(plain: Path, bundle: Bundle) -> None:
    for file in plain.iterdir():
        if file.name != "manifest.json":
            assert file.read_bytes() == (Path(bundle.folder) / file.name).read_bytes()
    left = copy.deepcopy(dict(bundle.manifest))
    del left["parity"]
    for entry in left["stages"].values():
        del entry["fp32"]
        entry.pop("mixed", None)
    assert left == json.loads((plain / "manifest.json").read_text())


def test_adding_twice_gives_the_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(bundle.folder, folder)
    add_half_precision(folder)
    assert open_bundle(folder).sha256 == bundle.sha256
    assert {f.name for f in folder.iterdir()} == {f.name for f in Path(bundle.folder).iterdir()}


def test_the_stored_tensors_are_those_that_a_device_cannot_make_itself(
    bundle: Bundle, tensors: Mapping[str, NDArray[Any]]
) -> None:
    wanted = {
        f"{case}/{stage}/{side}/{name}"
        for case in ("mg", "us")
        for side, of in (("in", INPUTS), ("out", OUTPUTS))
        for stage, names in of.items()
        for name in names
    }
    assert set(tensors) == wanted
    assert set(CASES) == {"mg", "us"}
    for name, value in tensors.items():
        _, stage, side, tensor = name.split("/")
        specs = bundle.stages[stage].inputs if side == "in" else bundle.stages[stage].outputs
        dtype, shape = specs[tensor]
        assert value.shape == shape
        assert value.dtype == (np.int32 if dtype == "int32" else np.float16)


def test_the_fp32_graphs_answer_exactly_this_to_exactly_that(
    bundle: Bundle, tensors: Mapping[str, NDArray[Any]]
) -> None:
    """Every answer, rounded to how it is stored, from the inputs as they are stored."""
    engine = OnnxEngine(bundle, threads=1)
    for case in CASES:
        kept: dict[str, Tensor] = {}
        for stage in STAGES:
            feeds: dict[str, Tensor] = {
                name: tensors[f"{case}/{stage}/in/{name}"].astype(dtype)
                for name, (dtype, _) in bundle.stages[stage].inputs.items()
                if f"{case}/{stage}/in/{name}" in tensors
            }
            needed = set(bundle.stages[stage].inputs) - set(feeds)
            feeds.update({name: kept[name] for name in needed})
            outputs = engine.run(stage, feeds, ["pyramid"] if stage == "trunk" else [])
            kept.update({"pyramid": outputs["pyramid"]} if stage == "trunk" else {})
            for name in OUTPUTS[stage]:
                got = np.asarray(outputs[name])
                stored = tensors[f"{case}/{stage}/out/{name}"].astype(np.float32)
                np.testing.assert_allclose(got, stored, rtol=1e-3, atol=1e-5)
    engine.close()


def test_the_devices_own_try_passes_on_the_fp32_graphs_and_fails_on_other_answers(
    bundle: Bundle, tensors: Mapping[str, NDArray[Any]]
) -> None:
    engine = OnnxEngine(bundle, threads=1)
    assert [v.reason for v in try_plans(engine, bundle, tensors, lambda _: None)] == ["", "", ""]
    wrong = {name: v + np.float16(0.5) if "/out/" in name else v for name, v in tensors.items()}
    assert all(v.reason for v in try_plans(engine, bundle, wrong, lambda _: None))
    engine.close()


def test_a_bundle_that_is_refused_stays_what_it_was(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wild"
    shutil.copytree(plain, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["normalisation"]["std"] = 1e-7  # canvases that float16 does not hold
    write_manifest(folder, manifest)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(ValueError, match="mg/trunk/in/image does not fit into float16"):
        add_half_precision(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
