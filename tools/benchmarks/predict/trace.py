"""A configuration's graphs without its weights: what they cost is in their shapes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnxslim
import torch
from torch import Tensor, nn

from mammosono.tools.benchmarks.predict.graph import StageCost, stage_cost
from mammosono.tools.denoiser.network import Denoiser, DenoiserConfig
from mammosono.tools.export.graphs import OPSET, Stage
from mammosono.tools.export.mixed import fp32_nodes
from mammosono.tools.network.config import NetworkConfig
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.network.stages import HeadsStage, MasksStage, TrunkStage, stage_inputs

_TRACED_SIDE = 64
"""px. A trunk computes the same nodes on any picture, and a small one costs nothing."""


def blank_network(config: NetworkConfig) -> RefinedMaskRcnn:
    """The network in evaluation mode without its weights, batch norms folded. Raises ValueError."""
    with torch.device("meta"):
        network = RefinedMaskRcnn(config)
        fold_batch_norm(network)
    network = network.to_empty(device="cpu").eval()
    # No two alike: of two equal convolutions of one input the exporter would leave out one.
    with torch.no_grad():
        for k, weights in enumerate(network.parameters(), start=1):
            weights.fill_(1e-4 * k)
    return network


def trunk_cost(network: RefinedMaskRcnn) -> StageCost:
    """Cost of the trunk at the configuration's input size."""
    height, width = network.config.geometry.input_size
    stage = TrunkStage(network)
    model = _traced(stage, {"image": torch.zeros(1, 1, _TRACED_SIDE, _TRACED_SIDE)}, free="image")
    # Traced with its sides left free, the graph takes any size: here the true one.
    shape = next(v for v in model.graph.input if v.name == "image").type.tensor_type.shape
    shape.dim[2].dim_value, shape.dim[3].dim_value = height, width
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    slim = onnxslim.slim(model)
    return stage_cost(slim, stage.inputs, fp32_nodes("trunk", slim))


def heads_cost(network: RefinedMaskRcnn) -> StageCost:
    return _stage_cost(HeadsStage(network), network.config, "heads")


def masks_cost(network: RefinedMaskRcnn) -> StageCost:
    return _stage_cost(MasksStage(network), network.config, "masks")


def denoiser_cost(size: tuple[int, int]) -> StageCost:
    """Cost of the usual denoiser on a mammogram of this size (height, width)."""
    stage = Denoiser(DenoiserConfig())
    return stage_cost(traced(stage, {"noisy": torch.zeros(1, 1, *size)}), stage.inputs)


def _stage_cost(stage: Stage, config: NetworkConfig, name: str) -> StageCost:
    model = traced(stage, stage_inputs(config.geometry, config.fpn_channels)[name])
    return stage_cost(model, stage.inputs, fp32_nodes(name, model))


def traced(stage: Stage, inputs: Mapping[str, Tensor]) -> onnx.ModelProto:
    """The graph for inputs of these shapes. It is run once: too dear for a large trunk."""
    model: onnx.ModelProto = onnxslim.slim(_traced(stage, inputs))
    return model


def _traced(stage: Stage, inputs: Mapping[str, Tensor], free: str = "") -> onnx.ModelProto:
    """As the bundle's graphs are traced, but for the weights; the sides of `free` stay open."""
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in mammosono.tools.export.graphs
        path = Path(folder) / "stage.onnx"
        torch.onnx.export(
            stage.eval(),
            tuple(inputs[name] for name in stage.inputs),
            path,
            export_params=False,
            input_names=list(stage.inputs),
            output_names=list(stage.outputs),
            dynamic_axes={free: [2, 3]} if free else None,
            opset_version=OPSET,
            dynamo=False,
        )
        return onnx.load(path)


def fold_batch_norm(network: nn.Module) -> None:
    """A batch norm behind a convolution becomes the convolution's bias, as the exporter has it."""
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for k in range(1, len(module)):
            convolution = module[k - 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(module[k], nn.BatchNorm2d):
                convolution.bias = nn.Parameter(torch.empty(convolution.out_channels))
                module[k] = nn.Identity()
