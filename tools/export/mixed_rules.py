"""What a mixed graph must be: its FP32 graph in every respect but the types, and those as said."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import zip_longest

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from mammosono.tools.export import rules
from mammosono.tools.export.mixed import DATA_INPUTS, EXACT, FLOAT, HALF


def violations(mixed: ModelProto, single: ModelProto, fp32: Collection[str]) -> list[str]:
    """Every rule that the mixed graph of `single` breaks, in words.

    fp32: the nodes that the manifest says must be computed in single precision.
    """
    broken = rules.violations(mixed, half=True)
    if any("shapes cannot be inferred" in line for line in broken):
        return broken
    return [*broken, *_frame(mixed, single), *_same(mixed, single), *_types(mixed, fp32)]


def _frame(mixed: ModelProto, single: ModelProto) -> Iterator[str]:
    if mixed.graph.value_info:
        yield "types of inner tensors are written down; a parser may believe them"
    for side in ("input", "output"):
        if _specs(getattr(mixed.graph, side)) != _specs(getattr(single.graph, side)):
            yield f"its {side}s are not those of the FP32 graph"


def _specs(values: Collection[onnx.ValueInfoProto]) -> list[tuple[str, bytes]]:
    return [(value.name, value.type.SerializeToString(deterministic=True)) for value in values]


def _same(mixed: ModelProto, single: ModelProto) -> Iterator[str]:
    """Where it differs in more than types; the casts are looked through."""
    source = _sources(mixed.graph)
    wanted = {tensor.name: tensor for tensor in single.graph.initializer}
    kept = [node for node in mixed.graph.node if node.output[0] not in source]
    for node, other in zip_longest(kept, single.graph.node):
        if node is None or other is None or _shape(node) != _shape(other):
            yield f"node {(node or other).name} is not the FP32 graph's"
            return
        for mine, theirs in zip(node.input, other.input, strict=True):
            if source.get(mine, mine).removesuffix(".fp16") != theirs:
                yield f"node {node.name} reads {mine} in the place of {theirs}"
    for tensor in mixed.graph.initializer:
        original = wanted.get(tensor.name.removesuffix(".fp16"))
        if original is None or not _equal(tensor, original):
            yield f"constant {tensor.name} is not the FP32 graph's"


def _sources(graph: GraphProto) -> dict[str, str]:
    """What each cast between the two float types reads, by what it gives."""
    return {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Cast" and helper.get_node_attr_value(node, "to") in (FLOAT, HALF)
    }


def _shape(node: NodeProto) -> tuple[object, ...]:
    attributes = sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
    return node.name, node.op_type, len(node.input), len(node.output), attributes


def _equal(tensor: TensorProto, original: TensorProto) -> bool:
    mine, theirs = numpy_helper.to_array(tensor), numpy_helper.to_array(original)
    with np.errstate(over="ignore"):
        return bool(np.array_equal(mine, theirs.astype(mine.dtype)))


def _types(mixed: ModelProto, fp32: Collection[str]) -> Iterator[str]:
    """Nodes that compute in another type than the manifest says."""
    graph = onnx.shape_inference.infer_shapes(mixed, strict_mode=True).graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)}
    kinds |= {v.name: v.type.tensor_type.elem_type for v in graph.input}
    kinds |= {t.name: t.data_type for t in graph.initializer}
    for name in sorted(set(fp32) - {node.name for node in graph.node}):
        yield f"node {name} of fp32 is not in the graph"
    for node in graph.node:
        if node.op_type == "Cast":
            continue
        data = node.input[: DATA_INPUTS.get(node.op_type, len(node.input))]
        found = {kinds[name] for name in (*data, *node.output) if name} & {FLOAT, HALF}
        wanted = FLOAT if node.name in fp32 else HALF
        if node.op_type not in EXACT and found != {wanted}:
            yield f"node {node.name} is not computed in {'FP32' if wanted == FLOAT else 'FP16'}"
