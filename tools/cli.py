"""The command line of the offline side."""

from __future__ import annotations

import typer

from mammosono.tools.commands.bench import bench, bench_denoise, load
from mammosono.tools.commands.bundle import build_engine, check_graphs, export, half_precision
from mammosono.tools.commands.evaluation import (
    contact_sheets,
    evaluate,
    leave_one_out,
    operating_points,
    perturb_test,
    report,
)
from mammosono.tools.commands.kind import add_kind, evaluate_kind, train_kind
from mammosono.tools.commands.prepare import phantoms, prepare
from mammosono.tools.commands.sweep import sweep
from mammosono.tools.commands.train import take_denoiser, take_run, train, train_denoiser

app = typer.Typer(
    name="mammosono-tools",
    help="Train the network, judge it, and turn it into a bundle for the appliance.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    app()


@app.callback()
def options() -> None:
    """Options of the command itself."""


for command in (
    phantoms,
    prepare,
    train,
    sweep,
    train_denoiser,
    take_denoiser,
    take_run,
    train_kind,
    evaluate_kind,
    add_kind,
    export,
    half_precision,
    check_graphs,
    build_engine,
    evaluate,
    leave_one_out,
    operating_points,
    perturb_test,
    report,
    contact_sheets,
    bench,
    bench_denoise,
    load,
):
    app.command(command.__name__.replace("_", "-"))(command)
