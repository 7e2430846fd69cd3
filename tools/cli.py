"""The command line of the offline side."""

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

from tools.console import bar, bars, fail, refusals

TRAINED_SOURCES = ("BUSI", "CBIS-DDSM")
"""The CC BY sources: the only ones that shipped weights may have seen."""

app = typer.Typer(
    name="mammosono-tools",
    help="Train the network, judge it, and turn it into a bundle for the appliance.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Index = Annotated[
    Path,
    typer.Option(
        "--data", metavar="INDEX", help="index.csv of the labelled images.", dir_okay=False
    ),
]
Sources = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="NAME", help="Use this source alone; may be repeated."),
]


class Preset(str, Enum):
    compact = "compact"
    compact_scratch = "compact-scratch"
    middle = "middle"
    paper = "paper"


class Precision(str, Enum):
    fp16 = "fp16"
    fp32 = "fp32"


class BoardName(str, Enum):
    nano = "nano"


class Split(str, Enum):
    train = "train"
    val = "val"
    test = "test"


def main() -> None:
    app()


@app.callback()
def options() -> None:
    """Options of the command itself."""


@app.command()
def phantoms(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the PNGs and index.csv.")],
    count: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Pictures of each modality; 12 fill every split."),
    ] = 12,
    seed: Annotated[int, typer.Option(metavar="N", help="First seed.")] = 1,
) -> None:
    """Draw labelled test pictures with exact masks, as an index that train and evaluate read.

    Their source is `phantom`: the name to give with --source.
    """
    with refusals():
        from tools.data.draw import draw_index

        path = draw_index(out, count, seed)
    Console().print(f"Drawn: {path}", highlight=False, soft_wrap=True)


@app.command()
def train(
    data: Index,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Run folder; resumed if it exists.")],
    preset: Annotated[
        Preset, typer.Option(help="The configuration to start from.")
    ] = Preset.compact,
    source: Sources = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Passes over the data.")
    ] = None,
    rate: Annotated[float | None, typer.Option(metavar="X", help="Peak learning rate.")] = None,
    batch: Annotated[int | None, typer.Option(metavar="N", min=1, help="Images a batch.")] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW", help="Network input, for a shorter first run at low resolution."
        ),
    ] = None,
    initial: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Start from the best weights of this run.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of everything drawn.")] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Processes that augment.")] = 1,
) -> None:
    """Train the network; Ctrl-C stops with a checkpoint, the same command goes on from it.

    The run folder gets config.json, last.pt, best.pt, curves.csv and curves.png.
    """
    input_size = None if size is None else _size(size)
    given = {"epochs": epochs, "learning_rate": rate, "batch_size": batch, "seed": seed}
    console = Console()
    with refusals():
        from tools.data.index import read_index
        from tools.network.config import preset as named
        from tools.training.loop import Trainer
        from tools.training.material import split_material
        from tools.training.report import show_epoch, step_bar
        from tools.training.weights import best_network

        config = named(preset.value)
        if input_size is not None:
            geometry = replace(config.network.geometry, input_size=input_size)
            config = replace(config, network=replace(config.network, geometry=geometry))
        config = replace(config, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
        start = best_network(initial, config.network).state_dict() if initial else None
        records = read_index(data)
        with bar(console, "reading images") as told:
            train_samples, val_samples = split_material(
                records, source or TRAINED_SOURCES, config.network.geometry.input_size, told
            )
        out.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(out, config, train_samples, val_samples, workers=workers, initial=start)
        with step_bar(console) as on_step:
            finished = trainer.fit(on_step, lambda *epoch: show_epoch(console, *epoch))
    if finished:
        console.print("Trained. Next: mammosono-tools export", highlight=False)
    else:
        console.print("Stopped; the same command goes on from here.", highlight=False)


@app.command()
def export(
    run: Annotated[Path, typer.Option(metavar="RUN", help="Run folder of `train`.")],
    out: Annotated[Path, typer.Option(metavar="BUNDLE", help="Bundle folder to write.")],
    data: Index,
    source: Sources = None,
    name: Annotated[str, typer.Option(help="The model's name.")] = "compact",
    version: Annotated[str, typer.Option(help="The model's version.")] = "1.0.0",
    sensitivity: Annotated[
        float,
        typer.Option(metavar="X", min=0.01, max=1.0, help="Of each modality's verdict, on val."),
    ] = 0.9,
) -> None:
    """Turn a run's best weights into a bundle: ONNX stages, thresholds, manifest.

    Refused if onnxruntime and torch differ on real images by more than the stated bound.
    """
    console = Console()
    with refusals():
        from tools.bundle.export import export_bundle
        from tools.data.index import read_index

        with bars(console) as told:
            manifest = export_bundle(
                run, out, read_index(data), source or TRAINED_SOURCES,
                name=name, version=version, sensitivity=sensitivity, on_image=told,
            )  # fmt: skip
    for key, difference in manifest["training"]["parity"].items():
        console.print(f"torch against onnxruntime, {key}: {difference:.1e}", highlight=False)
    console.print(f"operating points: {manifest['operating_points']}", highlight=False)
    console.print(f"Bundle: {out}", highlight=False, soft_wrap=True)


@app.command("half-precision")
def half_precision(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle folder to add to.")],
) -> None:
    """Add to an exported bundle what TensorRT needs: FP32 nodes, mixed graphs, stored tensors.

    `export` writes them itself; this is for a bundle made before it did. Graphs and numbers stay.
    """
    with refusals():
        from tools.bundle.half_precision import add_half_precision

        manifest = add_half_precision(bundle)
    for stage, entry in manifest["stages"].items():
        typer.echo(f"{stage}: {entry['mixed']['file']}, {len(entry['fp32'])} nodes at FP32")
    typer.echo(f"Stored tensors: {manifest['parity']['file']}")


@app.command("check-graphs")
def check_graphs(
    bundles: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[BUNDLE]...", help="Bundle folders; every shipped one if none."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="INDEX",
            help="index.csv of images to try the graphs on; phantoms if left out.",
            dir_okay=False,
        ),
    ] = None,
    source: Sources = None,
    images: Annotated[
        int, typer.Option(metavar="N", min=2, help="Images of the index, spread over it.")
    ] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")] = False,
) -> None:
    """Check the graphs of bundles for TensorRT and half precision, without a GPU.

    Operators and side rules of TensorRT 8.2, mixed graphs, FP16's range, half-precision reading
    against FP32, stored tensors, and a real build where tensorrt_rtx is installed.
    Exit status 1 if a check fails.
    """
    with refusals():
        from tools.bundle import check
        from tools.data.index import read_index, select

        pictures = (
            check.some_images(select(read_index(data), sources=source), images)
            if data
            else check.phantoms()
        )
        with bar(Console(stderr=True), "checks") as told:
            found = check.check_graphs(bundles or check.shipped(), pictures, told)
    if as_json:
        typer.echo(json.dumps(check.as_dict(found), indent=2, allow_nan=False))
    else:
        Console().print(check.as_rich(found))
    if not check.passed(found):
        raise typer.Exit(1)


@app.command("build-engine")
def build_engine(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle folder.")],
    python: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            envvar="MAMMOSONO_WORKER_PYTHON",
            help="Python that has tensorrt and pycuda; this one if left out.",
        ),
    ] = None,
    plans: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            envvar="MAMMOSONO_PLANS",
            help="Where the plans go; `plans` in the bundle's folder if left out.",
        ),
    ] = None,
    workspace_mb: Annotated[
        int, typer.Option(metavar="N", min=16, help="Memory TensorRT may use for a layer, in MB.")
    ] = 256,
    precision: Annotated[Precision, typer.Option(help="Of the layers that can have it.")] = (
        Precision.fp16
    ),
) -> None:
    """Build the bundle's TensorRT engines on this device, and try them on stored tensors.

    Stop the service first. A Jetson Nano takes up to an hour and a half; what was built before
    stays in use until the new engines have passed.
    """
    with refusals():
        from tools.engine.build import build_engine as build

        build(
            bundle,
            Console(),
            python=python,
            plans=plans,
            workspace_mb=workspace_mb,
            precision=precision.value,
        )


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Option(metavar="BUNDLE", help="Bundle folder to judge.")],
    data: Index,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for tables and per-image rows.")],
    split: Annotated[Split, typer.Option(help="Which images.")] = Split.test,
    source: Sources = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print metrics.json, nothing else.")
    ] = False,
) -> None:
    """Run the device's own reader over labelled images and measure it, with 95 % intervals."""
    console = Console()
    with refusals():
        from tools.judge.evaluate import run_evaluation
        from tools.judge.table import as_dict, as_rich

        with bar(Console(stderr=True) if as_json else console, "reading") as told:
            evaluation = run_evaluation(
                bundle, data, split.value, out, sources=source, progress=told
            )
    if as_json:
        typer.echo(json.dumps(as_dict(evaluation), indent=2, allow_nan=False))
    else:
        console.print(as_rich(evaluation))


@app.command()
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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")] = False,
) -> None:
    """Time a pair on this machine step by step, the network's speed, and a peer beside it."""
    if predict is not None:
        _predict(bundle, data, source or TRAINED_SOURCES, as_json)
        return
    if data is not None:
        fail("--data goes with --predict nano")
    if worker is not None:
        with refusals():
            from tools.bench.worker_overhead import as_text, worker_overhead

            with bar(Console(stderr=True), "pairs") as told:
                overhead = worker_overhead(str(worker), bundle, runs, on_pair=told)
        typer.echo(json.dumps(asdict(overhead)) if as_json else as_text(overhead))
        return
    with refusals():
        from tools.bench.measure import run_bench
        from tools.bench.table import as_dict, as_rich

        with bar(Console(stderr=True), "rounds") as told:
            measured = run_bench(bundle, runs, peer, told)
    if as_json:
        typer.echo(json.dumps(as_dict(measured), indent=2, allow_nan=False))
    else:
        Console().print(as_rich(measured), highlight=False)


@app.command()
def load(
    url: Annotated[str, typer.Option(help="A running box.")] = "http://127.0.0.1:8000",
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File that holds a workstation's token.")
    ] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="The box's certificate.")] = None,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")] = False,
) -> None:
    """Put a running box under load, and compare it with a bare reader on this machine."""
    with refusals():
        import httpx

        from appliance.station.client import BoxError, connect
        from tools.load.run import run_load
        from tools.load.table import as_dict, as_rich

        token = token_file.read_text("utf-8").strip() if token_file else None
        try:
            with bar(Console(stderr=True), "levels") as told:
                measured = run_load(
                    partial(connect, url, token, ca), clients or [1, 4, 16], seconds, rounds, told
                )
        except (httpx.HTTPError, BoxError) as error:
            fail(f"{url}: {error}")
    if as_json:
        typer.echo(json.dumps(as_dict(measured), indent=2, allow_nan=False))
    else:
        Console().print(as_rich(measured), highlight=False)


def _predict(bundle: Path | None, data: Path | None, sources: Sequence[str], as_json: bool) -> None:
    with refusals():
        from tools.bench.predict.board import NANO
        from tools.bench.predict.caps import check_on_val
        from tools.bench.predict.run import run_prediction
        from tools.bench.predict.table import as_dict, as_rich

        with bars(Console(stderr=True)) as told:
            predicted = run_prediction(NANO, bundle, partial(told, "networks"))
            if data is not None:
                val = check_on_val(bundle, data, sources, partial(told, "reading val"))
                predicted = replace(predicted, val=val)
    if as_json:
        typer.echo(json.dumps(as_dict(predicted), indent=2, allow_nan=False))
    else:
        Console().print(as_rich(predicted), highlight=False)


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        fail("--size is HEIGHTxWIDTH, for example 448x320")
    if height % 64 or width % 64 or min(height, width) < 64:
        fail("--size must be multiples of 64")
    return height, width
