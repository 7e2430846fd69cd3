"""Figures of the bench: medians, rates, ratios by round; as JSON and as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Any

from rich.console import Group, RenderableType

from mammosono.appliance.values import ModelInfo
from mammosono.tools import tables
from mammosono.tools.benchmarks.flops import Flops
from mammosono.tools.benchmarks.workload import (
    NETWORK,
    STEPS,
    BenchMachine,
    TimedPair,
    measured_with,
)

TARGET_MS = 1000.0
"""A pair is to take less than this on two cores."""

DENOISING_SHARE = 0.25
"""Denoising may take this much of a pair's time."""

Size = tuple[int, int]
"""(height, width) in px."""

SCHEMA = 1
OVERLAP = (
    "Steps are wall times. The second image is prepared while the network runs on the first, so "
    "steps overlap and may add up to more than the total."
)
CEILING = (
    "The ceiling is a plain FP32 matrix product. Depthwise convolutions cannot come near it: they "
    "do only a few operations with every number that they fetch."
)
PEER = (
    "Peer: ResNet50-FPN Mask R-CNN in torch, 1000 proposals, 100 findings, spared the denoising, "
    "the masks in pixels and the document. GFLOP: an image. Times ours: median of each round's "
    "own ratio."
)


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
    machine: BenchMachine
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
    return {step: spread([each.pair.milliseconds[step] for each in rounds]) for step in STEPS}


def stage_figures(
    rounds: Sequence[Round], flops: Mapping[str, Flops], images: int
) -> dict[str, StageFigures]:
    figures = {}
    for stage in NETWORK:
        milliseconds = [each.alone[stage] / images for each in rounds]
        rates = [gflops(flops[stage].total, each) for each in milliseconds]
        figures[stage] = StageFigures(flops[stage], spread(milliseconds), spread(rates))
    return figures


def network_rates(
    rounds: Sequence[Round], flops: Mapping[str, Flops], images: int
) -> tuple[Spread, Spread]:
    """GFLOP/s of the stages together, and their share of the ceiling."""
    work = images * sum(flops[stage].total for stage in NETWORK)
    rates = [gflops(work, sum(each.alone.values())) for each in rounds]
    shares = [rate / each.ceiling for rate, each in zip(rates, rounds, strict=True)]
    return spread(rates), spread(shares)


def denoising_share(rounds: Sequence[Round]) -> Spread:
    pairs = [(each.raw.milliseconds["total"], each.pair.milliseconds["total"]) for each in rounds]
    return spread([1 - raw / whole for raw, whole in pairs])


def peer_figures(rounds: Sequence[Round]) -> tuple[PeerFigures, ...]:
    ours = [each.pair.milliseconds["total"] for each in rounds]
    return tuple(
        PeerFigures(
            runs[0].input_size,
            runs[0].flops,
            runs[0].findings,
            spread([run.milliseconds for run in runs]),
            spread([run.milliseconds / own for run, own in zip(runs, ours, strict=True)]),
        )
        for runs in zip(*(each.peers for each in rounds), strict=True)
    )


def as_dict(bench: Bench) -> dict[str, Any]:
    """Plain values for JSON with stable keys: milliseconds, GFLOP, GFLOP/s, shares in 0..1."""
    return {
        "schema": SCHEMA,
        **measured_with(bench.day, bench.machine, bench.model),
        "runtime": bench.model.runtime,
        "input_size": list(bench.input_size),
        "images": [list(size) for size in bench.images],
        "threads": bench.threads,
        "runs": bench.runs,
        "steps_ms": tables.plain(bench.steps),
        "outside_network": tables.plain(bench.outside),
        "denoising": {**tables.plain(bench.denoising), "most": DENOISING_SHARE},
        "findings": list(bench.findings),
        "stages": {
            stage: {
                "dense_gflop": figures.flops.dense / 1e9,
                "depthwise_gflop": figures.flops.depthwise / 1e9,
                "ms": tables.plain(figures.milliseconds),
                "gflop_per_s": tables.plain(figures.rate),
            }
            for stage, figures in bench.stages.items()
        },
        "network_gflop_per_s": tables.plain(bench.rate),
        "ceiling_gflop_per_s": tables.plain(bench.ceiling),
        "of_ceiling": tables.plain(bench.of_ceiling),
        "peers": [
            {
                "input_size": list(peer.input_size),
                "gflop": peer.flops / 1e9,
                "findings": list(peer.findings),
                "ms": tables.plain(peer.milliseconds),
                "times_ours": tables.plain(peer.ratio),
            }
            for peer in bench.peers
        ],
        "target": {"ms": TARGET_MS, "met": bench.target_met},
    }


def as_rich(bench: Bench) -> RenderableType:
    return Group(*_parts(bench))


def _parts(bench: Bench) -> Iterator[RenderableType]:
    machine, model = bench.machine, bench.model
    yield (
        f"{bench.day}, {machine.processor}, {machine.cores} cores, {bench.threads} threads, "
        f"{model.runtime}, model {model.name} {model.version} at {_size(bench.input_size)}; "
        f"medians of {bench.runs}"
    )
    if machine.busy:
        yield f"! The machine was busy (load {machine.load:.1f} before the start): run it again."
    yield _steps(bench)
    yield (
        f"Images of {' and '.join(map(_size, bench.images))} px; findings: "
        f"{_counts(bench.findings)} (the masks stage runs where there are any)."
    )
    yield f"Outside the network: {_percent(bench.outside)} of the total. {OVERLAP}"
    low = "met" if bench.denoising.median <= DENOISING_SHARE else "NOT met"
    yield (
        f"Denoising takes {_percent(bench.denoising)} of the total, against the same pair left "
        f"noisy, in turns; target, at most {DENOISING_SHARE:.0%}: {low}."
    )
    yield _network(bench)
    yield f"The network reaches {_percent(bench.of_ceiling)} of the ceiling. {CEILING}"
    if bench.peers:
        yield _peers(bench)
        findings = "; ".join(_counts(peer.findings) for peer in bench.peers)
        yield f"{PEER} Its findings: {findings}."
    verdict = "met" if bench.target_met else "NOT met"
    total = bench.steps["total"].median
    target = f"a pair in less than {TARGET_MS:.0f} ms on two cores"
    yield f"Target, {target}: {verdict} ({total:.0f} ms)."


def _steps(bench: Bench) -> RenderableType:
    rows = [["Step", "ms", "least - most"]]
    rows += [[step, _number(ms.median), _range(ms)] for step, ms in bench.steps.items()]
    return tables.terminal(rows, "A pair, bytes to document", lines=[1 + STEPS.index("total")])


def _network(bench: Bench) -> RenderableType:
    rows = [["Stage", "dense GFLOP", "depthwise", "ms", "GFLOP/s", "least - most"]]
    for name in NETWORK:
        stage = bench.stages[name]
        ms, rate = _number(stage.milliseconds.median), f"{stage.rate.median:.0f}"
        rows.append([name, *_work(stage.flops), ms, rate, _range(stage.rate, 0)])
    each = [stage.flops for stage in bench.stages.values()]
    work = _work(Flops(sum(f.dense for f in each), sum(f.depthwise for f in each)))
    rows.append(["network", *work, "", f"{bench.rate.median:.0f}", _range(bench.rate, 0)])
    ceiling = bench.ceiling
    rows.append(["ceiling", "", "", "", f"{ceiling.median:.0f}", _range(ceiling, 0)])
    return tables.terminal(rows, "The network on one image, alone", lines=[1 + len(NETWORK)])


def _peers(bench: Bench) -> RenderableType:
    rows = [["Input", "GFLOP", "ms a pair", "least - most", "times ours", "least - most"]]
    for peer in bench.peers:
        time, ratio = peer.milliseconds, peer.ratio
        work = f"{peer.flops / 1e9:.0f}"
        ms = [f"{time.median:.0f}", _range(time, 0)]
        rows.append([_size(peer.input_size), work, *ms, f"{ratio.median:.1f}", _range(ratio)])
    return tables.terminal(rows, "The same pair, read by the peer")


def _work(flops: Flops) -> list[str]:
    return [f"{each / 1e9:.3f}" for each in (flops.dense, flops.depthwise)]


def _size(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


def _counts(findings: tuple[int, ...]) -> str:
    return " and ".join(map(str, findings))


def _number(value: float) -> str:
    return f"{value:.1f}"


def _range(value: Spread, digits: int = 1) -> str:
    return f"{value.low:.{digits}f} - {value.high:.{digits}f}"


def _percent(share: Spread) -> str:
    return f"{share.median:.0%} ({share.low:.0%} - {share.high:.0%})"
