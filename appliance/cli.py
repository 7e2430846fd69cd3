"""Command line of the appliance: `mammosono`, put together from the groups in `commands`."""

from __future__ import annotations

from typing import Annotated

import typer

from mammosono.appliance.commands import (
    node,
    node_sending,
    reading,
    security,
    service,
    workstation,
)

app = typer.Typer(
    name="mammosono",
    help="Read a mammogram and a breast ultrasound together: denoise, find, one fused verdict.\n\n"
    "Research and engineering use only. Not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would show what must not be shown.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(reading.demo)
app.command()(reading.read)
app.command()(service.serve)
app.command()(service.doctor)
app.command()(workstation.post)
app.command()(workstation.watch)
node.node_app.command()(node_sending.check)
node.node_app.command()(node_sending.outbox)
node.node_app.command()(node_sending.send)
node.node_app.command()(node_sending.fetch)
node.node_app.command()(node_sending.conformance)
app.add_typer(node.node_app, name="node")
app.add_typer(security.token_app, name="token")
app.add_typer(security.audit_app, name="audit")


def main() -> None:
    app()


def _version(wanted: bool) -> None:
    if wanted:
        from mammosono.appliance.output.document import SOFTWARE

        typer.echo(SOFTWARE)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Options of the command itself."""
