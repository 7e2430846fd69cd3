"""A board that is not at hand, as rates that others measured on it; and the time a stage takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mammosono.tools.benchmarks.predict.graph import Kernel, StageCost


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
class Board:
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


NANO = Board(
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


def kernel_seconds(kernel: Kernel, rates: Rates, single: float) -> float:
    """The longer of computing and moving: the two overlap, and the rates of large networks hold
    for convolutions whose bytes moved meanwhile."""
    share = single if kernel.single else 1.0
    computing = 1e-9 * (
        kernel.flops.dense / (rates.dense * share) + kernel.flops.depthwise / rates.depthwise
    )
    return max(computing, 1e-9 * kernel.moved / rates.bandwidth)


def stage_seconds(cost: StageCost, board: Board) -> Span:
    return board.span(
        lambda rates: sum(kernel_seconds(k, rates, board.single) for k in cost.kernels)
    )
