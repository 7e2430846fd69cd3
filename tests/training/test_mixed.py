"""Mixed graphs: FP16 but where it would harm; every rule about them can be broken, and is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from tiny_bundle import drawn_network, export_stages

from mammosono.tools.export.mixed import FP32_LAYERS, fp32_nodes, half_tensors, rounded, to_mixed
from mammosono.tools.export.rules import mixed_violations

STAGES = ("trunk", "heads", "masks")


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, ModelProto]:
    folder = tmp_path_factory.mktemp("tiny")
    export_stages(drawn_network(), folder)
    return {stage: onnx.load(folder / f"{stage}.onnx") for stage in STAGES}


@pytest.fixture(scope="module")
def mixed(graphs: Mapping[str, ModelProto]) -> Mapping[str, ModelProto]:
    return {name: to_mixed(graph, fp32_nodes(name, graph)) for name, graph in graphs.items()}


@pytest.mark.parametrize("stage", STAGES)
def test_whatever_answers_a_host_is_computed_in_single_precision(
    stage: str, graphs: Mapping[str, ModelProto]
) -> None:
    """The pyramid alone stays on the device; it is what FP16 convolutions made."""
    graph, fp32 = graphs[stage].graph, fp32_nodes(stage, graphs[stage])
    makers = {name: node for node in graph.node for name in node.output}
    for output in graph.output:
        weighted = nearest_weighted(output.name, makers)
        assert weighted
        assert {name in fp32 for name in weighted} == {output.name != "pyramid"}, output.name


def nearest_weighted(name: str, makers: Mapping[str, NodeProto]) -> set[str]:
    """Names of the nearest nodes with weights that the tensor was made by."""
    node = makers.get(name)
    if node is None:
        return set()
    if node.op_type in ("Conv", "ConvTranspose", "Gemm"):
        return {node.name}
    return {found for source in node.input for found in nearest_weighted(source, makers)}


def test_every_fully_connected_layer_and_every_probability_is_at_fp32(
    graphs: Mapping[str, ModelProto],
) -> None:
    for stage, graph in graphs.items():
        sensitive = {
            n.name for n in graph.graph.node if n.op_type in ("Gemm", "Softmax", "Sigmoid")
        }
        assert sensitive
        assert sensitive <= set(fp32_nodes(stage, graph))


@pytest.mark.parametrize("stage", STAGES)
def test_most_nodes_with_weights_in_trunk_and_masks_are_at_fp16(
    stage: str, graphs: Mapping[str, ModelProto]
) -> None:
    weighted = [n.name for n in graphs[stage].graph.node if n.op_type in ("Conv", "ConvTranspose")]
    held = set(fp32_nodes(stage, graphs[stage])) & set(weighted)
    assert len(held) <= len(weighted) / 2


@pytest.mark.parametrize(
    ("stage", "layer"),
    [(stage, layer) for stage in STAGES for layer in FP32_LAYERS[stage]],
)
def test_a_layer_that_was_renamed_is_refused_and_not_quietly_unpinned(
    stage: str, layer: str, graphs: Mapping[str, ModelProto]
) -> None:
    renamed = ModelProto()
    renamed.CopyFrom(graphs[stage])
    for node in renamed.graph.node:
        if node.name.startswith(layer):
            node.name = "other" + node.name
    with pytest.raises(ValueError, match=f"no node {layer}"):
        fp32_nodes(stage, renamed)


@pytest.mark.parametrize("stage", STAGES)
def test_a_mixed_graph_breaks_no_rule_of_its_own(
    stage: str, graphs: Mapping[str, ModelProto], mixed: Mapping[str, ModelProto]
) -> None:
    fp32 = fp32_nodes(stage, graphs[stage])
    assert mixed_violations(mixed[stage], graphs[stage], fp32) == []


@pytest.mark.parametrize("stage", STAGES)
def test_onnxruntime_loads_it_and_its_boundary_is_that_of_the_fp32_graph(
    stage: str, graphs: Mapping[str, ModelProto], mixed: Mapping[str, ModelProto]
) -> None:
    sessions = [
        onnxruntime.InferenceSession(graph[stage].SerializeToString(), quiet())
        for graph in (graphs, mixed)
    ]
    boundaries = [
        [(v.name, v.type, v.shape) for v in (*session.get_inputs(), *session.get_outputs())]
        for session in sessions
    ]
    assert boundaries[0] == boundaries[1]
    assert {kind for _, kind, _ in boundaries[1]} <= {"tensor(float)", "tensor(int32)"}


def test_constants_are_stored_in_the_type_of_the_node_that_reads_them() -> None:
    mixed = to_mixed(chain(), ["second"])
    kinds = {tensor.name: tensor.data_type for tensor in mixed.graph.initializer}
    assert kinds == {
        "w.fp16": TensorProto.FLOAT16, "up.fp16": TensorProto.FLOAT16,
        "w": TensorProto.FLOAT, "down": TensorProto.FLOAT,
    }  # fmt: skip


def test_a_cast_stands_where_types_meet_and_once_for_each_tensor() -> None:
    two = chain()
    two.graph.node.append(helper.make_node("Relu", ["x"], ["z"], "again"))
    two.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 1, 2, 2]))
    mixed = to_mixed(two, ["second"])
    casts = [(n.input[0], n.output[0]) for n in mixed.graph.node if n.op_type == "Cast"]
    assert casts == [("x", "x.fp16"), ("a.fp16", "a"), ("z.fp16", "z")]


def test_an_operator_that_only_moves_values_takes_the_type_it_is_given() -> None:
    model = chain(last="Relu")
    assert "y" in half_tensors(model, ["first"]) - half_tensors(model, ["first", "second"])
    at_fp32 = to_mixed(model, ["first", "second"])
    assert [n.op_type for n in at_fp32.graph.node] == ["Conv", "Conv", "Relu"]


def test_a_constant_beyond_fp16_is_refused_by_name_unless_its_node_is_held() -> None:
    model = chain(up=7e4)
    with pytest.raises(ValueError, match="constant up does not fit into FP16"):
        to_mixed(model, ["second"])
    assert to_mixed(model, ["first"])


def test_rounding_computes_what_fp16_storage_would() -> None:
    """1 + 2^-12 is 1 in FP16; in FP32 the rest would be left."""
    x = np.ones((1, 1, 2, 2), np.float32)
    assert answer(chain(), x) == 2**-12
    assert answer(rounded(to_mixed(chain(), [])), x) == 0
    assert answer(rounded(to_mixed(chain(), ["first", "second"])), x) == 2**-12


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.floats(2**-14, 60000, width=32) | st.floats(-60000, -(2**-14), width=32),
        min_size=4, max_size=4,
    )
)  # fmt: skip
def test_rounding_is_to_the_nearest_number_of_fp16(values: list[float]) -> None:
    x = np.array(values, np.float32).reshape(1, 1, 2, 2)
    pooled = to_mixed(chain(up=0, down=0), [])
    got = session(rounded(pooled)).run(None, {"x": x})[0]
    np.testing.assert_array_equal(got, x.astype(np.float16).astype(np.float32))


def chain(up: float = 2**-12, down: float = -1, last: str = "Identity") -> ModelProto:
    """x [1, 1, 2, 2] -> x + up -> + down -> y, by two 1x1 convolutions of one weight."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "up"], ["a"], "first"),
        helper.make_node(
            "Conv", ["a", "w", "down"], ["y" if last == "Identity" else "b"], "second"
        ),
    ]
    if last != "Identity":
        nodes.append(helper.make_node(last, ["b"], ["y"], "last"))
    constants = {"w": np.ones((1, 1, 1, 1)), "up": np.array([up]), "down": np.array([down])}
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 2, 2])],
        [numpy_helper.from_array(v.astype(np.float32), n) for n, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def session(model: ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), quiet())


def answer(model: ModelProto, x: np.ndarray) -> float:
    (y,) = session(model).run(None, {"x": x})
    assert (y == y.flat[0]).all()
    return float(y.flat[0])


def quiet() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return options


FP32 = ("second",)


def test_an_honest_one_breaks_none() -> None:
    assert mixed_violations(to_mixed(chain(last="Relu"), FP32), chain(last="Relu"), FP32) == []


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda m: setattr(m, "ir_version", 9), "IR version 9"),
        (lambda m: setattr(node(m, "first"), "name", ""), "1 nodes without a name"),
        (lambda m: setattr(node(m, "last"), "op_type", "HardSwish"), "HardSwish"),
        (
            lambda m: m.graph.value_info.append(
                helper.make_tensor_value_info("a.fp16", TensorProto.FLOAT16, [1, 1, 2, 2])
            ),
            "types of inner tensors are written down",
        ),
        (lambda m: half_boundary(m), "its outputs are not those of the FP32 graph"),
        (lambda m: setattr(node(m, "last"), "op_type", "Sigmoid"), "node last is not the FP32"),
        (lambda m: m.graph.node.remove(node(m, "last")), "is not the FP32 graph's"),
        (lambda m: rewired(m), "node second reads x in the place of a"),
        (lambda m: constant(m, "up.fp16", np.float16([3])), "constant up.fp16 is not the FP32"),
        (lambda m: constant(m, "down", np.float32([-2])), "constant down is not the FP32"),
        (
            lambda m: setattr(node(m, "last"), "name", "other"),
            "node last of fp32 is not in the graph",
        ),
    ],
)
def test_a_broken_rule_is_named(edit: Callable[[ModelProto], object], said: str) -> None:
    single, fp32 = chain(last="Relu"), ("second", "last")
    mixed = to_mixed(single, fp32)
    assert mixed_violations(mixed, single, fp32) == []
    edit(mixed)
    found = mixed_violations(mixed, single, fp32)
    assert any(said in line for line in found), found


@pytest.mark.parametrize(
    ("made_with", "said"),
    [
        ((), "node second is not computed in FP32"),
        (("first", "second"), "node first is not computed in FP16"),
    ],
)
def test_a_node_in_another_type_than_the_manifest_says_is_named(
    made_with: tuple[str, ...], said: str
) -> None:
    assert mixed_violations(to_mixed(chain(), made_with), chain(), FP32) == [said]


def test_a_node_that_mixes_types_is_found_where_onnx_itself_says_nothing() -> None:
    mixed = to_mixed(chain(), FP32)
    constant(mixed, "up.fp16", np.float32([2**-12]))
    assert mixed_violations(mixed, chain(), FP32) == ["node first is not computed in FP16"]


def test_a_stale_type_of_an_inner_tensor_is_found() -> None:
    mixed = to_mixed(chain(), FP32)
    mixed.graph.value_info.append(
        helper.make_tensor_value_info("a.fp16", TensorProto.FLOAT, [1, 1, 2, 2])
    )
    assert any("cannot be inferred" in line for line in mixed_violations(mixed, chain(), FP32))


def node(model: ModelProto, name: str) -> NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def constant(model: ModelProto, name: str, value: np.ndarray) -> None:
    old = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    old.CopyFrom(numpy_helper.from_array(value, name))


def half_boundary(model: ModelProto) -> None:
    """The last node's answer given as FP16."""
    last = node(model, "last")
    last.output[0] = "y32"
    model.graph.node.append(
        helper.make_node("Cast", ["y32"], ["y"], "Cast_y", to=TensorProto.FLOAT16)
    )
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def rewired(model: ModelProto) -> None:
    node(model, "second").input[0] = "x"
