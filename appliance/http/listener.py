"""Listening socket that gives every address its share of the connections, from their accept on."""

from __future__ import annotations

import resource
import socket
import weakref
from typing import Any

from mammosono.appliance.http.places import Places
from mammosono.appliance.security.clients import client_of
from mammosono.appliance.security.exposure import StartRefused

MOST_CONNECTIONS = 512
LEAST_CONNECTIONS = 16
FILES_OF_CONNECTION = 2
"""Its socket, and the file that it posts or is sent."""
OTHER_FILES = 128
"""Of the service itself: the spool's, the reader's pipes, logs, libraries."""
REFUSALS_AT_ONCE = 64
"""After so many the event loop does something else first."""


class ListeningSocket(socket.socket):
    """Hands out the connections for which there is a place, and cuts the others at once.

    The places are counted here because asyncio tells a protocol of a connection only after its TLS
    handshake, which a client can begin and leave.
    """

    def __init__(self, listening: socket.socket, places: Places) -> None:
        """Takes over `listening`, which is a socket no more."""
        kind = (listening.family, listening.type, listening.proto)
        super().__init__(*kind, fileno=listening.detach())
        self._places = places

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises BlockingIOError if nobody waits, or when others should have their turn."""
        for _ in range(REFUSALS_AT_ONCE):
            connection, address = super().accept()
            client = client_of(address[0])
            if self._places.take(client):
                return _Connection(connection, self._places, client), address
            connection.close()
        raise BlockingIOError


class _Connection(socket.socket):
    """Gives its place back when it is closed, or dropped unclosed."""

    def __init__(self, connection: socket.socket, places: Places, client: str) -> None:
        kind = (connection.family, connection.type, connection.proto)
        super().__init__(*kind, fileno=connection.detach())
        self._leave = weakref.finalize(self, places.leave, client)
        self._leave.atexit = False

    def close(self) -> None:
        super().close()
        self._leave()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on one address. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=128)
    # asyncio sends at once, without Nagle's 40 ms, only where it sees that the protocol is TCP.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, listening.detach())


def most_connections() -> int:
    """As many as this process may have files for. Raises its limit first, as far as it can.

    Raises StartRefused if there is room for next to none.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OTHER_FILES + FILES_OF_CONNECTION * MOST_CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    most = min(MOST_CONNECTIONS, (soft - OTHER_FILES) // FILES_OF_CONNECTION)
    if most < LEAST_CONNECTIONS:
        raise StartRefused(
            f"the service may open {soft} files, too few for its connections; "
            f"let it open {wanted}, with `ulimit -n` or LimitNOFILE"
        )
    return most
