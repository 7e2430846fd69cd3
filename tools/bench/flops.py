"""Floating-point operations of an ONNX graph, counted from its shapes."""

from __future__ import annotations

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
    shapes = _shapes(model)
    dense = depthwise = 0
    for node in model.graph.node:
        flops = 2 * _multiply_adds(node, shapes)
        if _is_depthwise(node, shapes):
            depthwise += flops
        else:
            dense += flops
    return Flops(dense, depthwise)


def _multiply_adds(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int:
    if node.op_type == "Conv":  # weight: [out, in / groups, ...], once for every output pixel
        return prod(_shape(node.output[0], shapes)) * prod(_shape(node.input[1], shapes)[1:])
    if node.op_type == "ConvTranspose":  # weight: [in, out / groups, ...], for every input pixel
        return prod(_shape(node.input[0], shapes)) * prod(_shape(node.input[1], shapes)[1:])
    if node.op_type == "Gemm":
        summed = _shape(node.input[0], shapes)[0 if _integer(node, "transA", 0) else 1]
        return prod(_shape(node.output[0], shapes)) * summed
    if node.op_type == "MatMul":
        return prod(_shape(node.output[0], shapes)) * _shape(node.input[0], shapes)[-1]
    return 0


def _is_depthwise(node: onnx.NodeProto, shapes: dict[str, Shape]) -> bool:
    if node.op_type not in ("Conv", "ConvTranspose"):
        return False
    groups = _integer(node, "group", 1)
    return groups > 1 and groups == _shape(node.input[0], shapes)[1]


def _integer(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def _shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        shapes[value.name] = tuple(d.dim_value for d in dimensions)
    return shapes


def _shape(name: str, shapes: dict[str, Shape]) -> Shape:
    shape = shapes.get(name)
    if shape is None or 0 in shape:  # onnx writes 0 for a dimension without a number
        raise ValueError(f"the shape of {name} is not static; export the bundle anew")
    return shape
