"""Association with a destination, as requestor: negotiated, bounded in time and size, released."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, _config, build_context, evt
from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

from mammosono.appliance.node.contexts import (
    LARGEST_PDU,
)
from mammosono.appliance.node.destinations import Dimse
from mammosono.appliance.node.probe import CONNECT_S, Unreachable, client_context, probe
from mammosono.appliance.node.uids import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION

NEGOTIATION_S = 30.0
RESPONSE_S = 120.0
"""Longest wait for the answer to one request; a PACS may write a large object to slow disks."""
STALLED_S = 60.0
"""So long the destination may take nothing of what is being sent."""
_PDU_MARGIN = 4096

_CALLING_UNKNOWN, _CALLED_UNKNOWN, _PRESENTATION = (1, 3), (1, 7), 3

# Not even for a log that nobody reads: it would write out what is sent.
_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False

Context = tuple[UID, Sequence[UID]]
"""Abstract syntax and transfer syntaxes."""


class Rejected(Exception):
    """The destination refuses us for good, as it is configured. reason: without identity."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason, self.remedy = reason, remedy


@contextlib.contextmanager
def associate(
    way: Dimse, contexts: Iterable[Context], handlers: Sequence[tuple[Any, ...]] = ()
) -> Iterator[Association]:
    """An association that is released, or aborted, at the end. Some contexts may be refused.

    Raises Unreachable; Rejected, also if every context is refused.
    """
    entity = _Entity(way.calling)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS
    entity.implementation_version_name = IMPLEMENTATION_VERSION
    entity.connection_timeout = CONNECT_S
    entity.acse_timeout = NEGOTIATION_S
    entity.dimse_timeout = RESPONSE_S
    entity.network_timeout = RESPONSE_S
    security = (client_context(way.tls), way.tls.name) if way.tls else None
    try:
        association = entity.associate(
            way.host,
            way.port,
            contexts=[build_context(name, list(syntaxes)) for name, syntaxes in contexts],
            ae_title=way.ae_title,
            max_pdu=LARGEST_PDU,
            tls_args=security,
            evt_handlers=[(evt.EVT_CONN_OPEN, _bound_sending), *handlers],
        )
    except OSError:
        probe(way.host, way.port, way.tls)
        raise Unreachable("it cannot be reached", "check host and port") from None
    if not association.is_established:
        _close(association)
        raise _reason(way, association)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()
        if association.is_alive():
            association.abort()
        _close(association)


def accepts(association: Association, sop_class: UID, syntax: UID | None = None) -> bool:
    """Whether the destination takes the SOP class, and this transfer syntax or one into which it
    can be turned without loss."""
    for context in association.accepted_contexts:
        if context.abstract_syntax == sop_class:
            (taken,) = context.transfer_syntax
            turned = not (taken.is_compressed or (syntax and syntax.is_compressed))
            if syntax is None or taken == syntax or turned:
                return True
    return False


def _close(association: Association) -> None:
    """The library leaves some connections open until they are collected."""
    association.dul.kill_dul()
    if association.dul.is_alive():
        association.dul.join(CONNECT_S)
    if isinstance(association.dul.socket, _BoundedSocket):
        association.dul.socket.close_connection()


def _reason(way: Dimse, association: Association) -> Unreachable | Rejected:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return _rejection(way, answer.result, answer.result_source, answer.diagnostic)
    if association.rejected_contexts:
        return Rejected(
            "the destination accepts none of what is proposed",
            "have the PACS take our objects' SOP classes; mammosono node check lists them",
        )
    try:
        probe(way.host, way.port, way.tls)
    except Unreachable as why:
        return why
    hint = "" if way.tls else ", or set tls = true if it speaks TLS"
    return Unreachable(
        "it takes the connection and answers no association request",
        f"check that {way.port} is the PACS's DICOM port{hint}",
    )


def _rejection(
    way: Dimse, result: int | None, source: int | None, diagnostic: int | None
) -> Unreachable | Rejected:
    """PS3.8, 9.3.4."""
    if (source, diagnostic) == _CALLED_UNKNOWN:
        return Rejected(
            f"the destination does not go by the AE title {way.ae_title}",
            "correct ae_title of this destination",
        )
    if (source, diagnostic) == _CALLING_UNKNOWN:
        return Rejected(
            f"the destination does not know our AE title {way.calling}",
            f"enter {way.calling} with this machine's address at the PACS",
        )
    # What concerns congestion is for now, even if it is called permanent.
    if result == 1 and source != _PRESENTATION:
        return Rejected(
            f"the destination rejects our associations ({source}, {diagnostic})",
            f"enter {way.calling} with this machine's address at the PACS; its log may say more",
        )
    return Unreachable(
        "the destination takes no association at the moment", "wait; its log may say more"
    )


class _BoundedSocket(AssociationSocket):
    def recv(self, nr_bytes: int) -> bytearray:
        """Not whatever a header announces: it would be taken into memory at once."""
        if nr_bytes > LARGEST_PDU + _PDU_MARGIN:
            raise OSError("a PDU that is longer than was agreed")
        return super().recv(nr_bytes)

    def _shutdown_socket(self) -> None:
        self.close_connection()

    def close_connection(self) -> None:
        """As well where there is none that could be shut down."""
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()


class _Entity(AE):
    def _create_socket(self, assoc: Association, *arguments: Any) -> AssociationSocket:
        address, security = arguments
        bounded = _BoundedSocket(assoc, address=address)
        bounded.tls_args = security
        return bounded


def _bound_sending(event: evt.Event) -> None:
    """A destination that is frozen keeps its connection, and would hold a sender for ever."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        wait = struct.pack("@ll", int(STALLED_S), 0)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
