"""`bench`: a pair, the network, a peer; a worker beside it; a board's prediction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mammosono.tools.commands.shared import TRAINED_SOURCES, Json, Sources
from mammosono.tools.console import bar, bars, fail, refusals


class BoardName(str, Enum):
    nano = "nano"


def bench(
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="BUNDLE", help="Bundle folder; the shipped one if left out."),
    ] = None,
    runs: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds to measure.")] = 7,
    peer: Annotated[
        bool, typer.Option("--peer/--no-peer", help="Compare with a ResNet50-FPN Mask R-CNN.")
    ] = True,
    worker: Annotated[
        Path | None,
        typer.Option(
            metavar="PYTHON", help="Compare the network in this process with a worker of PYTHON."
        ),
    ] = None,
    predict: Annotated[
        BoardName | None,
        typer.Option(
            help="Measure no network: compute what this board would need for the bundle, middle "
            "and paper."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="INDEX",
            help="With --predict: also read val with fewer proposals and findings.",
            dir_okay=False,
        ),
    ] = None,
    source: Sources = None,
    as_json: Json = False,
) -> None:
    """Time a pair on this machine step by step, the network's speed, and a peer beside it."""
    if predict is not None:
        _predict(bundle, data, source or TRAINED_SOURCES, as_json)
        return
    if data is not None:
        fail("--data goes with --predict nano")
    if worker is not None:
        with refusals():
            from mammosono.tools.benchmarks.worker_overhead import as_text, worker_overhead

            with bar(Console(stderr=True), "pairs") as told:
                overhead = worker_overhead(str(worker), bundle, runs, on_pair=told)
        typer.echo(json.dumps(asdict(overhead)) if as_json else as_text(overhead))
        return
    with refusals():
        from mammosono.tools.benchmarks.figures import as_dict, as_rich
        from mammosono.tools.benchmarks.measure import run_bench

        with bar(Console(stderr=True), "rounds") as told:
            measured = run_bench(bundle, runs, peer, told)
    if as_json:
        typer.echo(json.dumps(as_dict(measured), indent=2, allow_nan=False))
    else:
        Console().print(as_rich(measured), highlight=False)


def _predict(bundle: Path | None, data: Path | None, sources: Sequence[str], as_json: bool) -> None:
    with refusals():
        from mammosono.tools.benchmarks.predict.measurements import check_on_val
        from mammosono.tools.benchmarks.predict.networks import run_prediction
        from mammosono.tools.benchmarks.predict.prediction import NANO
        from mammosono.tools.benchmarks.predict.table import as_dict, as_rich

        with bars(Console(stderr=True)) as told:
            prediction = run_prediction(NANO, bundle, partial(told, "networks"))
            if data is not None:
                val = check_on_val(bundle, data, sources, partial(told, "reading val"))
                prediction = replace(prediction, val=val)
    if as_json:
        typer.echo(json.dumps(as_dict(prediction), indent=2, allow_nan=False))
    else:
        Console().print(as_rich(prediction), highlight=False)
