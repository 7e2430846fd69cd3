"""A bundle of three tiny graphs that hang together as the shipped ones do, with parity tensors:
for the tests of what builds and tries plans. No torch, milliseconds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mammosono.engines.bundle import Bundle, open_bundle, write_manifest
from mammosono.engines.schema1 import TOLERANCES

Arrays = dict[str, NDArray[Any]]

CHANNELS, ANCHORS = 4, 40
FP32 = {"trunk": ["/image_head/Gemm"], "heads": ["/fc6/Gemm", "/Softmax"], "masks": ["/Sigmoid"]}
_TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}


def write_bundle(
    folder: Path, *, mixed: bool = False, parity: bool = True, argmax: bool = False
) -> Bundle:
    """mixed: with graphs for a strongly typed TensorRT, which compute the same.
    argmax: the masks stage also tells the best column, an integer."""
    folder.mkdir(parents=True, exist_ok=True)
    stages: dict[str, dict[str, Any]] = {}
    for name, graph in graphs(argmax).items():
        data = graph.SerializeToString()
        (folder / f"{name}.onnx").write_bytes(data)
        entry = {"file": f"{name}.onnx", "sha256": sha256(data), "fp32": FP32[name]}
        stages[name] = entry | {side: _tensors(graph, side) for side in ("inputs", "outputs")}
        if mixed:
            graph.producer_name = "mixed"
            data = graph.SerializeToString()
            (folder / f"{name}-mixed.onnx").write_bytes(data)
            stages[name]["mixed"] = {"file": f"{name}-mixed.onnx", "sha256": sha256(data)}
    manifest: dict[str, Any] = {"schema": 1, "name": "small", "version": "1", "stages": stages}
    if parity:
        np.savez(folder / "parity.npz", **parity_tensors(folder))
        data = (folder / "parity.npz").read_bytes()
        manifest["parity"] = {"file": "parity.npz", "sha256": sha256(data)}
    write_manifest(folder, manifest)
    return open_bundle(folder)


def write_networks(folder: Path, *names: str) -> Bundle:
    """A bundle of schema 2 with such a network under each of the names."""
    networks, tensors = {}, {}
    for name in names:
        made = write_bundle(folder / name)
        stages = {own: dict(entry) for own, entry in made.manifest["stages"].items()}
        for entry in stages.values():
            (folder / name / entry["file"]).rename(folder / f"{name}.{entry['file']}")
            entry["file"] = f"{name}.{entry['file']}"
            named = set(entry["outputs"]) & set(TOLERANCES)
            entry["tolerances"] = {output: TOLERANCES[output] for output in named}
        networks[name] = {"stages": stages}
        with np.load(folder / name / "parity.npz") as stored:
            for key in stored.files:
                case, own, side, tensor = key.split("/")
                tensors[f"{case}/{name}.{own}/{side}/{tensor}"] = stored[key]
    np.savez(folder / "parity.npz", **tensors)
    parity = {"file": "parity.npz", "sha256": sha256((folder / "parity.npz").read_bytes())}
    write_manifest(
        folder,
        {
            "schema": 2, "kind": "small/1", "name": "small", "version": "1",
            "networks": networks, "modalities": {}, "parity": parity,
        },
    )  # fmt: skip
    return open_bundle(folder)


def graphs(argmax: bool = False) -> dict[str, onnx.ModelProto]:
    rng = np.random.default_rng(5)

    def weights(*shape: int) -> NDArray[np.float32]:
        return rng.normal(0, 0.5, shape).astype(np.float32)

    node = helper.make_node
    trunk = _model(
        [
            node("Conv", ["image", "stem.weight"], ["x"], "/stem/Conv", kernel_shape=[4, 4],
                 strides=[2, 2]),
            node("Relu", ["x"], ["y"], "/stem/Relu"),
            node("Flatten", ["y"], ["flat"], "/Flatten"),
            node("Gemm", ["flat", "rpn.weight", "rpn.bias"], ["objectness"], "/rpn/Gemm"),
            node("Gemm", ["flat", "deltas.weight", "deltas.bias"], ["d"], "/deltas/Gemm"),
            node("Reshape", ["d", "deltas.shape"], ["deltas"], "/deltas/Reshape"),
            node("Transpose", ["y"], ["rows"], "/Transpose", perm=[0, 2, 3, 1]),
            node("Reshape", ["rows", "pyramid.shape"], ["pyramid"], "/Reshape"),
            node("Gemm", ["flat", "head.weight", "head.bias"], ["logits"], "/image_head/Gemm"),
            node("Softmax", ["logits"], ["image_classes"], "/Softmax", axis=1),
        ],
        {"image": ("float32", (1, 1, 16, 16))},
        {
            "objectness": ("float32", (1, ANCHORS)),
            "deltas": ("float32", (1, ANCHORS, 4)),
            "pyramid": ("float32", (49, CHANNELS)),
            "image_classes": ("float32", (1, 3)),
        },
        {
            "stem.weight": weights(CHANNELS, 1, 4, 4),
            "rpn.weight": weights(49 * CHANNELS, ANCHORS),
            "rpn.bias": weights(ANCHORS),
            "deltas.weight": weights(49 * CHANNELS, ANCHORS * 4) / 20,
            "deltas.bias": weights(ANCHORS * 4),
            "deltas.shape": np.array([1, ANCHORS, 4]),
            "pyramid.shape": np.array([49, CHANNELS]),
            "head.weight": weights(49 * CHANNELS, 3) / 20,
            "head.bias": weights(3),
        },
    )  # fmt: skip
    samples = {"pyramid": ("float32", (49, CHANNELS)), "rows": ("int32", (6, 4))}
    heads = _model(
        [
            node("Gather", ["pyramid", "rows"], ["g"], "/Gather", axis=0),
            node("Flatten", ["g"], ["flat"], "/Flatten"),
            node("Gemm", ["flat", "fc6.weight", "fc6.bias"], ["h"], "/fc6/Gemm"),
            node("Relu", ["h"], ["r"], "/Relu"),
            node("Gemm", ["r", "fc7.weight", "fc7.bias"], ["box_deltas"], "/fc7/Gemm"),
            node("Gemm", ["r", "cls.weight", "cls.bias"], ["c"], "/cls/Gemm"),
            node("Softmax", ["c"], ["classes"], "/Softmax", axis=1),
        ],
        samples,
        {"classes": ("float32", (6, 3)), "box_deltas": ("float32", (6, 4))},
        {
            "fc6.weight": weights(4 * CHANNELS, 8),
            "fc6.bias": weights(8),
            "fc7.weight": weights(8, 4),
            "fc7.bias": weights(4),
            "cls.weight": weights(8, 3),
            "cls.bias": weights(3),
        },
    )
    mask_nodes = [
        node("Gather", ["pyramid", "rows"], ["g"], "/Gather", axis=0),
        node("MatMul", ["g", "mask.weight"], ["m"], "/MatMul"),
        node("Sigmoid", ["m"], ["masks"], "/Sigmoid"),
    ]
    mask_outputs: dict[str, tuple[str, tuple[int, ...]]] = {"masks": ("float32", (6, 4, 4))}
    if argmax:
        mask_nodes += [
            node("ArgMax", ["masks"], ["best64"], "/ArgMax", axis=2, keepdims=0),
            node("Cast", ["best64"], ["best"], "/Cast", to=TensorProto.INT32),
        ]
        mask_outputs["best"] = ("int32", (6, 4))
    masks = _model(
        mask_nodes,
        samples,
        mask_outputs,
        {"mask.weight": weights(CHANNELS, 4)},
    )
    return {"trunk": trunk, "heads": heads, "masks": masks}


def parity_tensors(folder: Path) -> Arrays:
    """Two cases, by the graphs in `folder`; the pyramid is not stored."""
    tensors: Arrays = {}
    for case, seed in (("mg", 1), ("us", 2)):
        rng = np.random.default_rng(seed)
        feeds: Arrays = {"image": rng.normal(0, 1, (1, 1, 16, 16)).astype(np.float16)}
        pyramid = np.zeros(0)
        for stage in ("trunk", "heads", "masks"):
            if stage != "trunk":
                feeds = {"rows": rng.integers(0, 49, (6, 4), np.int32)}
            tensors |= {f"{case}/{stage}/in/{name}": value for name, value in feeds.items()}
            fed = {
                n: v.astype(np.float32) if v.dtype == np.float16 else v for n, v in feeds.items()
            }
            if stage != "trunk":
                fed["pyramid"] = pyramid
            outputs = compute((folder / f"{stage}.onnx").read_bytes(), fed)
            pyramid = outputs.pop("pyramid", pyramid)
            for name, value in outputs.items():
                half = value.dtype == np.float32
                tensors[f"{case}/{stage}/out/{name}"] = value.astype(np.float16) if half else value
    return tensors


def compute(data: bytes, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def scaled(stage: str, weight: str, factor: float) -> bytes:
    """The stage's graph with one weight times `factor`: what a bad kernel might compute."""
    graph = graphs()[stage]
    for tensor in graph.graph.initializer:
        if tensor.name == weight:
            value = numpy_helper.to_array(tensor) * np.float32(factor)
            tensor.CopyFrom(numpy_helper.from_array(value, weight))
            return graph.SerializeToString()
    raise KeyError(weight)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _model(
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, tuple[str, tuple[int, ...]]],
    outputs: Mapping[str, tuple[str, tuple[int, ...]]],
    weights: Mapping[str, NDArray[Any]],
) -> onnx.ModelProto:
    sides = [
        [helper.make_tensor_value_info(n, _TYPES[dtype], shape) for n, (dtype, shape) in s.items()]
        for s in (inputs, outputs)
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "small", *sides, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def _tensors(model: onnx.ModelProto, side: str) -> dict[str, Any]:
    names = {number: name for name, number in _TYPES.items()}
    return {
        value.name: {
            "dtype": names[value.type.tensor_type.elem_type],
            "shape": [dim.dim_value for dim in value.type.tensor_type.shape.dim],
        }
        for value in (model.graph.input if side == "inputs" else model.graph.output)
    }
