"""What a mixed graph computes where every FP16 tensor really is rounded to FP16.

On a CPU onnxruntime computes FP16 nodes in FP32 and removes the casts between them, at every level
of optimisation: of half precision only the constants' rounding is left. So the rounding is written
as arithmetic that nobody removes.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from mammosono.tools.export.mixed import EXACT, FLOAT, HALF

_SPLIT = "rounding.split"


def rounded(mixed: ModelProto) -> ModelProto:
    """A graph in FP32 alone that computes what `mixed` does with FP16 storage, FP32 inside a node.

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
