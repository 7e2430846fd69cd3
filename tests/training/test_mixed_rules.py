"""Every rule about a mixed graph can be broken, and says which node or constant broke it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from test_mixed import chain

from mammosono.tools.export.mixed import to_mixed
from mammosono.tools.export.mixed_rules import violations

FP32 = ("second",)


def test_an_honest_one_breaks_none() -> None:
    assert violations(to_mixed(chain(last="Relu"), FP32), chain(last="Relu"), FP32) == []


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
    assert violations(mixed, single, fp32) == []
    edit(mixed)
    found = violations(mixed, single, fp32)
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
    assert violations(to_mixed(chain(), made_with), chain(), FP32) == [said]


def test_a_node_that_mixes_types_is_found_where_onnx_itself_says_nothing() -> None:
    mixed = to_mixed(chain(), FP32)
    constant(mixed, "up.fp16", np.float32([2**-12]))
    assert violations(mixed, chain(), FP32) == ["node first is not computed in FP16"]


def test_a_stale_type_of_an_inner_tensor_is_found() -> None:
    mixed = to_mixed(chain(), FP32)
    mixed.graph.value_info.append(
        helper.make_tensor_value_info("a.fp16", TensorProto.FLOAT, [1, 1, 2, 2])
    )
    assert any("cannot be inferred" in line for line in violations(mixed, chain(), FP32))


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
