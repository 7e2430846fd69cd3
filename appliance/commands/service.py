"""`mammosono serve` and `mammosono doctor`."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from mammosono.appliance.commands.kit import Console, fail, say_json, settings
from mammosono.appliance.commands.reading import BundleOption
from mammosono.appliance.errors import ApplianceError


def serve(
    host: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Where to listen; by default 127.0.0.1."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, max=65535, help="TCP port; by default 8000."),
    ] = None,
    bundle: BundleOption = None,
) -> None:
    """Run the HTTP service until it is stopped.

    Every setting can also be given in the environment as MAMMOSONO_HOST, MAMMOSONO_PORT and so on.
    """
    # The web framework takes as long to load as a reading takes to make; only here is it needed.
    from mammosono.appliance.http.app import create_app
    from mammosono.appliance.http.listener import listen
    from mammosono.appliance.http.request_id import request_id
    from mammosono.appliance.http.server import make_server
    from mammosono.appliance.security.exposure import StartRefused
    from mammosono.appliance.telemetry import logs

    chosen = settings(host=host, port=port, bundle=bundle)
    logs.set_up(chosen.log_format, request_id.get)
    try:
        app = create_app(chosen)
        server = make_server(app, chosen)
    except (StartRefused, ApplianceError) as error:
        fail(str(error), error.code)
    # Before the service starts, so that a taken port is one line and not a log.
    try:
        listening = listen(chosen.host, chosen.port)
    except OSError as error:
        fail(f"cannot listen: {error.strerror}", "address_unavailable", chosen.host)
    with listening:
        logger = logging.getLogger(__name__)
        logger.info("listening on %s port %d", *listening.getsockname()[:2])
        if app.state.access.open:
            logger.warning("there are no tokens: whoever reaches this service may do everything")
        server.run(sockets=[listening])
    if server.failed:
        raise typer.Exit(1)


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON and nothing else.")
    ] = False,
    bundle: BundleOption = None,
) -> None:
    """Check everything that can be wrong on this appliance, and say what to do about it.

    Exit status 0: nothing fails. Exit status 1: something does.
    """
    from mammosono.appliance.doctor import Host, State, examine, lines_json, print_lines, worst

    chosen = settings(bundle=bundle)
    with Console(stderr=True).status("Checking this appliance"):
        results = examine(chosen, Host())
    if as_json:
        say_json(lines_json(results))
    else:
        print_lines(Console(), results)
    if worst(results) is State.FAIL:
        raise typer.Exit(1)
