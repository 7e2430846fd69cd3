"""Cost of one run of a graph on an accelerator: kernels, the bytes they move, live memory.

A model of what TensorRT makes of a static graph in half precision, by the fusions that its guide
lists: a convolution takes in the sum and the activation behind it, and a change of shape alone is
no work. Everything else is a kernel that reads its inputs and writes its output once.

Graphs of a configuration are traced without its weights: what they cost is in their shapes.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnxslim
import torch
from torch import Tensor, nn

from mammosono.tools.benchmarks.flops import Flops, Shape, node_flops, static_shape, tensor_shapes
from mammosono.tools.denoiser.network import Denoiser, DenoiserConfig
from mammosono.tools.export.graphs import OPSET, StageModule
from mammosono.tools.export.mixed import fp32_nodes
from mammosono.tools.network.config import NetworkConfig
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.network.stages import HeadsStage, MasksStage, TrunkStage, stage_inputs

_VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"})
_WEIGHED = frozenset({"Conv", "ConvTranspose", "Gemm"})
_ACTIVATIONS = frozenset({"Relu", "Clip", "Sigmoid"})
_POOLING = frozenset({"Gather", "MatMul"})
"""RoI pooling: rows gathered from the pyramid, then summed by weight."""
_HALF, _SINGLE = 2, 4

_TRACED_SIDE = 64
"""px. A trunk computes the same nodes on any picture, and a small one costs nothing."""


@dataclass(frozen=True, slots=True)
class GraphKernel:
    """One launch. ops: the node's operator and those fused behind it, in order.

    single: computed in single precision. weights, read, written: bytes; read: activations.
    reads, writes: names of the buffers.
    """

    ops: tuple[str, ...]
    flops: Flops
    single: bool
    weights: int
    read: int
    written: int
    reads: tuple[str, ...]
    writes: str

    @property
    def moved(self) -> int:
        return self.weights + self.read + self.written


@dataclass(frozen=True, slots=True)
class StageCost:
    """One run of a stage; bytes. kernels: in an order in which they can run.

    scratch: most bytes of inner tensors that are alive at once.
    bindings: of each input and output of the graph, which the caller holds.
    """

    kernels: tuple[GraphKernel, ...]
    scratch: int
    bindings: Mapping[str, int]

    @property
    def flops(self) -> Flops:
        each = [kernel.flops for kernel in self.kernels]
        return Flops(sum(f.dense for f in each), sum(f.depthwise for f in each))

    @property
    def weights(self) -> int:
        return sum(kernel.weights for kernel in self.kernels)

    @property
    def moved(self) -> int:
        return sum(kernel.moved for kernel in self.kernels)

    @property
    def gathered(self) -> int:
        """Of `moved`: the pooling of RoIs."""
        return sum(kernel.moved for kernel in self.kernels if kernel.ops[0] in _POOLING)


def stage_cost(
    model: onnx.ModelProto, inputs: Collection[str], single: Collection[str] = ()
) -> StageCost:
    """Cost of one run of a graph whose inner tensors are half precision.

    inputs: names of the graph's true inputs; whatever else the graph takes is a weight.
    single: names of the nodes that are computed in single precision.
    Raises ValueError if the shape of a tensor that is needed cannot be inferred.
    """
    buffers = _Buffers(model, inputs)
    kernels: dict[str, GraphKernel] = {}
    for node in model.graph.node:
        if node.op_type in _VIEWS or not buffers.reads(node):
            continue
        kernel = _kernel(node, node.name in single, buffers)
        host = _host(node, kernel, kernels, buffers.uses)
        if host is not None:
            # The fused kernel runs where its last part stands: its other inputs are there by then.
            kernel = _fused(kernels.pop(host), kernel, buffers)
        kernels[kernel.writes] = kernel
    ordered = tuple(kernels.values())
    bindings = {name: buffers.size(buffers.root(name)) for name in buffers.names}
    return StageCost(ordered, _peak(ordered, buffers), bindings)


class _Buffers:
    """Which tensors are one memory, how large each is, and how often it is read."""

    def __init__(self, model: onnx.ModelProto, inputs: Collection[str]) -> None:
        graph = model.graph
        self.shapes: Mapping[str, Shape] = tensor_shapes(model)
        self.bound: dict[str, int] = {}
        self.uses: Counter[str] = Counter()
        self._weights = {tensor.name for tensor in graph.initializer}
        self._weights |= {value.name for value in graph.input} - set(inputs)
        self._viewed: dict[str, str] = {}
        for node in graph.node:
            if node.op_type in _VIEWS:
                self._viewed[node.output[0]] = node.input[0]
            else:
                self.uses.update(self.reads(node))
        bound = [v for v in (*graph.input, *graph.output) if v.name not in self._weights]
        self.names = tuple(value.name for value in bound)
        for value in bound:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            self.bound[self.root(value.name)] = dtype.itemsize
        self.uses.update(self.root(value.name) for value in graph.output)

    def root(self, name: str) -> str:
        """The tensor that `name` is another shape of."""
        while name in self._viewed:
            name = self._viewed[name]
        return name

    def reads(self, node: onnx.NodeProto) -> tuple[str, ...]:
        """Buffers of the activations that a node reads."""
        return tuple(self.root(n) for n in node.input if n and n not in self._weights)

    def weights(self, node: onnx.NodeProto) -> int:
        """Numbers in a node's weights."""
        names = [n for n in node.input if n in self._weights]
        return sum(prod(static_shape(n, self.shapes)) for n in names)

    def size(self, name: str) -> int:
        """Bytes: inner tensors are half precision, bindings as the graph types them."""
        return prod(static_shape(name, self.shapes)) * self.bound.get(name, _HALF)


def _kernel(node: onnx.NodeProto, single: bool, buffers: _Buffers) -> GraphKernel:
    reads, writes = buffers.reads(node), buffers.root(node.output[0])
    numbers = buffers.weights(node) if node.op_type in _WEIGHED else 0
    written = buffers.size(writes)
    read = sum(buffers.size(name) for name in dict.fromkeys(reads))
    if node.op_type == "Gather":  # the rows that are named, not the table that they stand in
        table, rows = reads
        read = buffers.size(rows) + written // _HALF * buffers.bound.get(table, _HALF)
    return GraphKernel(
        (node.op_type,), node_flops(node, buffers.shapes), single,
        numbers * (_SINGLE if single else _HALF), read, written, reads, writes,
    )  # fmt: skip


def _host(
    node: onnx.NodeProto,
    kernel: GraphKernel,
    kernels: Mapping[str, GraphKernel],
    uses: Mapping[str, int],
) -> str | None:
    """What the kernel that takes the node in writes so far; None if the node stands alone."""
    alone = [name for name in kernel.reads if name in kernels and uses[name] == 1]
    if node.op_type == "Add":
        plain = [name for name in alone if kernels[name].ops == ("Conv",)]
        return max(plain, key=list(kernels).index, default=None)
    if node.op_type in _ACTIVATIONS and alone:
        ops = kernels[alone[0]].ops
        return alone[0] if ops[0] in _WEIGHED and ops[-1] not in _ACTIVATIONS else None
    return None


def _fused(first: GraphKernel, second: GraphKernel, buffers: _Buffers) -> GraphKernel:
    others = tuple(name for name in second.reads if name != first.writes)
    return GraphKernel(
        first.ops + second.ops,
        first.flops,
        first.single,
        first.weights,
        first.read + sum(map(buffers.size, others)),
        second.written,
        first.reads + others,
        second.writes,
    )


def _peak(kernels: Iterable[GraphKernel], buffers: _Buffers) -> int:
    """Most bytes alive at once: from the kernel that writes a tensor to the last that reads it."""
    ordered = list(kernels)
    last = {name: k for k, kernel in enumerate(ordered) for name in kernel.reads}
    alive: dict[str, int] = {}
    peak = 0
    for k, kernel in enumerate(ordered):
        if kernel.writes not in buffers.bound:
            alive[kernel.writes] = buffers.size(kernel.writes)
        peak = max(peak, sum(alive.values()))
        for name in [name for name in alive if last.get(name, k) <= k]:
            del alive[name]
    return peak


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


def _stage_cost(stage: StageModule, config: NetworkConfig, name: str) -> StageCost:
    model = traced(stage, stage_inputs(config.geometry, config.fpn_channels)[name])
    return stage_cost(model, stage.inputs, fp32_nodes(name, model))


def traced(stage: StageModule, inputs: Mapping[str, Tensor]) -> onnx.ModelProto:
    """The graph for inputs of these shapes. It is run once: too dear for a large trunk."""
    model: onnx.ModelProto = onnxslim.slim(_traced(stage, inputs))
    return model


def _traced(stage: StageModule, inputs: Mapping[str, Tensor], free: str = "") -> onnx.ModelProto:
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
