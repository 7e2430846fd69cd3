"""`bench-denoise`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mammosono.tools.commands.shared import TRAINED_SOURCES, Json, Sources
from mammosono.tools.console import bars, refusals


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

        with bars(Console(stderr=True)) as told:
            measured = run_bench_denoise(
                bundle, data, denoiser=denoiser,
                sources=source or TRAINED_SOURCES, sizes=tuple(sizes or (512, 1024)),
                runs=runs, images=images, peers=peers, told=told,
            )  # fmt: skip
        if pictures is not None:
            draw_pictures(pictures, bundle)
    if as_json:
        typer.echo(json.dumps(as_dict(measured), indent=2, allow_nan=False))
    else:
        Console().print(as_rich(measured), highlight=False)
