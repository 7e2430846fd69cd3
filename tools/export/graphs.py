"""Static ONNX graphs of torch modules, as TensorRT 8.2 parses them: opset 13, IR 7, named nodes."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnxslim
import torch
from torch import Tensor

from mammosono.appliance.pipeline.denoise.network import STAGE
from mammosono.engines.bundle import TensorSpec
from mammosono.tools.denoiser.network import Denoiser
from mammosono.tools.kind.network import KindNetwork
from mammosono.tools.network.stages import HeadsStage, MasksStage, TrunkStage

OPSET = 13
"""The last that TensorRT 8.2 parses; torch's newer exporter cannot write it."""
IR_VERSION = 7

StageModule = TrunkStage | HeadsStage | MasksStage | Denoiser | KindNetwork


def export_stage(stage: StageModule, inputs: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """Trace a stage, fold its constants, write it, and return its manifest entry.

    Raises onnx.checker.ValidationError if the graph is not well formed, ValueError if a shape of
    it is not static.
    """
    with warnings.catch_warnings():
        # The tracing exporter is deprecated, and the only one that honours opset 13.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            stage.eval(),
            tuple(inputs[name] for name in stage.inputs),
            path,
            input_names=list(stage.inputs),
            output_names=list(stage.outputs),
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnxslim.slim(onnx.load(path))
    model.ir_version = IR_VERSION
    for k, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{k}"
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString()
    path.write_bytes(data)
    return {
        "file": path.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "inputs": _entries(model.graph.input),
        "outputs": _entries(model.graph.output),
    }


def specs(values: Iterable[onnx.ValueInfoProto]) -> dict[str, TensorSpec]:
    """dtype and shape of a graph's inputs or outputs. Raises ValueError if one is not static."""
    return {value.name: _spec(value) for value in values}


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(dimension.dim_value for dimension in tensor.shape.dim)
    if not all(shape):
        raise ValueError(f"the shape of {value.name} is not static")
    return onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, shape


def _entries(values: Iterable[onnx.ValueInfoProto]) -> dict[str, Any]:
    return {
        n: {"dtype": dtype, "shape": list(shape)} for n, (dtype, shape) in specs(values).items()
    }


def export_denoiser(
    network: Denoiser, size: tuple[int, int], folder: Path, file: str = f"{STAGE}.onnx"
) -> dict[str, Any]:
    """Write the graph for pictures of this size (height, width) and return its manifest entry.

    Raises ValueError if the network cannot take the size.
    """
    multiple = 2 ** len(network.down)
    if size[0] % multiple or size[1] % multiple:
        raise ValueError(f"the denoiser's input must be multiples of {multiple}, not {size}")
    return export_stage(network, {"noisy": torch.zeros(1, 1, *size)}, folder / file)
