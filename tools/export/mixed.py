"""Mixed-precision graphs: lowered to FP16 but for named nodes, for a TensorRT that takes its
precision from the graph's types alone; and what such a graph computes where FP16 is really FP16.
Which nodes are named, and why: docs/adr/0010-half-precision.md.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
# fmt: off
FP32_LAYERS = {
    "trunk": ("/trunk/image_head/", "/trunk/rpn/objectness", "/trunk/rpn/deltas", "/Softmax"),
    "heads": ("/box_head/", "/Softmax"),
    "masks": ("/mask_head/body/body.12/", "/Sigmoid"),
    "kind": ("/last/", "/Softmax"),
}
"""By stage, how the names of the nodes begin that must be computed in single precision."""
EXACT = frozenset({
    "Concat", "Flatten", "Gather", "MaxPool", "ReduceMax", "Relu", "Reshape", "Resize", "Slice",
    "Squeeze", "Transpose", "Unsqueeze",
})
"""Operators that hand values on as they are (Resize is nearest): exact in any type."""
# fmt: on
DATA_INPUTS = {"Resize": 1}
"""By operator, how many of its inputs are data; the others keep their type (Resize's scales)."""


def fp32_nodes(stage: str, model: ModelProto) -> list[str]:
    """Names of the stage's nodes that must be computed in single precision, in graph order.

    Raises ValueError if a layer is not in the graph: renamed, it would quietly lose its precision.
    """
    layers = FP32_LAYERS.get(stage, ())
    names = [node.name for node in model.graph.node if node.op_type not in EXACT]
    for layer in layers:
        if not any(name.startswith(layer) for name in names):
            raise ValueError(f"stage {stage} has no node {layer}...; bring FP32_LAYERS up to date")
    return [name for name in names if name.startswith(layers)]


def to_mixed(model: ModelProto, fp32: Collection[str]) -> ModelProto:
    """The same graph in FP16, with the nodes named in `fp32` and all inputs and outputs in FP32.

    Constants have the type of the nodes that read them; a Cast stands wherever two types meet,
    once for each tensor. Exact operators take the type that they are given.
    Raises ValueError if a constant does not fit into FP16, onnx.checker.ValidationError or
    onnx.shape_inference.InferenceError if the result is not well formed.
    """
    lowering = _Lowering(model, frozenset(fp32))
    for node in model.graph.node:
        lowering.add(node)
    for value in model.graph.output:
        lowering.read(value.name, FLOAT)
    mixed = ModelProto()
    mixed.CopyFrom(model)
    del mixed.graph.value_info[:], mixed.graph.node[:], mixed.graph.initializer[:]
    mixed.graph.node.extend(lowering.nodes)
    mixed.graph.initializer.extend(lowering.constants.values())
    onnx.checker.check_model(mixed, full_check=True)
    return mixed


def half_tensors(model: ModelProto, fp32: Collection[str]) -> frozenset[str]:
    """Names of the FP32 graph's tensors that `to_mixed` has in FP16, inputs among them."""
    produced = {name for node in to_mixed(model, fp32).graph.node for name in node.output}
    floats = _floats(model)
    return frozenset(name for name in floats if _named(name, HALF) in produced)


class _Lowering:
    """The new graph as it grows. A tensor keeps its name in FP32 and has another in FP16."""

    def __init__(self, model: ModelProto, fp32: frozenset[str]) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self._fp32 = fp32
        self._given = {tensor.name: tensor for tensor in model.graph.initializer}
        self._floats = _floats(model)
        self._types: dict[str, int] = {}  # what each node's output is computed in
        self._there = {value.name for value in model.graph.input}

    def add(self, node: NodeProto) -> None:
        """Append the node, its float inputs and outputs in the type that it computes in."""
        data = DATA_INPUTS.get(node.op_type, len(node.input))
        kind = FLOAT if node.name in self._fp32 else HALF
        if node.op_type in EXACT and any(self._types.get(n) == FLOAT for n in node.input[:data]):
            kind = FLOAT
        inputs = [self.read(name, kind) for name in node.input[:data]]
        inputs += [self.read(name, FLOAT) for name in node.input[data:]]
        lowered = NodeProto()
        lowered.CopyFrom(node)
        del lowered.input[:], lowered.output[:]
        lowered.input.extend(inputs)
        for name in node.output:
            self._types[name] = kind
            lowered.output.append(_named(name, kind))
            self._there.add(_named(name, kind))
        self.nodes.append(lowered)

    def read(self, name: str, kind: int) -> str:
        """The tensor's name in that type; its constant or Cast comes into being if need be."""
        if name not in self._floats:
            if name in self._given:
                self.constants[name] = self._given[name]
            return name
        wanted = _named(name, kind)
        if name in self._given:
            self.constants[wanted] = _constant(self._given[name], kind)
        elif wanted not in self._there:
            source = _named(name, self._types.get(name, FLOAT))
            cast = helper.make_node("Cast", [source], [wanted], f"Cast_{wanted}", to=kind)
            self.nodes.append(cast)
            self._there.add(wanted)
        return wanted


def _named(name: str, kind: int) -> str:
    return name if kind == FLOAT else f"{name}.fp16"


def _constant(tensor: TensorProto, kind: int) -> TensorProto:
    if kind == FLOAT:
        return tensor
    with np.errstate(over="ignore"):
        half = numpy_helper.to_array(tensor).astype(np.float16)
    if not np.isfinite(half).all():
        raise ValueError(f"constant {tensor.name} does not fit into FP16; hold its node at FP32")
    return numpy_helper.from_array(half, _named(tensor.name, HALF))


def _floats(model: ModelProto) -> frozenset[str]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    flowing = (*graph.input, *graph.value_info, *graph.output)
    names = {v.name for v in flowing if v.type.tensor_type.elem_type == FLOAT}
    return frozenset(names | {t.name for t in graph.initializer if t.data_type == FLOAT})


_SPLIT = "rounding.split"


def rounded(mixed: ModelProto) -> ModelProto:
    """A graph in FP32 alone that computes what `mixed` does with FP16 storage, FP32 inside a node.

    On a CPU onnxruntime computes FP16 nodes in FP32 and removes the casts between them, at every
    level of optimisation: of half precision only the constants' rounding is left. So the rounding
    is written as arithmetic that no optimiser removes.

    Rounding to the nearest 11 bits by Veltkamp's splitting: t = (2^13 + 1) x, y = t - (t - x).
    FP16's smallest numbers (under 6e-5) keep more bits here, and its largest do not overflow.
    """
    graph = onnx.shape_inference.infer_shapes(mixed, strict_mode=True).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)}
    nodes: list[NodeProto] = []
    for node in mixed.graph.node:
        copy = NodeProto()
        copy.CopyFrom(node)
        if node.op_type == "Cast" and types[node.output[0]] in (FLOAT, HALF):
            copy = helper.make_node("Identity", node.input, node.output, node.name)
        nodes.append(copy)
        if types[node.output[0]] == HALF and node.op_type not in EXACT:
            name = node.output[0]
            copy.output[0] = f"{name}.exact"
            nodes += _rounding(copy.output[0], name)
    plain = ModelProto()
    plain.CopyFrom(mixed)
    del plain.graph.node[:], plain.graph.initializer[:]
    plain.graph.node.extend(nodes)
    plain.graph.initializer.extend(_single(tensor) for tensor in mixed.graph.initializer)
    split = numpy_helper.from_array(np.float32(2**13 + 1), _SPLIT)
    plain.graph.initializer.append(split)
    onnx.checker.check_model(plain, full_check=True)
    return plain


def _rounding(source: str, result: str) -> list[NodeProto]:
    big, rest = f"{result}.big", f"{result}.rest"
    return [
        helper.make_node("Mul", [source, _SPLIT], [big], big),
        helper.make_node("Sub", [big, source], [rest], rest),
        helper.make_node("Sub", [big, rest], [result], f"{result}.round"),
    ]


def _single(tensor: TensorProto) -> TensorProto:
    if tensor.data_type != HALF:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
