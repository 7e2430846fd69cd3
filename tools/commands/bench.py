"""`bench`, `bench-denoise`, `load`: time and quality here, and a service under load."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mammosono.appliance.commands.kit import Console, say, say_json
from mammosono.tools.commands.shared import Json, Sources, trained_sources
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
    exam: Annotated[
        bool,
        typer.Option(
            "--exam",
            help="Read an exam of four films and eight stills at their real size, in four "
            "encodings, in the reader's own process.",
        ),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKOUT",
            help="With --exam: another version's checkout, read in turns with this one, both with "
            "its bundle (or --bundle).",
            file_okay=False,
            exists=True,
        ),
    ] = None,
    reduction: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="With --exam: sides of the pictures, divided by N."),
    ] = 1,
    source: Sources = None,
    as_json: Json = False,
) -> None:
    """Time a pair on this machine step by step, the network's speed, and a peer beside it."""
    if exam:
        _exam(bundle, against, runs, reduction, as_json)
        return
    if against is not None or reduction != 1:
        fail("--against and --reduction go with --exam")
    if predict is not None:
        _predict(bundle, data, source, as_json)
        return
    if data is not None:
        fail("--data goes with --predict nano")
    if worker is not None:
        with refusals():
            from mammosono.tools.benchmarks.worker_overhead import as_text, worker_overhead

            with bar(Console(stderr=True), "pairs") as progress:
                overhead = worker_overhead(str(worker), bundle, runs, on_pair=progress)
        say(json.dumps(asdict(overhead)) if as_json else as_text(overhead))
        return
    with refusals():
        from mammosono.tools.benchmarks.figures import as_dict, as_rich
        from mammosono.tools.benchmarks.measure import run_bench

        with bar(Console(stderr=True), "rounds") as progress:
            measured = run_bench(bundle, runs, peer, progress)
    if as_json:
        say_json(json.dumps(as_dict(measured), indent=2, allow_nan=False))
    else:
        Console().print(as_rich(measured), highlight=False)


def _exam(
    bundle: Path | None, against: Path | None, runs: int, reduction: int, as_json: bool
) -> None:
    with refusals():
        from mammosono.tools.benchmarks.exam.measure import run_exam_bench
        from mammosono.tools.benchmarks.exam.table import as_dict, as_rich

        with bar(Console(stderr=True), "exams") as progress:
            measured = run_exam_bench(against, bundle, runs, progress, reduction)
    if as_json:
        say_json(json.dumps(as_dict(measured), indent=2, allow_nan=False))
    else:
        Console().print(as_rich(measured), highlight=False)


def _predict(
    bundle: Path | None, data: Path | None, sources: Sequence[str] | None, as_json: bool
) -> None:
    with refusals():
        from mammosono.tools.benchmarks.predict.measurements import check_on_val
        from mammosono.tools.benchmarks.predict.networks import run_prediction
        from mammosono.tools.benchmarks.predict.prediction import NANO
        from mammosono.tools.benchmarks.predict.table import as_dict, as_rich

        with bars(Console(stderr=True)) as progress:
            prediction = run_prediction(NANO, bundle, partial(progress, "networks"))
            if data is not None:
                own = sources or trained_sources(bundle)
                val = check_on_val(bundle, data, own, partial(progress, "reading val"))
                prediction = replace(prediction, val=val)
    if as_json:
        say_json(json.dumps(as_dict(prediction), indent=2, allow_nan=False))
    else:
        Console().print(as_rich(prediction), highlight=False)


def bench_denoise(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="INDEX",
            help="Also measure contrast and looks on real lesions of its val.",
            dir_okay=False,
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="BUNDLE", help="Bundle folder; the shipped one if left out."),
    ] = None,
    denoiser: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Run of train-denoiser, in place of the bundle's stage."),
    ] = None,
    sizes: Annotated[
        list[int] | None,
        typer.Option(
            "--size", metavar="PX", min=64, help="Side of the phantoms; may be repeated. [512 1024]"
        ),
    ] = None,
    runs: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Phantoms of each modality, size and noise."),
    ] = 4,
    images: Annotated[
        int, typer.Option(metavar="N", min=1, help="Real pictures of each modality, at most.")
    ] = 40,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers/--no-peers", help="Compare with scikit-image and, where installed, BM3D."
        ),
    ] = True,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw denoise-*.png there, before, after and removed."),
    ] = None,
    source: Sources = None,
    as_json: Json = False,
) -> None:
    """Measure the denoisers beside public ones: gain, lesion borders, real contrast, time."""
    with refusals():
        from mammosono.tools.benchmarks.denoise.run import draw_pictures, run_bench_denoise
        from mammosono.tools.benchmarks.denoise.table import as_dict, as_rich

        with bars(Console(stderr=True)) as progress:
            measured = run_bench_denoise(
                bundle, data, denoiser=denoiser,
                sources=source or (trained_sources(bundle) if data else ()),
                sizes=tuple(sizes or (512, 1024)),
                runs=runs, images=images, peers=peers, progress=progress,
            )  # fmt: skip
        if pictures is not None:
            draw_pictures(pictures, bundle)
    if as_json:
        say_json(json.dumps(as_dict(measured), indent=2, allow_nan=False))
    else:
        Console().print(as_rich(measured), highlight=False)


def load(
    url: Annotated[str, typer.Option(help="A running appliance.")] = "http://127.0.0.1:8000",
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File that holds a workstation's token.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The appliance's certificate.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="S", min=1, help="Of each number of clients.")
    ] = 30,
    clients: Annotated[
        list[int] | None,
        typer.Option("--clients", metavar="N", min=1, help="May be repeated; 1, 4 and 16 if not."),
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Pairs to compare with a bare reader; 0 is none."),
    ] = 15,
    as_json: Json = False,
) -> None:
    """Put a running appliance under load, and compare it with a bare reader on this machine."""
    with refusals():
        import httpx

        from mammosono.appliance.workstation.client import ClientError, connect
        from mammosono.tools.benchmarks.load import as_dict, as_rich, run_load

        token = token_file.read_text("utf-8").strip() if token_file else None
        try:
            with bar(Console(stderr=True), "levels") as progress:
                measured = run_load(
                    partial(connect, url, token, ca),
                    clients or [1, 4, 16],
                    seconds,
                    rounds,
                    progress,
                )
        except (httpx.HTTPError, ClientError) as error:
            fail(f"{url}: {error}")
    if as_json:
        say_json(json.dumps(as_dict(measured), indent=2, allow_nan=False))
    else:
        Console().print(as_rich(measured), highlight=False)
    if not measured.sound:
        fail("Pairs ended in errors, or none was read: these figures are of no sound appliance.")
