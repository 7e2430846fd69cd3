"""`export`, `half-precision`, `check-graphs` and `build-engine`: a trained network as a bundle."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from mammosono.appliance.commands.kit import Console, say, say_json
from mammosono.tools.commands.shared import Index, Json, OutOfFold, Sources
from mammosono.tools.console import bar, bars, fail, refusals


def export(
    out: Annotated[Path, typer.Option(metavar="BUNDLE", help="Bundle folder to write.")],
    data: Index,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Run folder of `train`: one network for what it was trained for."
        ),
    ] = None,
    mammogram_run: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Instead: of a network for mammograms alone.")
    ] = None,
    ultrasound_run: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Instead: of one for ultrasound alone.")
    ] = None,
    source: Sources = None,
    name: Annotated[str, typer.Option(help="The model's name.")] = "compact",
    version: Annotated[str, typer.Option(help="The model's version.")] = "1.0.0",
    sensitivity: Annotated[
        float,
        typer.Option(metavar="X", min=0.01, max=1.0, help="Of each modality's verdict, on val."),
    ] = 0.9,
    mammogram_false_positives: Annotated[
        float,
        typer.Option(
            metavar="X", min=0.0, help="Findings shown that hit no lesion, a mammogram, on val."
        ),
    ] = 0.5,
    ultrasound_false_positives: Annotated[
        float, typer.Option(metavar="X", min=0.0, help="The same of ultrasound.")
    ] = 0.2,
    denoiser: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Run folder of `train-denoiser`; without, no such stage."),
    ] = None,
    kind_run: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Run folder of `train-kind`; without, no such stage."),
    ] = None,
    out_of_fold: OutOfFold = None,
) -> None:
    """Turn a run's best weights into a bundle: ONNX stages, thresholds, manifest.

    Refused if onnxruntime and torch differ on real images by more than the stated bound.
    """
    console = Console()
    if (run is None) == (mammogram_run is None and ultrasound_run is None):
        fail("give --run, or --mammogram-run and --ultrasound-run, or one of these two")
    with refusals():
        from mammosono.appliance.values import Modality
        from mammosono.tools.data.index import read_index
        from mammosono.tools.export.export import Goal, export_bundle
        from mammosono.tools.export.run_model import sources_of

        own = {Modality.MG: mammogram_run, Modality.US: ultrasound_run}
        runs = run or {modality: each for modality, each in own.items() if each}
        shown = {Modality.MG: mammogram_false_positives, Modality.US: ultrasound_false_positives}
        with bars(console) as progress:
            manifest = export_bundle(
                runs, out, read_index(data), source or sources_of(runs),
                name=name, version=version, goal=Goal(sensitivity, shown),
                on_image=progress, denoiser_run=denoiser, kind_run=kind_run,
                out_of_fold_runs=out_of_fold or (),
            )  # fmt: skip
    for key, difference in manifest["training"]["parity"].items():
        console.print(f"torch against onnxruntime, {key}: {difference:.1e}", highlight=False)
    points = {code: entry["operating_point"] for code, entry in manifest["modalities"].items()}
    console.print(f"operating points: {points}", highlight=False)
    console.print(f"Bundle: {out}", highlight=False, soft_wrap=True)


def half_precision(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle folder to add to.")],
) -> None:
    """Add to an exported bundle what TensorRT needs: FP32 nodes, mixed graphs, stored tensors.

    `export` writes them itself; this is for a bundle made before it did. Graphs and numbers stay.
    """
    with refusals():
        from mammosono.engines.bundle import open_bundle
        from mammosono.tools.export.half_precision import add_half_precision

        manifest = add_half_precision(bundle)
        stages = open_bundle(bundle).stages
    for name, stage in stages.items():
        stored = stage.variants.get("mixed")
        mixed = Path(stored.path).name if stored else "no mixed graph, it would save nothing"
        say(f"{name}: {mixed}, {len(stage.fp32)} nodes at FP32")
    say(f"Stored tensors: {manifest['parity']['file']}")


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
    as_json: Json = False,
) -> None:
    """Check the graphs of bundles for TensorRT and half precision, without a GPU.

    Operators and side rules of TensorRT 8.2, mixed graphs, FP16's range, half-precision reading
    against FP32, stored tensors, and a real build where tensorrt_rtx is installed.
    Exit status 1 if a check fails.
    """
    with refusals():
        from mammosono.tools.data.index import read_index, select
        from mammosono.tools.export import check

        pictures = (
            check.some_images(select(read_index(data), sources=source), images)
            if data
            else check.phantoms()
        )
        with bar(Console(stderr=True), "checks") as progress:
            checks = check.check_graphs(bundles or check.shipped(), pictures, progress)
    if as_json:
        say_json(json.dumps(check.as_dict(checks), indent=2, allow_nan=False))
    else:
        Console().print(check.as_rich(checks))
    if not check.passed(checks):
        raise typer.Exit(1)


class PlanPrecision(str, Enum):
    fp16 = "fp16"
    fp32 = "fp32"


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
    precision: Annotated[PlanPrecision, typer.Option(help="Of the layers that can have it.")] = (
        PlanPrecision.fp16
    ),
) -> None:
    """Build the bundle's TensorRT engines on this device, and try them on stored tensors.

    Stop the service first. A Jetson Nano takes up to an hour and a half; what was built before
    stays in use until the new engines have passed.
    """
    with refusals():
        from mammosono.tools.export.build_engine import build_engine as build

        build(
            bundle,
            Console(),
            python=python,
            plans=plans,
            workspace_mb=workspace_mb,
            precision=precision.value,
        )
