"""The bench for machines (JSON) and for people (terminal)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from mammosono.tools.benchmarks.figures import DENOISING_SHARE, TARGET_MS, Bench, Size, Spread
from mammosono.tools.benchmarks.machine import measured_with
from mammosono.tools.benchmarks.pair import NETWORK

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
        "steps_ms": {step: asdict(value) for step, value in bench.steps.items()},
        "outside_network": asdict(bench.outside),
        "denoising": {**asdict(bench.denoising), "most": DENOISING_SHARE},
        "findings": list(bench.findings),
        "stages": {
            stage: {
                "dense_gflop": one.flops.dense / 1e9,
                "depthwise_gflop": one.flops.depthwise / 1e9,
                "ms": asdict(one.milliseconds),
                "gflop_per_s": asdict(one.rate),
            }
            for stage, one in bench.stages.items()
        },
        "network_gflop_per_s": asdict(bench.rate),
        "ceiling_gflop_per_s": asdict(bench.ceiling),
        "of_ceiling": asdict(bench.of_ceiling),
        "peers": [
            {
                "input_size": list(peer.input_size),
                "gflop": peer.flops / 1e9,
                "findings": list(peer.findings),
                "ms": asdict(peer.milliseconds),
                "times_ours": asdict(peer.ratio),
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
        found = "; ".join(_counts(peer.findings) for peer in bench.peers)
        yield f"{PEER} Its findings: {found}."
    said = "met" if bench.target_met else "NOT met"
    total = bench.steps["total"].median
    yield f"Target, a pair in less than {TARGET_MS:.0f} ms on two cores: {said} ({total:.0f} ms)."


def _steps(bench: Bench) -> Table:
    table = _table("A pair, bytes to document", "Step", "ms", "least - most")
    for step, value in bench.steps.items():
        if step == "total":
            table.add_section()
        table.add_row(step, _number(value.median), _range(value))
    return table


def _network(bench: Bench) -> Table:
    columns = ("Stage", "dense GFLOP", "depthwise", "ms", "GFLOP/s", "least - most")
    table = _table("The network on one image, alone", *columns)
    for stage in NETWORK:
        one = bench.stages[stage]
        work = (f"{each / 1e9:.3f}" for each in (one.flops.dense, one.flops.depthwise))
        table.add_row(
            stage, *work, _number(one.milliseconds.median), f"{one.rate.median:.0f}",
            _range(one.rate, 0),
        )  # fmt: skip
    table.add_section()
    flops = [one.flops for one in bench.stages.values()]
    dense, depthwise = sum(f.dense for f in flops), sum(f.depthwise for f in flops)
    table.add_row(
        "network", f"{dense / 1e9:.3f}", f"{depthwise / 1e9:.3f}", "",
        f"{bench.rate.median:.0f}", _range(bench.rate, 0),
    )  # fmt: skip
    ceiling = bench.ceiling
    table.add_row("ceiling", "", "", "", f"{ceiling.median:.0f}", _range(ceiling, 0))
    return table


def _peers(bench: Bench) -> Table:
    columns = ("Input", "GFLOP", "ms a pair", "least - most", "times ours", "least - most")
    table = _table("The same pair, read by the peer", *columns)
    for peer in bench.peers:
        table.add_row(
            _size(peer.input_size), f"{peer.flops / 1e9:.0f}", f"{peer.milliseconds.median:.0f}",
            _range(peer.milliseconds, 0), f"{peer.ratio.median:.1f}", _range(peer.ratio),
        )  # fmt: skip
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for k, column in enumerate(columns):
        table.add_column(column, justify="right" if k else "left", no_wrap=True)
    return table


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
