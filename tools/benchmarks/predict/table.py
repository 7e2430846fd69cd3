"""Tables of the prediction for people (terminal), and its figures for machines (JSON)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType

from mammosono.appliance.pipeline.denoise.network import STAGE
from mammosono.tools import tables
from mammosono.tools.benchmarks.predict.graph import StageCost
from mammosono.tools.benchmarks.predict.measurements import NARROW, SQUARE, ValCheck
from mammosono.tools.benchmarks.predict.networks import PAPER_TARGET_S, BoardPrediction
from mammosono.tools.benchmarks.predict.prediction import DENOISE_THREADS, Prediction, Span

SCHEMA = 1
PREDICTION = "PREDICTION, computed from the graphs and from rates that others measured. No board."
NOT_SHOWN = (
    "Accuracy: 'none' computes the same answers; 'little' and 'sweep' are unproven until networks "
    "so changed are trained and compared."
)
_FIGURES = ("dice_mean", "auc", "box_hit", "findings_per_image")


def as_dict(prediction: BoardPrediction) -> dict[str, Any]:
    """Plain values for JSON with stable keys: seconds, MB (10^6 bytes), GFLOP."""
    board = prediction.board
    return {
        "schema": SCHEMA,
        "prediction": True,
        "day": prediction.day.isoformat(),
        "board": tables.plain(board),
        "host_timed_on": {**tables.plain(prediction.machine), "busy": prediction.machine.busy},
        "networks": [_network(network) for network in prediction.networks],
        "variants_of_paper": [
            {
                "accuracy": variant.effect,
                "reason": variant.reason,
                **_network(network),
            }
            for variant, network in prediction.variants
        ],
        "val": None if prediction.val is None else _val(prediction.val),
        "target": {"paper_network_s": PAPER_TARGET_S, "met": prediction.target_met},
    }


def _network(prediction: Prediction) -> dict[str, Any]:
    flops = prediction.network.flops
    return {
        "name": prediction.network.name,
        "input_size": list(prediction.network.geometry.input_size),
        "dense_gflop": flops.dense / 1e9,
        "depthwise_gflop": flops.depthwise / 1e9,
        "stages": {
            stage: {**_stage(cost), "seconds": tables.plain(seconds)}
            for stage, cost, seconds in _each_stage(prediction)
        },
        "network_s": tables.plain(prediction.seconds),
        "denoiser_s": tables.plain(prediction.denoiser),
        "host_s": tables.plain(prediction.host),
        "host_here_s": [tables.plain(work) for work in prediction.work],
        "image_s": tables.plain(prediction.image),
        "pair_s": tables.plain(prediction.pair),
        "weights_mb": prediction.weights,
        "scratch_mb": prediction.scratch,
        "bindings_mb": prediction.bindings,
        "peak_mb": tables.plain(prediction.memory),
    }


def _each_stage(prediction: Prediction) -> Iterator[tuple[str, StageCost, Span]]:
    for stage, cost in prediction.network.stages.items():
        yield stage, cost, prediction.stages[stage]
    if prediction.network.denoiser:
        yield STAGE, prediction.network.denoiser, prediction.denoiser


def _stage(cost: StageCost) -> dict[str, float]:
    return {
        "dense_gflop": cost.flops.dense / 1e9,
        "depthwise_gflop": cost.flops.depthwise / 1e9,
        "kernels": len(cost.kernels),
        "weights_mb": cost.weights / 1e6,
        "moved_mb": cost.moved / 1e6,
        "gathered_mb": cost.gathered / 1e6,
        "scratch_mb": cost.scratch / 1e6,
    }


def _val(val: ValCheck) -> dict[str, Any]:
    return {
        "caps": [
            {
                "proposals": row.caps[0],
                "findings": row.caps[1],
                "figures": {m.value: tables.plain(group) for m, group in row.figures.items()},
            }
            for row in val.caps
        ],
        "scale_on_narrow_canvas": {m.value: ratio for m, ratio in val.narrower.items()},
    }


def as_rich(prediction: BoardPrediction) -> RenderableType:
    return Group(*_parts(prediction))


def _parts(prediction: BoardPrediction) -> Iterator[RenderableType]:
    board = prediction.board
    yield f"[bold]{PREDICTION}[/bold]"
    yield f"{prediction.day}, {board.name}. Each figure: at best / planned / at worst."
    yield _networks(prediction)
    yield (
        f"Network: {_rates(prediction)}; every kernel takes the longer of computing and moving. "
        f"Host: one A57 core taken as {board.best.host:g} / {board.plan.host:g} / "
        f"{board.worst.host:g} times slower than a core here (an assumption), the denoiser on "
        f"{DENOISE_THREADS} threads. A pair: the second image is prepared while the network runs."
    )
    yield (
        f"Memory, MB: libraries {_span(board.libraries, 0)}, kernels' workspace "
        f"{_span(board.workspace, 0)}, processes {_span(board.processes, 0)}, and the network's "
        f"weights, activations and pinned buffers; about {board.memory:.0f} are there."
    )
    if prediction.machine.busy:
        yield (
            f"! This machine is busy (load {prediction.machine.load:.1f}); host times are "
            "processor times, so they are somewhat too long."
        )
    for network in prediction.networks:
        yield _stages(network)
    yield _variants(prediction)
    yield NOT_SHOWN
    yield from (f"- {variant.name}: {variant.reason}." for variant, _ in prediction.variants)
    yield ""
    if prediction.val is not None:
        yield _caps(prediction.val)
        scales = ", ".join(f"{m.value} {r:.2f}" for m, r in prediction.val.narrower.items())
        yield (
            f"A canvas of {NARROW[0]} x {NARROW[1]} in place of {SQUARE[0]} x {SQUARE[1]} shows "
            f"these images at this share of the scale: {scales} (means)."
        )
    verdict = "met on paper" if prediction.target_met else "NOT met"
    plan = prediction.networks[-1].seconds.plan
    yield (
        f"Target, the network of paper at 1024 in less than {PAPER_TARGET_S:.1f} s an image at "
        f"{board.plan.dense:.0f} GFLOP/s: {verdict} ({plan:.2f} s)."
    )


def _rates(prediction: BoardPrediction) -> str:
    rates = (prediction.board.best, prediction.board.plan, prediction.board.worst)
    dense, depthwise, bandwidth = (
        " / ".join(f"{getattr(rate, name):g}" for rate in rates)
        for name in ("dense", "depthwise", "bandwidth")
    )
    return f"dense {dense} GFLOP/s, depthwise {depthwise} GFLOP/s, memory {bandwidth} GB/s"


def _networks(prediction: BoardPrediction) -> RenderableType:
    networks = prediction.networks
    sizes = (each.network.geometry.input_size for each in networks)
    rows = [
        ["", *(each.network.name for each in networks)],
        ["input, px", *(f"{height} x {width}" for height, width in sizes)],
        ["GFLOP", *(f"{each.network.flops.total / 1e9:.1f}" for each in networks)],
        ["network, s an image", *(_span(each.seconds) for each in networks)],
        ["denoiser, s a mammogram", *(_span(each.denoiser) for each in networks)],
        ["host, s an image", *(_span(each.host) for each in networks)],
        ["an image, s", *(_span(each.image) for each in networks)],
        ["a pair, s", *(_span(each.pair) for each in networks)],
        ["peak memory, MB", *(_span(each.memory, 0) for each in networks)],
        ["of it the network's", *(f"{each.own:.0f}" for each in networks)],
    ]
    return tables.terminal(rows, "An image and a pair")


def _stages(prediction: Prediction) -> RenderableType:
    rows = [["MB, ms", "GFLOP", "depthwise", "weights", "moved", "gathered", "scratch", "ms"]]
    for stage, cost, seconds in _each_stage(prediction):
        numbers = _stage(cost)
        work = (f"{numbers[f'{kind}_gflop']:.2f}" for kind in ("dense", "depthwise"))
        memory = ("weights", "moved", "gathered", "scratch")
        megabytes = (f"{numbers[f'{kind}_mb']:.1f}" for kind in memory)
        ms = seconds * 1e3
        rows.append([stage, *work, *megabytes, _span(ms, 1 if ms.high < 100 else 0)])
    return tables.terminal(rows, f"{prediction.network.name}: one run of each stage")


def _variants(prediction: BoardPrediction) -> RenderableType:
    base = prediction.networks[-1]
    rows = [["paper with", "GFLOP", "network s", "host s", "accuracy"]]
    for name, each, effect in (
        ("nothing changed", base, ""),
        *((variant.name, each, variant.effect) for variant, each in prediction.variants),
    ):
        host = _span(each.host) if each is base or each.work != base.work else ""
        work = f"{each.network.flops.total / 1e9:.1f}"
        rows.append([name, work, _span(each.seconds), host, effect])
    return tables.terminal(rows, "Savings for paper")


def _caps(val: ValCheck) -> RenderableType:
    rows = [["Proposals, findings", "Images", "n", "Dice", "AUC", "box hit", "found an image"]]
    for row in val.caps:
        for modality, group in row.figures.items():
            numbers = (f"{group.estimates[key].value:.3f}" for key in _FIGURES)
            caps = f"{row.caps[0]}, {row.caps[1]}"
            rows.append([caps, modality.value, f"{group.n}", *numbers])
    return tables.terminal(rows, "MEASURED here: the bundle on val with fewer RoIs", labels=2)


def _span(span: Span, digits: int = 2) -> str:
    return " / ".join(f"{value:.{digits}f}" for value in (span.low, span.plan, span.high))
