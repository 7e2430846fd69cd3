"""check-graphs: what it says of an honest bundle, and that each check fails where it must."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import Result
from onnx import ModelProto, helper, numpy_helper
from tiny_bundle import drawn_bundle
from typer.testing import CliRunner

from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.appliance.values import Modality
from mammosono.engines.bundle import open_bundle
from mammosono.tools.cli import app
from mammosono.tools.data.index import read_index
from mammosono.tools.export import check, rtx
from mammosono.tools.export.half_precision import add_half_precision
from mammosono.tools.export.mixed import to_mixed
from mammosono.tools.export.subject import Check, Subject

EVERYWHERE = [
    "TensorRT 8.2 rules",
    "mixed graph rules",
    "FP16 range",
    "FP16 reads alike",
    "stored tensors in FP32",
    "stored tensors in FP16",
    "TensorRT-RTX build",
]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network's bundle with all that a device builder needs. Not to be written to."""
    folder = drawn_bundle(tmp_path_factory.mktemp("honest") / "tiny")
    add_half_precision(folder)
    return folder


@pytest.fixture
def folder(honest: Path, tmp_path: Path) -> Path:
    """A copy of it to break."""
    shutil.copytree(honest, tmp_path / "tiny")
    return tmp_path / "tiny"


def run(*arguments: object) -> Result:
    wide = {"COLUMNS": "240", "TERMINAL_WIDTH": "240", "NO_COLOR": "1"}
    return CliRunner().invoke(app, ["check-graphs", *(str(one) for one in arguments)], env=wide)


def failed(found: list[Check]) -> list[Check]:
    return [check for check in found if check.state == "fail"]


def test_the_shipped_bundle_passes_every_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtx, "runtime", lambda: None)  # a test of its own, below
    result = run(SHIPPED, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["schema"], said["ok"]) == (1, True)
    assert list(dict.fromkeys(entry["what"] for entry in said["checks"])) == EVERYWHERE
    states = {entry["what"]: entry["state"] for entry in said["checks"]}
    assert {what for what, state in states.items() if state != "ok"} == {EVERYWHERE[-1]}
    stages = {entry["stage"] for entry in said["checks"] if entry["what"] == "FP16 range"}
    assert stages == set(open_bundle(SHIPPED).stages)


def test_the_shipped_bundle_stays_under_60_mb() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 60e6


@pytest.mark.parametrize("file", sorted(file.name for file in SHIPPED.glob("*.onnx")))
def test_tensorrt_rtx_builds_the_shipped_graph(file: str) -> None:
    module = rtx.runtime()
    if module is None:
        pytest.skip("tensorrt_rtx is not installed: pip install 'mammosono[rtx]'")
    assert rtx.Builder(module).refusals((SHIPPED / file).read_bytes()) == []


def test_tensorrt_rtx_names_the_node_that_it_refuses() -> None:
    module = rtx.runtime()
    if module is None:
        pytest.skip("tensorrt_rtx is not installed: pip install 'mammosono[rtx]'")
    model = onnx.load(next(SHIPPED.glob("*heads.onnx")))
    node = next(n for n in model.graph.node if n.op_type == "Softmax")
    node.op_type = "Bernoulli"
    (line, *_) = rtx.Builder(module).refusals(model.SerializeToString())
    assert "Bernoulli" in line or node.name in line


def test_a_bundle_exported_before_half_precision_skips_what_it_cannot_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtx, "runtime", lambda: None)
    old = drawn_bundle(tmp_path / "old")
    found = check.check_graphs([old], check.phantoms())
    skipped = {check.what: check.said for check in found if check.state == "skipped"}
    assert set(skipped) == {
        "mixed graph rules", "FP16 reads alike", "stored tensors", "TensorRT-RTX build",
    }  # fmt: skip
    remedy = "mammosono-tools half-precision BUNDLE"
    assert {what for what, said in skipped.items() if remedy in said[0]} == {
        what for what in skipped if not what.startswith("TensorRT-RTX")
    }
    assert check.passed(found)


def test_a_failure_is_exit_status_1_and_a_line_that_names_the_node(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "KINDS", (check.tensorrt_rules,))
    rewrite(folder, "masks", lambda m: setattr(m.graph.node[-1], "op_type", "HardSwish"))
    result = run(folder)
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if "FAIL" in line]
    assert "masks" in line
    assert "HardSwish (/Sigmoid)" in line


def test_all_shipped_bundles_are_checked_if_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "KINDS", (check.tensorrt_rules,))
    result = run("--json")
    assert result.exit_code == 0
    assert SHIPPED in check.shipped()
    assert len(json.loads(result.stdout)["checks"]) == sum(
        len(open_bundle(folder).stages) for folder in check.shipped()
    )


def test_a_bundle_that_is_damaged_is_refused_in_one_line(folder: Path) -> None:
    (folder / "masks.mixed.onnx").write_bytes(b"damaged")
    result = run(folder)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("error: masks.mixed.onnx: its sha256")


def test_images_of_an_index_are_taken_of_both_modalities(phantom_index: Path) -> None:
    records = read_index(phantom_index)
    for count in (2, 5, 8):
        images = check.some_images(records, count)
        assert len(images) == count
        assert {image.modality for image in images} == set(Modality)
        assert len({image.sha256 for image in images}) == count
    with pytest.raises(ValueError, match="names no image"):
        check.some_images((), 8)


def test_the_index_given_is_what_the_graphs_are_tried_on(
    folder: Path, phantom_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "KINDS", (check.fp16_reading,))
    result = run(folder, "--data", phantom_index, "--images", 3, "--json")
    (entry,) = json.loads(result.stdout)["checks"]
    assert entry["said"][0].startswith("3 images, ")


def test_a_mixed_graph_whose_types_are_not_the_manifests_fails(folder: Path) -> None:
    single = onnx.load(folder / "masks.onnx")
    rewrite(folder, "masks", lambda m: m.CopyFrom(to_mixed(single, [])), mixed=True)
    found = failed(list(check.mixed_graph_rules(opened(folder))))
    assert [check.stage for check in found] == ["masks"]
    assert "node /Sigmoid is not computed in FP32" in found[0].said


def test_a_stage_whose_mixed_graph_would_save_nothing_needs_none(folder: Path) -> None:
    found = {each.stage: each for each in check.mixed_graph_rules(opened(folder))}
    assert not (folder / "heads.mixed.onnx").exists()
    assert found["heads"].state == "ok"
    assert "half precision would save nothing" in found["heads"].said[0]


def test_a_stage_alone_without_a_mixed_graph_fails(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["stages"]["masks"]["mixed"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (found,) = failed(list(check.mixed_graph_rules(opened(folder))))
    assert found.stage == "masks"


def test_a_number_near_the_end_of_fp16_fails_with_its_node(folder: Path) -> None:
    name = "/mask_head/body/body.0/Conv"
    rewrite(folder, "masks", lambda m: set_bias(m, name, 4e4))
    found = failed(list(check.fp16_range(opened(folder))))
    assert [check.stage for check in found] == ["masks"]
    assert found[0].said[0].startswith(f"node {name} (Conv) reaches 4e+04, more than 3e+04")


def test_a_number_beyond_it_is_no_fault_in_a_node_that_is_held_at_fp32(folder: Path) -> None:
    rewrite(folder, "trunk", lambda m: set_bias(m, "/trunk/image_head/linear/Gemm", 9e4))
    assert failed(list(check.fp16_range(opened(folder)))) == []


def test_a_stage_that_no_image_reached_is_not_called_good(folder: Path) -> None:
    rewrite(folder, "heads", lambda m: set_bias(m, "/box_head/deltas/Gemm", -9e4))
    (found,) = failed(list(check.fp16_range(opened(folder))))
    assert found.stage == "masks"
    assert "no image reached this stage" in found.said[0]


def test_mixed_graphs_that_read_otherwise_fail(folder: Path) -> None:
    rewrite(
        folder, "trunk", lambda m: set_bias(m, "/trunk/image_head/linear/Gemm", 0.5), mixed=True
    )
    (found,) = check.fp16_reading(opened(folder))
    assert found.state == "fail"
    assert any("image's score is off by" in line for line in found.said)


def test_a_mixed_graph_that_onnxruntime_refuses_fails(folder: Path) -> None:
    def break_types(model: ModelProto) -> None:
        casts = [node for node in model.graph.node if node.op_type == "Cast"]
        casts[-1].attribute[0].CopyFrom(helper.make_attribute("to", onnx.TensorProto.FLOAT16))

    rewrite(folder, "masks", break_types, mixed=True)
    (found,) = check.fp16_reading(opened(folder))
    assert (found.state, "masks" in found.said[0]) == ("fail", True)


def test_stored_tensors_that_are_not_the_graphs_answers_fail(folder: Path) -> None:
    with np.load(folder / "parity.npz") as archive:
        tensors = {name: archive[name] for name in archive.files}
    tensors["us/heads/out/classes"] += np.float16(0.25)
    np.savez(folder / "parity.npz", **tensors)
    rehash(folder)
    found = failed(list(check.stored_tensors(opened(folder))))
    assert [check.what for check in found] == ["stored tensors in FP32", "stored tensors in FP16"]
    assert {check.stage for check in found} == {"heads"}


def opened(folder: Path) -> Subject:
    return Subject.open(folder, check.phantoms())


def rewrite(
    folder: Path, stage: str, edit: Callable[[ModelProto], Any], mixed: bool = False
) -> None:
    """Edit a graph and make the manifest vouch for it."""
    file = folder / (f"{stage}.mixed.onnx" if mixed else f"{stage}.onnx")
    model = onnx.load(file)
    edit(model)
    file.write_bytes(model.SerializeToString())
    rehash(folder)


def rehash(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    stages = manifest["stages"].values()
    mixed = [stage["mixed"] for stage in stages if "mixed" in stage]
    for entry in (*stages, *mixed, manifest["parity"]):
        entry["sha256"] = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def set_bias(model: ModelProto, name: str, value: float) -> None:
    """Every bias of the node; its own constant from now on."""
    node = next(node for node in model.graph.node if node.name == name)
    old = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[2])
    bias = numpy_helper.to_array(old).copy()
    bias[0] = value  # of one channel: a softmax does not see what is added to all
    node.input[2] = f"{name}.bias"
    model.graph.initializer.append(numpy_helper.from_array(bias, node.input[2]))
