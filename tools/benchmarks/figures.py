"""From rounds of measurements to the figures of the bench: medians, rates, ratios by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median

from mammosono.appliance.values import ModelInfo
from mammosono.tools.benchmarks.flops import Flops
from mammosono.tools.benchmarks.machine import Machine
from mammosono.tools.benchmarks.pair import NETWORK, STEPS, TimedPair

TARGET_MS = 1000.0
"""A pair is to take less than this on two cores."""

DENOISING_SHARE = 0.25
"""Denoising may take this much of a pair's time."""

Size = tuple[int, int]
"""(height, width) in px."""


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PeerRun:
    """One pair read by a peer. milliseconds: wall; findings: of each image."""

    input_size: Size
    flops: int
    milliseconds: float
    findings: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """One of everything, in the order of the fields, right after each other.

    raw: the same pair with its noise left in it.
    alone: wall milliseconds of each stage for both images with nothing beside it.
    ceiling: GFLOP/s of a matrix product.
    """

    pair: TimedPair
    raw: TimedPair
    alone: Mapping[str, float]
    ceiling: float
    peers: tuple[PeerRun, ...]


@dataclass(frozen=True, slots=True)
class StageFigures:
    """One stage on one image, alone. rate: GFLOP/s."""

    flops: Flops
    milliseconds: Spread
    rate: Spread


@dataclass(frozen=True, slots=True)
class PeerFigures:
    """flops: an image. ratio: the peer's time over ours, round by round."""

    input_size: Size
    flops: int
    findings: tuple[int, ...]
    milliseconds: Spread
    ratio: Spread


@dataclass(frozen=True, slots=True)
class Bench:
    """steps: wall milliseconds for the pair. outside: share of the total, 0..1.

    denoising: what the pair's total has more than the raw pair's, as a share of it, by round.
    rate: GFLOP/s of the three stages alone; of_ceiling: its share of the ceiling, by round.
    """

    day: date
    machine: Machine
    model: ModelInfo
    input_size: Size
    images: tuple[Size, ...]
    threads: int
    runs: int
    steps: Mapping[str, Spread]
    outside: Spread
    denoising: Spread
    findings: tuple[int, ...]
    stages: Mapping[str, StageFigures]
    rate: Spread
    ceiling: Spread
    of_ceiling: Spread
    peers: tuple[PeerFigures, ...]

    @property
    def target_met(self) -> bool:
        return self.steps["total"].median < TARGET_MS


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def gflops(flops: int, milliseconds: float) -> float:
    """GFLOP/s"""
    return 1e-6 * flops / milliseconds


def step_figures(rounds: Sequence[Round]) -> dict[str, Spread]:
    return {step: spread([one.pair.milliseconds[step] for one in rounds]) for step in STEPS}


def stage_figures(
    rounds: Sequence[Round], flops: Mapping[str, Flops], images: int
) -> dict[str, StageFigures]:
    figures = {}
    for stage in NETWORK:
        milliseconds = [one.alone[stage] / images for one in rounds]
        rates = [gflops(flops[stage].total, each) for each in milliseconds]
        figures[stage] = StageFigures(flops[stage], spread(milliseconds), spread(rates))
    return figures


def network_rates(
    rounds: Sequence[Round], flops: Mapping[str, Flops], images: int
) -> tuple[Spread, Spread]:
    """GFLOP/s of the stages together, and their share of the ceiling."""
    work = images * sum(flops[stage].total for stage in NETWORK)
    rates = [gflops(work, sum(one.alone.values())) for one in rounds]
    shares = [rate / one.ceiling for rate, one in zip(rates, rounds, strict=True)]
    return spread(rates), spread(shares)


def denoising_share(rounds: Sequence[Round]) -> Spread:
    pairs = [(one.raw.milliseconds["total"], one.pair.milliseconds["total"]) for one in rounds]
    return spread([1 - raw / whole for raw, whole in pairs])


def peer_figures(rounds: Sequence[Round]) -> tuple[PeerFigures, ...]:
    ours = [one.pair.milliseconds["total"] for one in rounds]
    return tuple(
        PeerFigures(
            runs[0].input_size,
            runs[0].flops,
            runs[0].findings,
            spread([run.milliseconds for run in runs]),
            spread([run.milliseconds / own for run, own in zip(runs, ours, strict=True)]),
        )
        for runs in zip(*(one.peers for one in rounds), strict=True)
    )
