"""`load`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mammosono.tools.commands.shared import Json
from mammosono.tools.console import bar, fail, refusals


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
    as_json: Json = False,
) -> None:
    """Put a running box under load, and compare it with a bare reader on this machine."""
    with refusals():
        import httpx

        from mammosono.appliance.workstation.client import ClientError, connect
        from mammosono.tools.benchmarks.load import as_dict, as_rich, run_load

        token = token_file.read_text("utf-8").strip() if token_file else None
        try:
            with bar(Console(stderr=True), "levels") as told:
                measured = run_load(
                    partial(connect, url, token, ca), clients or [1, 4, 16], seconds, rounds, told
                )
        except (httpx.HTTPError, ClientError) as error:
            fail(f"{url}: {error}")
    if as_json:
        typer.echo(json.dumps(as_dict(measured), indent=2, allow_nan=False))
    else:
        Console().print(as_rich(measured), highlight=False)
