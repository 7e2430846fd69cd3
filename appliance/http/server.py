"""uvicorn server of the application, with TLS and shutdown."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from datetime import datetime, timezone

import uvicorn
from fastapi import FastAPI

from mammosono.appliance.http.connection import Connection
from mammosono.appliance.security import exposure
from mammosono.appliance.security.access import AccessControl
from mammosono.appliance.settings import Settings
from mammosono.appliance.studies.queue import StudyQueue

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16 * 1024
"""Of a request's line and headers; a browser sends 1 to 2 KiB."""

DRAIN_S = 30
"""After SIGTERM: for requests under way, less than the 90 that systemd waits before it kills."""


def make_server(app: FastAPI, settings: Settings) -> ServiceServer:
    """A server for `server.run()`, which returns after SIGTERM or SIGINT.

    It logs through whatever logging the caller has set up, and keeps no access log: a path may
    hold a client's study id. Raises StartRefused if it would be reached by those who must not.
    """
    access: AccessControl = app.state.access
    exposure.check(settings, tokens=access.in_use)
    context = _tls(settings) if exposure.wants_tls(settings) else None
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Connection,
        ssl_context_factory=None if context is None else lambda *_: context,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_graceful_shutdown=DRAIN_S,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    return ServiceServer(config, app)


LAST_WORDS_S = 5.0
"""For which a service that has failed still answers, so that it can say so."""


class ServiceServer(uvicorn.Server):
    """Server that ends event streams at shutdown, which would otherwise last until they are cut;
    and itself when the queue has failed: whatever supervises the process starts a new one."""

    _last_words_end: float | None = None

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    @property
    def failed(self) -> bool:
        """Whether it ended because a part of the service did."""
        return self._last_words_end is not None

    async def on_tick(self, counter: int) -> bool:
        queue: StudyQueue = self._app.state.queue
        if queue.failed and self._last_words_end is None:
            self._last_words_end = time.monotonic() + LAST_WORDS_S
        if self._last_words_end is not None and time.monotonic() >= self._last_words_end:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        queue: StudyQueue = self._app.state.queue
        queue.broadcast.close()
        await super().shutdown(sockets)


def _tls(settings: Settings) -> ssl.SSLContext:
    from mammosono.appliance.security import (
        tls,  # its library takes a while to load, and is not always needed
    )

    context = tls.server_context(settings)
    logger.info("TLS certificate, SHA-256: %s", tls.fingerprint(settings))
    # Served all the same: an appliance whose clock was never set would else not start, and it is
    # for the clients to refuse it.
    if found := tls.out_of_date(settings, datetime.now(timezone.utc)):
        logger.error(
            "%s: clients will refuse this service; install one that holds, or set the clock", found
        )
    return context
