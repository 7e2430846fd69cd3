"""Predicted seconds and memory of an image and of a pair on a board that is not at hand.

The board is given as rates that others measured on it, the networks as costs of their graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import onnx

from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.appliance.values import Modality
from mammosono.engines.bundle import Stage, open_bundle, read_stage
from mammosono.tools.benchmarks.flops import Flops
from mammosono.tools.benchmarks.predict.graph import (
    GraphKernel,
    StageCost,
    blank_network,
    denoiser_cost,
    heads_cost,
    masks_cost,
    stage_cost,
    trunk_cost,
)
from mammosono.tools.benchmarks.predict.measurements import HostWork
from mammosono.tools.benchmarks.workload import NETWORK
from mammosono.tools.export.mixed import fp32_nodes
from mammosono.tools.network.config import NetworkConfig

PYRAMID = "pyramid"
"""The binding that stays on the device from the trunk to the other stages."""
DENOISE_THREADS = 2
"""Of the reader; the rest of the host's work is counted on one core."""
PAIR = (Modality.MG, Modality.US)
"""In the order in which they are read."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is expected at best, to be planned with, and at worst."""

    low: float
    plan: float
    high: float

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.plan + other.plan, self.high + other.high)

    def __mul__(self, factor: float) -> Span:
        return Span(self.low * factor, self.plan * factor, self.high * factor)

    def at_least(self, other: Span) -> Span:
        """The larger of two, at each of the three."""
        return Span(
            max(self.low, other.low), max(self.plan, other.plan), max(self.high, other.high)
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """dense, depthwise: GFLOP/s of convolutions in half precision. bandwidth: GB/s that kernels
    get from memory. host: seconds of one core there for one second of a core here.
    """

    dense: float
    depthwise: float
    bandwidth: float
    host: float


@dataclass(frozen=True, slots=True)
class TargetBoard:
    """best, plan, worst: its rates. single: rate of single precision over half precision.

    memory: MB that a process has at all, after the system's own.
    libraries: MB that CUDA, cuBLAS and cuDNN take when they are loaded.
    workspace: MB that the fastest kernels may ask for besides (the builder's limit at worst).
    processes: MB of the service and of the worker's interpreter, without the above.
    """

    name: str
    best: Rates
    plan: Rates
    worst: Rates
    single: float
    memory: float
    libraries: Span
    workspace: Span
    processes: Span

    def span(self, cost: Callable[[Rates], float]) -> Span:
        return Span(cost(self.best), cost(self.plan), cost(self.worst))


NANO = TargetBoard(
    name="Jetson Nano (Maxwell, 10 W mode), TensorRT 8.2, FP16",
    # Dense: ResNet18 to 152, VGG, YOLO and FCN on a Nano ran at 236 to 462 GFLOP/s; 250 to 350 is
    # the rule for large networks, 300 to plan with, 200 when it is hot or the shapes are odd.
    # Depthwise and small ones: 60 to 240 GFLOP/s. Of 25.6 GB/s about 15 to 18 are usable.
    # Host: a Cortex-A57 at 1.43 GHz against a Zen 4 core at 3.5: the clock is 2.4 times, the
    # instructions a cycle about 2, the vector width 2 to 4. An assumption; nobody ran both.
    best=Rates(dense=350, depthwise=240, bandwidth=18, host=5),
    plan=Rates(dense=300, depthwise=120, bandwidth=16.5, host=8),
    worst=Rates(dense=200, depthwise=60, bandwidth=15, host=12),
    single=0.5,  # Maxwell's half-precision units do two of what a single-precision one does
    memory=3400,
    # A Nano of 2 GB went from 1.1 to 1.8 GB used before its first inference; 1.3 GB to plan with.
    libraries=Span(700, 1300, 1300),
    workspace=Span(0, 128, 256),
    processes=Span(150, 250, 400),
)


def kernel_seconds(kernel: GraphKernel, rates: Rates, single: float) -> float:
    """The longer of computing and moving: the two overlap, and the rates of large networks hold
    for convolutions whose bytes moved meanwhile."""
    share = single if kernel.single else 1.0
    computing = 1e-9 * (
        kernel.flops.dense / (rates.dense * share) + kernel.flops.depthwise / rates.depthwise
    )
    return max(computing, 1e-9 * kernel.moved / rates.bandwidth)


def stage_seconds(cost: StageCost, board: TargetBoard) -> Span:
    return board.span(
        lambda rates: sum(kernel_seconds(k, rates, board.single) for k in cost.kernels)
    )


@dataclass(frozen=True, slots=True)
class CostedNetwork:
    """stages: cost of one run of each. denoiser: of the stage that denoises mammograms, if any.
    modalities: whose images it reads. beside: the networks that read the others', in the same
    memory."""

    name: str
    geometry: Geometry
    stages: Mapping[str, StageCost]
    denoiser: StageCost | None = None
    modalities: tuple[Modality, ...] = PAIR
    beside: tuple[CostedNetwork, ...] = ()

    @property
    def flops(self) -> Flops:
        """Of the network on one image, without the denoiser."""
        each = [cost.flops for cost in self.stages.values()]
        return Flops(sum(f.dense for f in each), sum(f.depthwise for f in each))


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds and MB (10^6 bytes).

    work: on this machine, of each image of the pair. seconds: the three stages, one image.
    denoiser: its stage, on a mammogram. host: the slower image's own work. image: the slower one
    alone, from bytes to findings. pair: two, the second prepared while the network runs on the
    first. weights, scratch, bindings: of all networks of the bundle and the denoiser. memory: of
    all processes at their peak.
    """

    network: CostedNetwork
    work: tuple[HostWork, ...]
    stages: Mapping[str, Span]
    seconds: Span
    denoiser: Span
    host: Span
    image: Span
    pair: Span
    weights: float
    scratch: float
    bindings: float
    memory: Span

    @property
    def own(self) -> float:
        """MB of the networks themselves."""
        return self.weights + self.scratch + self.bindings


def bundle_networks(folder: Path) -> tuple[CostedNetwork, ...]:
    """The networks of a bundle, from its own graphs, each with the others beside it.

    Raises BundleError, KeyError, TypeError or ValueError.
    """
    bundle = open_bundle(folder)
    reading = {entry["network"] for entry in bundle.modalities.values()}
    alone = []
    for name, network in bundle.networks.items():
        own = {code: m for code, m in bundle.modalities.items() if m["network"] == name}
        if not own:
            continue  # it reads no images but tells their kind, in a hundredth of the time
        stages = {own_name: bundle.stages[stage] for own_name, stage in network.stages.items()}
        denoisers = {m["denoise"] for m in own.values() if m.get("denoise") is not None}
        cleaner = [_bundle_cost(stages[each], each) for each in sorted(denoisers)]
        alone.append(
            CostedNetwork(
                bundle.name if len(reading) == 1 else f"{bundle.name}, {name}",
                Geometry.from_manifest(network.entry["geometry"]),
                {each: _bundle_cost(stages[each], each) for each in NETWORK},
                cleaner[0] if cleaner else None,
                tuple(modality for modality in PAIR if modality.value in own),
            )
        )
    return tuple(
        replace(one, beside=tuple(other for other in alone if other is not one)) for one in alone
    )


def _bundle_cost(stage: Stage, name: str) -> StageCost:
    """name: the stage's own in its network."""
    model = onnx.load_model_from_string(read_stage(stage))
    return stage_cost(model, stage.inputs, stage.fp32 or fp32_nodes(name, model))


def config_network(config: NetworkConfig, name: str) -> CostedNetwork:
    """The network of a configuration, untrained, and a denoiser of the usual shape for its input.

    Raises ValueError.
    """
    network = blank_network(config)
    return CostedNetwork(
        name,
        config.geometry,
        {"trunk": trunk_cost(network), "heads": heads_cost(network), "masks": masks_cost(network)},
        denoiser_cost(config.geometry.input_size),
    )


def predict(network: CostedNetwork, work: tuple[HostWork, ...], board: TargetBoard) -> Prediction:
    """work: of each image of a pair, in the order in which they are read.

    A pair is read by this network and by those beside it, each its own modality.
    """
    stages = {name: stage_seconds(cost, board) for name, cost in network.stages.items()}
    seconds = network_seconds(network, board)
    none = Span(0, 0, 0)
    cleaner = _reader(network, Modality.MG).denoiser
    denoiser = stage_seconds(cleaner, board) if cleaner else none
    host = [board.span(partial(_before, one)) for one in work]
    after = [board.span(partial(_after, one)) for one in work]
    before = [
        each + (denoiser if modality is Modality.MG else none)
        for each, modality in zip(host, PAIR, strict=True)
    ]
    slower = (host[0] + after[0]).at_least(host[1] + after[1])
    image = seconds + (before[0] + after[0]).at_least(before[1] + after[1])
    first, second = (network_seconds(_reader(network, modality), board) for modality in PAIR)
    pair = before[0] + (first + after[0]).at_least(before[1]) + second + after[1]
    weights, scratch, bindings = _megabytes(network)
    own = weights + scratch + bindings
    memory = board.libraries + board.workspace + board.processes + Span(own, own, own)
    return Prediction(
        network, work, stages, seconds, denoiser, slower, image, pair,
        weights, scratch, bindings, memory,
    )  # fmt: skip


def _reader(network: CostedNetwork, modality: Modality) -> CostedNetwork:
    """The one that reads such images; this one, where none beside it does."""
    others = [other for other in network.beside if modality in other.modalities]
    return others[0] if others and modality not in network.modalities else network


def network_seconds(network: CostedNetwork, board: TargetBoard) -> Span:
    total = Span(0, 0, 0)
    for cost in network.stages.values():
        total = total + stage_seconds(cost, board)
    return total


def _before(work: HostWork, rates: Rates) -> float:
    return (work.prepare + work.denoise / DENOISE_THREADS) * rates.host


def _after(work: HostWork, rates: Rates) -> float:
    return work.after * rates.host


def _megabytes(network: CostedNetwork) -> tuple[float, float, float]:
    """Weights, scratch, bindings, of all networks. Every stage shares one scratch buffer, those of
    a network one pyramid; every other binding has a pinned twin for the host, which on a Jetson
    lies in the same memory.
    """
    each = [
        (*one.stages.values(), *([one.denoiser] if one.denoiser else []))
        for one in (network, *network.beside)
    ]
    stages = [cost for costs in each for cost in costs]
    pyramids = sum(max(cost.bindings.get(PYRAMID, 0) for cost in costs) for costs in each)
    copied = sum(size for cost in stages for name, size in cost.bindings.items() if name != PYRAMID)
    return (
        1e-6 * sum(cost.weights for cost in stages),
        1e-6 * max(cost.scratch for cost in stages),
        1e-6 * (pyramids + 2 * copied),
    )
