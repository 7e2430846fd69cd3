"""Rules for graphs: what TensorRT 8.2 can parse without a plugin, as far as our graphs need it, and
how a mixed graph may differ from its FP32 graph (in types alone, and those as the manifest says).

Operators and side rules from the support matrix of onnx-tensorrt 8.2 and what its importer does:
opset 13 is its last; integers are INT32 inside; weights, sizes and axes must be constants.
Top-k, NMS, RoiAlign, loops and everything whose shape depends on data stay on the host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import zip_longest

import numpy as np
import onnx
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from mammosono.tools.export.mixed import DATA_INPUTS, EXACT, FLOAT, HALF

OPSET = 13
IR_VERSION = 7
# fmt: off
OPERATORS = frozenset({
    "Add", "Cast", "Clip", "Concat", "Conv", "ConvTranspose", "Exp", "Expand", "Flatten", "Floor",
    "Gather", "Gemm", "MatMul", "Max", "MaxPool", "Min", "Mul", "ReduceMax", "ReduceMean",
    "ReduceSum", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Softmax", "Sub", "Squeeze",
    "Transpose", "Unsqueeze", "Where",
})
# fmt: on
CONSTANT_INPUTS = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Clip": (1, 2),
    "Expand": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
}
"""By operator, the places whose input must be an initializer where it is given."""
TYPES = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT32})
"""Of everything that flows; constants may be INT64 as long as their values fit into INT32."""
COORDINATES = frozenset({"half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"})


def violations(model: ModelProto, half: bool = False) -> list[str]:
    """Every rule that the graph breaks, in words; empty for a graph TensorRT 8.2 can hold.

    half: of a mixed graph, which is for newer ones: a Clip's bounds may be FP16 as its data is.
    """
    return [
        *_frame(model),
        *_names(model),
        *_constants(model),
        *_nodes(model, half),
        *_values(model),
    ]


def _frame(model: ModelProto) -> Iterator[str]:
    versions = {(opset.domain, opset.version) for opset in model.opset_import}
    if versions != {("", OPSET)}:
        yield f"opsets {sorted(versions)}, not {OPSET} alone"
    if model.ir_version != IR_VERSION:
        yield f"IR version {model.ir_version}, not {IR_VERSION}"
    if model.functions:
        yield "functions of its own"


def _names(model: ModelProto) -> Iterator[str]:
    for name, count in Counter(node.name for node in model.graph.node).items():
        if not name:
            yield f"{count} nodes without a name"
        elif count > 1:
            yield f"{count} nodes called {name}"


def _constants(model: ModelProto) -> Iterator[str]:
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.INT64:
            values = numpy_helper.to_array(tensor)
            if np.abs(values).max(initial=0) >= 2**31:
                yield f"constant {tensor.name} does not fit into INT32"
        elif tensor.data_type not in TYPES:
            yield f"constant {tensor.name} is {TensorProto.DataType.Name(tensor.data_type)}"
    if model.graph.sparse_initializer:
        yield "sparse constants"


def _nodes(model: ModelProto, half: bool) -> Iterator[str]:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.domain or node.op_type not in OPERATORS:
            yield f"operator {node.domain or 'ai.onnx'}.{node.op_type} ({node.name})"
            continue
        for place in CONSTANT_INPUTS.get(node.op_type, ()):
            given = node.input[place] if place < len(node.input) else ""
            if given and given not in constants:
                yield f"input {place} of {node.op_type} {node.name} is no initializer"
        for what in _side_rules(node, constants, half):
            yield f"{node.op_type} {node.name}: {what}"


def _side_rules(node: NodeProto, constants: dict[str, TensorProto], half: bool) -> Iterator[str]:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Resize":
        mode = attributes.get("mode", b"nearest").decode()
        coordinates = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
        if mode not in ("nearest", "linear") or coordinates not in COORDINATES:
            yield f"mode {mode}, {coordinates}"
        if mode == "nearest" and (coordinates, attributes.get("nearest_mode")) != (
            "asymmetric",
            b"floor",
        ):
            yield "nearest must be asymmetric with floor"
        if len(node.input) > 3 or len(node.input) < 3 or not node.input[2]:
            yield "must be given by scales"
    elif node.op_type in ("Conv", "ConvTranspose"):
        weight = constants.get(node.input[1])
        if weight is not None and len(weight.dims) != 4:
            yield "is not two-dimensional"
    elif node.op_type == "Clip":
        for bound in node.input[1:]:
            kind = constants[bound].data_type if bound in constants else TensorProto.FLOAT
            if kind != TensorProto.FLOAT and not half:
                yield f"bound {bound} is not FP32, and the importer reads it as if"
    elif node.op_type == "MaxPool":
        if len(node.output) > 1 or set(attributes.get("dilations", [1])) != {1}:
            yield "indices or dilations"
    elif node.op_type == "Cast" and attributes["to"] not in TYPES:
        yield f"to {TensorProto.DataType.Name(attributes['to'])}"


def _values(model: ModelProto) -> Iterator[str]:
    """Types and shapes of everything that flows through the graph."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        yield f"shapes cannot be inferred: {error}"
        return
    known = {v.name: v for v in (*inferred.input, *inferred.value_info, *inferred.output)}
    flowing = [v.name for v in inferred.input]
    flowing += [name for node in inferred.node for name in node.output if name]
    for name in flowing:
        if name not in known:
            yield f"shape of {name} is unknown"
            continue
        if known[name].type.tensor_type.elem_type not in TYPES:
            kind = TensorProto.DataType.Name(known[name].type.tensor_type.elem_type)
            yield f"{name} is {kind}"
        if not _static(known[name]):
            yield f"shape of {name} is not static"
    for node in inferred.node:
        index = known.get(node.input[1]) if node.op_type == "Gather" else None
        if index is not None and index.type.tensor_type.elem_type != TensorProto.INT32:
            yield f"Gather {node.name}: indices are not INT32"


def _static(value: ValueInfoProto) -> bool:
    kind = value.type.tensor_type
    return kind.HasField("shape") and all(d.dim_value > 0 for d in kind.shape.dim)


def mixed_violations(mixed: ModelProto, single: ModelProto, fp32: Collection[str]) -> list[str]:
    """Every rule that the mixed graph of `single` breaks, in words.

    fp32: the nodes that the manifest says must be computed in single precision.
    """
    broken = violations(mixed, half=True)
    if any("shapes cannot be inferred" in line for line in broken):
        return broken
    return [
        *broken,
        *_boundary(mixed, single),
        *_differences(mixed, single),
        *_misplaced_types(mixed, fp32),
    ]


def _boundary(mixed: ModelProto, single: ModelProto) -> Iterator[str]:
    if mixed.graph.value_info:
        yield "types of inner tensors are written down; a parser may believe them"
    for side in ("input", "output"):
        if _specs(getattr(mixed.graph, side)) != _specs(getattr(single.graph, side)):
            yield f"its {side}s are not those of the FP32 graph"


def _specs(values: Collection[onnx.ValueInfoProto]) -> list[tuple[str, bytes]]:
    return [(value.name, value.type.SerializeToString(deterministic=True)) for value in values]


def _differences(mixed: ModelProto, single: ModelProto) -> Iterator[str]:
    """Where it differs in more than types; the casts are looked through."""
    source = _sources(mixed.graph)
    wanted = {tensor.name: tensor for tensor in single.graph.initializer}
    kept = [node for node in mixed.graph.node if node.output[0] not in source]
    for node, other in zip_longest(kept, single.graph.node):
        if node is None or other is None or _signature(node) != _signature(other):
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


def _signature(node: NodeProto) -> tuple[object, ...]:
    attributes = sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
    return node.name, node.op_type, len(node.input), len(node.output), attributes


def _equal(tensor: TensorProto, original: TensorProto) -> bool:
    mine, theirs = numpy_helper.to_array(tensor), numpy_helper.to_array(original)
    with np.errstate(over="ignore"):
        return bool(np.array_equal(mine, theirs.astype(mine.dtype)))


def _misplaced_types(mixed: ModelProto, fp32: Collection[str]) -> Iterator[str]:
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
