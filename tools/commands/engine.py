"""`build-engine`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mammosono.tools.console import refusals


class Precision(str, Enum):
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
    precision: Annotated[Precision, typer.Option(help="Of the layers that can have it.")] = (
        Precision.fp16
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
