"""Floating-point operations of an ONNX graph, counted from its shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import onnx

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Flops:
    """Operations of one run; a multiply-add is two.

    depthwise: in convolutions of one input channel a group, which no CPU or GPU runs near its
    peak: they do a few operations for every number that they fetch. dense: all others.
    """

    dense: int
    depthwise: int

    @property
    def total(self) -> int:
        return self.dense + self.depthwise


def count_flops(model: onnx.ModelProto) -> Flops:
    """Count Conv, ConvTranspose, Gemm and MatMul nodes; biases and all else are not counted.

    Raises ValueError if the shape of a tensor that is needed cannot be inferred.
    """
    shapes = tensor_shapes(model)
    dense = depthwise = 0
    for node in model.graph.node:
        flops = node_flops(node, shapes)
        dense += flops.dense
        depthwise += flops.depthwise
    return Flops(dense, depthwise)


def node_flops(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> Flops:
    """As `count_flops`, of one node; shapes: of every tensor, see `tensor_shapes`."""
    flops = 2 * _multiply_adds(node, shapes)
    return Flops(0, flops) if _is_depthwise(node, shapes) else Flops(flops, 0)


def _multiply_adds(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    if node.op_type == "Conv":  # weight: [out, in / groups, ...], once for every output pixel
        return prod(static_shape(node.output[0], shapes)) * prod(
            static_shape(node.input[1], shapes)[1:]
        )
    if node.op_type == "ConvTranspose":  # weight: [in, out / groups, ...], for every input pixel
        return prod(static_shape(node.input[0], shapes)) * prod(
            static_shape(node.input[1], shapes)[1:]
        )
    if node.op_type == "Gemm":
        summed = static_shape(node.input[0], shapes)[0 if _integer(node, "transA", 0) else 1]
        return prod(static_shape(node.output[0], shapes)) * summed
    if node.op_type == "MatMul":
        return prod(static_shape(node.output[0], shapes)) * static_shape(node.input[0], shapes)[-1]
    return 0


def _is_depthwise(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> bool:
    if node.op_type not in ("Conv", "ConvTranspose"):
        return False
    groups = _integer(node, "group", 1)
    return groups > 1 and groups == static_shape(node.input[0], shapes)[1]


def _integer(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def tensor_shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """Shape of every tensor of a graph, 0 for a dimension without a number."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        shapes[value.name] = tuple(d.dim_value for d in dimensions)
    return shapes


def static_shape(name: str, shapes: Mapping[str, Shape]) -> Shape:
    """Raises ValueError if the tensor's shape is unknown or has a dimension without a number."""
    shape = shapes.get(name)
    if shape is None or 0 in shape:  # onnx writes 0 for a dimension without a number
        raise ValueError(f"the shape of {name} is not static; export the bundle anew")
    return shape
