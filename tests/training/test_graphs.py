"""The exported graphs: what TensorRT 8.2 can hold, and exactly what the manifest says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tiny_bundle import drawn_network, graph_engine
from torch import Tensor, nn

from mammosono.engines.bundle import Bundle, open_bundle
from mammosono.tools.export.graphs import export_stage
from mammosono.tools.export.rules import violations
from mammosono.tools.network.stages import TrunkStage, stage_inputs

STAGES = ("trunk", "heads", "masks")
DENSE = tiny.geometry(pyramid_strides=(4, 8, 16, 16), rpn_strides=(8, 16, 16, 32))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("tiny")
    graph_engine(drawn_network(), folder).close()
    return open_bundle(folder)


def graph(bundle: Bundle, stage: str) -> ModelProto:
    return onnx.load(bundle.stages[stage].path)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_breaks_no_rule_of_tensorrt_8_2(bundle: Bundle, stage: str) -> None:
    assert violations(graph(bundle, stage)) == []


@pytest.mark.parametrize("stage", STAGES)
def test_the_manifest_says_what_the_graph_takes_and_gives(bundle: Bundle, stage: str) -> None:
    model, said = graph(bundle, stage), bundle.stages[stage]
    assert {v.name: spec(v) for v in model.graph.input} == said.inputs
    assert {v.name: spec(v) for v in model.graph.output} == said.outputs
    assert said.sha256 == hashlib.sha256(Path(said.path).read_bytes()).hexdigest()


def test_the_stages_have_the_shapes_that_the_geometry_asks_for(bundle: Bundle) -> None:
    geometry, stages = tiny.GEOMETRY, bundle.stages
    pyramid = ("float32", (geometry.pyramid_rows, tiny.NETWORK.fpn_channels))
    assert stages["trunk"].inputs == {"image": ("float32", (1, 1, *geometry.input_size))}
    assert stages["trunk"].outputs["pyramid"] == pyramid
    assert stages["trunk"].outputs["image_classes"] == ("float32", (1, 3))
    samples = (geometry.proposals, geometry.box_bins**2, geometry.samples_per_row)
    assert stages["heads"].inputs == {
        "pyramid": pyramid,
        "rows": ("int32", samples),
        "weights": ("float32", samples),
    }
    assert stages["heads"].outputs == {
        "classes": ("float32", (geometry.proposals, 3)),
        "box_deltas": ("float32", (geometry.proposals, 4)),
    }
    masks = (geometry.findings, geometry.mask_size, geometry.mask_size)
    assert stages["masks"].outputs == {"masks": ("float32", masks)}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"geometry": DENSE, "stage_strides": (1, 2, 2, 1)}, id="dilated"),
        pytest.param({"backbone": "resnet50", "stride_in_1x1": True}, id="bottleneck"),
        pytest.param({"backbone": "efficientnet_lite0"}, id="efficientnet"),
    ],
)
def test_every_backbone_gives_such_a_trunk(change: dict[str, Any], tmp_path: Path) -> None:
    config = tiny.network(**change)
    inputs = stage_inputs(config.geometry, config.fpn_channels)["trunk"]
    export_stage(TrunkStage(drawn_network(config)), inputs, tmp_path / "trunk.onnx")
    assert violations(onnx.load(tmp_path / "trunk.onnx")) == []


def test_a_shape_that_is_not_static_is_refused(tmp_path: Path) -> None:
    class Positive(nn.Module):
        inputs = ("x",)
        outputs = ("y",)

        def forward(self, x: Tensor) -> Tensor:
            return x[x > 0]

    with pytest.raises(ValueError, match="shape of y is not static"):
        export_stage(Positive(), {"x": torch.ones(3)}, tmp_path / "stage.onnx")


# The rules themselves: each must be able to fail.


def test_a_small_graph_in_order_breaks_no_rule() -> None:
    assert violations(small()) == []


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda m: setattr(m.opset_import[0], "version", 18), "opsets [('', 18)]"),
        (lambda m: m.opset_import.append(helper.make_opsetid("com.microsoft", 1)), "microsoft"),
        (lambda m: setattr(m, "ir_version", 9), "IR version 9"),
        (lambda m: setattr(named(m, "conv"), "name", ""), "1 nodes without a name"),
        (lambda m: setattr(named(m, "conv"), "name", "pick"), "2 nodes called pick"),
        (lambda m: setattr(named(m, "act"), "op_type", "HardSwish"), "ai.onnx.HardSwish"),
        (lambda m: setattr(named(m, "act"), "domain", "mine"), "mine.Relu"),
        (lambda m: free(m, "kernel"), "input 1 of Conv conv is no initializer"),
        (lambda m: free(m, "scales"), "input 2 of Resize twice is no initializer"),
        (lambda m: free(m, "high"), "input 2 of Clip cut is no initializer"),
        (lambda m: free(m, "shape"), "input 1 of Reshape flat is no initializer"),
        (lambda m: attribute(m, "twice", mode="cubic"), "mode cubic"),
        (lambda m: attribute(m, "twice", nearest_mode="ceil"), "asymmetric with floor"),
        (
            lambda m: attribute(m, "twice", coordinate_transformation_mode="tf_crop_and_resize"),
            "tf_crop_and_resize",
        ),
        (lambda m: constant(m, "high", np.float16(6)), "bound high is not FP32"),
        (lambda m: constant(m, "shape", np.array([2**31, -1])), "does not fit into INT32"),
        (lambda m: constant(m, "kernel", np.ones((1, 1, 3, 3))), "constant kernel is DOUBLE"),
        (lambda m: typed(m, "rows", TensorProto.INT64), "rows is INT64"),
        (lambda m: typed(m, "rows", TensorProto.INT64), "indices are not INT32"),
        (lambda m: dimension(m, "image", "batch"), "shape of image is not static"),
        (lambda m: dimension(m, "image", "batch"), "shape of d is not static"),
        (lambda m: constant(m, "shape", np.array([7, 1])), "shapes cannot be inferred"),
    ],
)
def test_a_broken_rule_is_named(edit: Callable[[ModelProto], object], said: str) -> None:
    model = small()
    edit(model)
    found = violations(model)
    assert any(said in line for line in found), found


def spec(value: onnx.ValueInfoProto) -> tuple[str, tuple[int, ...]]:
    kind = value.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
    return dtype.name, tuple(d.dim_value for d in kind.shape.dim)


def small() -> ModelProto:
    """image [1, 1, 4, 4] -> Conv, Relu, Clip, Resize to 8 x 8, Reshape [64, 1], Gather(rows)."""
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "kernel"], ["a"], "conv", pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"], "act"),
        node("Clip", ["b", "low", "high"], ["c"], "cut"),
        node(
            "Resize", ["c", "", "scales"], ["d"], "twice", mode="nearest",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        ),
        node("Reshape", ["d", "shape"], ["e"], "flat"),
        node("Gather", ["e", "rows"], ["y"], "pick"),
    ]  # fmt: skip
    constants = {
        "kernel": np.ones((1, 1, 3, 3), np.float32),
        "low": np.float32(0),
        "high": np.float32(6),
        "scales": np.float32([1, 1, 2, 2]),
        "shape": np.array([-1, 1]),
    }
    graph = helper.make_graph(
        nodes,
        "small",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 4, 4]),
            helper.make_tensor_value_info("rows", TensorProto.INT32, [5]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    opset = [helper.make_opsetid("", 13)]
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=opset, ir_version=7)
    )


def named(model: ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def attribute(model: ModelProto, name: str, **values: str) -> None:
    node = named(model, name)
    for key, value in values.items():
        old = next(a for a in node.attribute if a.name == key)
        old.CopyFrom(helper.make_attribute(key, value))


def constant(model: ModelProto, name: str, value: Any) -> None:
    """Replace a constant."""
    old = next(t for t in model.graph.initializer if t.name == name)
    old.CopyFrom(numpy_helper.from_array(np.asarray(value), name))


def free(model: ModelProto, name: str) -> None:
    """Make a graph input of a constant."""
    old = next(t for t in model.graph.initializer if t.name == name)
    model.graph.initializer.remove(old)
    model.graph.input.append(helper.make_tensor_value_info(name, old.data_type, list(old.dims)))


def typed(model: ModelProto, name: str, kind: int) -> None:
    value = next(v for v in model.graph.input if v.name == name)
    value.type.tensor_type.elem_type = kind


def dimension(model: ModelProto, name: str, symbol: str) -> None:
    """Leave the first dimension of an input open, and forget the shapes that followed from it."""
    value = next(v for v in model.graph.input if v.name == name)
    value.type.tensor_type.shape.dim[0].dim_param = symbol
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
