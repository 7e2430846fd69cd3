"""uvicorn server of the application, with TLS and shutdown."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import sys
import time
from datetime import datetime, timezone

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from mammosono.appliance.http.connection import Connection
from mammosono.appliance.http.listener import ListeningSocket, listen, most_connections
from mammosono.appliance.http.places import Places
from mammosono.appliance.http.request_head import MAX_HEAD_BYTES
from mammosono.appliance.security import exposure
from mammosono.appliance.security.access import AccessControl
from mammosono.appliance.settings import Settings
from mammosono.appliance.studies.queue import StudyQueue

logger = logging.getLogger(__name__)

HANDSHAKE_S = 10.0
"""For the TLS handshake, from the opening of the connection; then the head has as long."""

BACKLOG = 1024
"""Connections that the kernel holds until they are accepted."""

DRAIN_S = 30
"""After SIGTERM: for requests under way, less than the 90 that systemd waits before it kills."""


def make_server(app: FastAPI, settings: Settings) -> ServiceServer:
    """A server for `server.run()`, which returns after SIGTERM or SIGINT.

    It logs through whatever logging the caller has set up, and keeps no access log: a path may
    hold a client's study id. Raises StartRefused if it would be reached by those who must not, or
    may open too few files.
    """
    access: AccessControl = app.state.access
    exposure.check(settings, tokens=access.in_use)
    context = _tls(settings) if exposure.wants_tls(settings) else None
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="asyncio",  # uvloop, where it is installed, accepts past the ListeningSocket
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
    return ServiceServer(config, app, Places(most_connections(), settings.connection_share))


LAST_WORDS_S = 5.0
"""For which a service that has failed still answers, so that it can say so."""


class ServiceServer(uvicorn.Server):
    """Server that shares its places among the addresses that connect; ends event streams at
    shutdown, which would otherwise last until they are cut; and itself when the queue has failed:
    whatever supervises the process starts a new one."""

    _last_words_end: float | None = None

    def __init__(self, config: uvicorn.Config, app: FastAPI, places: Places) -> None:
        super().__init__(config)
        self._app, self._places = app, places

    @property
    def failed(self) -> bool:
        """Whether it ended because a part of the service did."""
        return self._last_words_end is not None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, on sockets that count, and with a deadline for the TLS handshake, for which
        uvicorn has no setting. Raises OSError if it opens the sockets itself and cannot."""
        listening = sockets or [listen(self.config.host, self.config.port)]
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                self._connection,
                sock=ListeningSocket(each, self._places),
                ssl=self.config.ssl,
                ssl_handshake_timeout=HANDSHAKE_S if self.config.ssl else None,
                backlog=BACKLOG,
            )
            for each in listening
        ]
        self.started = True

    def _connection(self) -> Connection:
        return Connection(self.config, self.server_state, self.lifespan.state)

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
