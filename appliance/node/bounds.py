"""Bounds on what a peer may take of the listener, which pynetdicom leaves open (ADR 22).

Its classes below are overridden where they are not documented: hence `pynetdicom<4`, and a test
for each bound (tests/node/test_node_attacks.py).
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from socket import socket
from typing import Any

from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationServer, AssociationSocket, RequestHandler

logger = logging.getLogger(__name__)

PDU_SLACK_BYTES = 1024
MOST_COMMAND_BYTES = 2**16
"""Of a command set, which pynetdicom gathers in memory over any number of PDUs."""
MOST_OBJECT_BYTES = 2**31
"""Of one data set on its way to the disk: more than any mammogram, tomosynthesis or clip."""
MOST_WAITING = 4
"""Messages of one association that wait to be handled; then nothing more is read from it."""
HANDSHAKE_S = 5.0
"""Longest silence until a peer has proposed an association."""
SILENCE_S = 30.0
"""Longest silence within a PDU, later on."""


class TooLarge(OSError):
    """More than a peer may send; pynetdicom ends the association."""


class BoundedSocket(AssociationSocket):
    """Reads no PDU longer than was offered, no command set or data set without an end, and nothing
    while there is no room for it or its sender's messages wait to be handled."""

    def recv(self, nr_bytes: int) -> bytearray:
        if nr_bytes > (self.assoc.acceptor.maximum_length or 0) + PDU_SLACK_BYTES:
            raise TooLarge("a PDU is longer than was offered")
        message = self.assoc.dimse.message
        if message is not None:
            if message.encoded_command_set.tell() > MOST_COMMAND_BYTES:
                raise TooLarge("a command set is too long")
            file = message._data_set_file
            if file is not None and file.file.tell() > MOST_OBJECT_BYTES:
                raise TooLarge("a data set is too long")
            if file is not None and not self._server.has_room():
                raise TooLarge("the disk is full")
        return super().recv(nr_bytes)

    @property
    def ready(self) -> bool:
        # What is not read waits in TCP's own buffers, and its sender with it.
        return self.assoc.dimse.msg_queue.qsize() < MOST_WAITING and super().ready

    def _shutdown_socket(self) -> None:
        """pynetdicom leaves it open where the peer was faster, until it is collected."""
        connection = self.socket
        super()._shutdown_socket()
        if connection is not None:
            connection.close()

    @property
    def _server(self) -> BoundedServer:
        server = self.assoc._server
        assert isinstance(server, BoundedServer)
        return server


class BoundedHandler(RequestHandler):
    """Gives each association a BoundedSocket, and says when it has ended, however it did."""

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.dul.event_queue.get_nowait()  # that of the socket which is replaced
        assert isinstance(self.request, socket)
        association.dul.socket = BoundedSocket(association, client_socket=self.request)
        server = self.server
        assert isinstance(server, BoundedServer)
        run = association.run

        def run_to_the_end() -> None:
            try:
                run()
            finally:
                remove_unfinished(association)
                server.ended(association)

        association.run = run_to_the_end  # type: ignore[method-assign]
        return association


class BoundedServer(AssociationServer):
    """Closes at once what comes from an address that is not known, or that has enough connections;
    TLS is negotiated in the association's own thread, under a timeout."""

    request_queue_size = 64

    def __init__(
        self,
        ae: ApplicationEntity,
        address: tuple[str, int],
        ae_title: str,
        contexts: list[PresentationContext],
        ssl_context: ssl.SSLContext | None,
        evt_handlers: list[EventHandlerType],
        *,
        addresses: frozenset[str],
        connections: int,
        connections_per_address: int,
        has_room: Callable[[], bool],
        turned_away: Callable[[str, str], None],
        ended: Callable[[Association], None],
    ) -> None:
        """addresses: who may connect. has_room: whether the disk may be written on. turned_away:
        told of each connection that was closed, why and of which address. ended: told of each
        association once it is over."""
        self._addresses = addresses
        self._connections, self._per_address = connections, connections_per_address
        self.has_room, self._turned_away, self.ended = has_room, turned_away, ended
        super().__init__(ae, address, ae_title, contexts, ssl_context, evt_handlers, BoundedHandler)

    def get_request(self) -> tuple[socket, Any]:
        assert self.socket is not None
        connection, address = self.socket.accept()
        connection.settimeout(HANDSHAKE_S)
        if self.ssl_context is not None:
            try:
                connection = self.ssl_context.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            except ssl.SSLError:
                connection.close()
                raise
        return connection, address

    def verify_request(self, request: object, client_address: Any) -> bool:
        address = plain_address(client_address[0])
        others = [plain_address(each.requestor.address) for each in self.active_associations]
        if address not in self._addresses:
            self._turned_away("address_unknown", address)
            return False
        if others.count(address) >= self._per_address or len(others) >= self._connections:
            self._turned_away("too_many", address)
            return False
        return True

    def handle_error(self, request: object, client_address: Any) -> None:
        """A connection failed before there was an association. Whatever it was ends here."""
        kind, _, _ = sys.exc_info()
        logger.error("a connection failed: %s", kind.__name__ if kind else "unknown")


def plain_address(address: str) -> str:
    """An IPv4 address as such, where a socket of both kinds writes it as IPv6."""
    return address.removeprefix("::ffff:")


def unfinished(association: Association) -> list[Path]:
    """Files of data sets that have not come to their end, or were not handled."""
    waiting = list(association.dimse.msg_queue.queue)
    paths = [getattr(message, "_dataset_path", None) for _, message in waiting]
    message = association.dimse.message
    if message is not None and message._data_set_file is not None:
        message._data_set_file.close()
        paths.append(Path(message._data_set_file.name))
    return [path for path in paths if isinstance(path, Path)]


def remove_unfinished(association: Association) -> None:
    for path in unfinished(association):
        with contextlib.suppress(OSError):
            os.unlink(path)
