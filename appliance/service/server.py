"""The application behind a socket."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

from appliance.settings import Settings

MAX_HEAD_BYTES = 16 * 1024
"""Of a request's line and headers; a browser sends 1 to 2 KiB."""

DRAIN_S = 30
"""After SIGTERM: for requests under way, less than the 90 that systemd waits before it kills."""


def make_server(app: FastAPI, settings: Settings) -> uvicorn.Server:
    """A server for `server.run()`, which returns after SIGTERM or SIGINT.

    It logs through whatever logging the caller has set up, and keeps no access log: a path may
    hold a client's study id.
    """
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http="h11",
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_graceful_shutdown=DRAIN_S,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    return uvicorn.Server(config)
