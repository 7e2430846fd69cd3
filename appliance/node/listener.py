"""DICOM listener: C-ECHO and C-STORE of the senders in dicom.toml, within the bounds of bounds.py.

A C-STORE is answered 0x0000 when the image is on the disk, and as well if it will not be read: a
modality whose image is refused may stop its whole send.
"""

from __future__ import annotations

import logging
import os
import ssl
import tempfile
import threading
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from pynetdicom import _config, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.presentation import PresentationContext, build_context

from mammosono.appliance.errors import StorageError
from mammosono.appliance.node import contexts, uids
from mammosono.appliance.node.admit import (
    HEAD_BYTES,
    NOT_AUTHORISED,
    NOT_UNDERSTOOD,
    OUT_OF_RESOURCES,
    Command,
    Refused,
    admit,
)
from mammosono.appliance.node.bounds import (
    HANDSHAKE_S,
    SILENCE_S,
    BoundedServer,
    plain_address,
)
from mammosono.appliance.node.config import NodeConfig, Sender
from mammosono.appliance.node.pairing import Instance
from mammosono.appliance.node.patient_key import Names
from mammosono.appliance.node.peers import Peer, Peers
from mammosono.appliance.node.quiet import quiet_libraries
from mammosono.appliance.security.exposure import is_loopback
from mammosono.appliance.security.tls import TLS_1_2_SUITES, self_made

logger = logging.getLogger(__name__)

SUCCESS = 0x0000
IDLE_S = 60.0
"""Longest silence between two messages of an association."""
_THREAD_STACK_BYTES = 512 * 1024
_HALF = 2

# A-ASSOCIATE-RJ (PS3.8 9.3.4): result, source, reason.
_TITLE_NOT_RECOGNISED = (1, 1, 3)
_LIMIT_EXCEEDED = (2, 3, 2)


class ListenerRefused(Exception):
    """The listener does not start like this. `str(error)` is one line that names the remedy."""


class Receiver(Protocol):
    """What the listener tells of, from its own threads."""

    def opened(self, association: str, sender: Sender) -> None: ...

    def closed(
        self, association: str, sender: Sender, stored: int, studies: Sequence[str]
    ) -> None: ...

    def turned_away(self, outcome: str, title: str, address: str) -> None: ...

    def store_image(self, association: str, instance: Instance, file: Path) -> bool:
        """Keep it; False if it was there. It is on the disk on return. Raises StorageError."""

    def counted(self, outcome: str) -> None: ...

    def has_room(self, share: float = 1.0) -> bool:
        """Whether more than this share of the room that is to stay free is free."""

    def now(self) -> float: ...


@dataclass(slots=True)
class _Visit:
    """An association. studies: hashes of those that images came of."""

    name: str
    peer: Peer
    stored: int = 0
    studies: dict[str, None] = field(default_factory=dict)

    @property
    def sender(self) -> Sender:
        return self.peer.sender


class Listener:
    """`with Listener(config, names, receiver, incoming):` listens; `port` is the one it got."""

    def __init__(
        self,
        config: NodeConfig,
        names: Names,
        receiver: Receiver,
        incoming: Path,
        state: Path,
        *,
        further: Sequence[tuple[PresentationContext, EventHandlerType]] = (),
    ) -> None:
        """incoming: folder for files while they come, on the disk of the store. state: where a key
        is made for TLS. further: other services of the same port, as storage commitment's answers.

        Raises ListenerRefused."""
        self._config, self._names, self._receiver = config, names, receiver
        self._peers = Peers(config, state)
        self._visits: dict[Association, _Visit] = {}
        self._counted = 0
        self._lock = threading.Lock()
        if not self._peers.addresses:
            raise ListenerRefused(
                "dicom.toml names nobody who may send; add [[sender]] with ae_title and address"
            )
        _set_up_library(incoming)
        ae = ApplicationEntity(config.ae_title)
        ae.implementation_class_uid = uids.IMPLEMENTATION_CLASS
        ae.implementation_version_name = uids.IMPLEMENTATION_VERSION
        ae.require_called_aet = True
        ae.maximum_pdu_size = contexts.LARGEST_PDU
        # pynetdicom counts the association that it decides on, too.
        ae.maximum_associations = config.max_associations
        ae.acse_timeout, ae.dimse_timeout, ae.network_timeout = HANDSHAKE_S, SILENCE_S, IDLE_S
        handlers: list[EventHandlerType] = [
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_ESTABLISHED, self._established),
            (evt.EVT_C_ECHO, self._echo),
            (evt.EVT_C_STORE, self._store),
            *(handler for _, handler in further),
        ]
        self._answers = [build_context(contexts.VERIFICATION)]
        self._answers += [context for context, _ in further]
        offered = [
            *self._answers,
            *(
                build_context(image.sop_class, list(image.syntaxes))
                for image in contexts.images(captures=config.accept.secondary_capture)
            ),
        ]
        try:
            self._server = BoundedServer(
                ae,
                (config.listen, config.port),
                config.ae_title,
                offered,
                _tls(config, state),
                handlers,
                addresses=self._peers.addresses,
                connections=_HALF * config.max_associations,
                connections_per_address=config.connections_per_address,
                has_room=lambda: receiver.has_room(1 / _HALF),
                turned_away=lambda why, address: receiver.turned_away(why, "unknown", address),
                ended=self._ended,
            )
        except OSError as error:
            raise ListenerRefused(
                f"cannot listen on {config.listen} port {config.port}: {error.strerror}; give "
                "another listen or port in dicom.toml, or end the program that has it"
            ) from None
        # pynetdicom takes itself out of this list when it is shut down.
        ae._servers.append(self._server)  # type: ignore[arg-type]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="dicom-listener"
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let nobody in any more, and end the associations that are open."""
        self._server.shutdown()
        self._thread.join()
        for association in self._server.active_associations:
            association.abort()
        for association in self._server.active_associations:
            association.join(HANDSHAKE_S)

    def _requested(self, event: Event) -> None:
        """Refuse who is not in the table with this title and this address; who may only answer is
        offered nothing else."""
        association = event.assoc
        primitive = association.requestor.primitive
        title = str(getattr(primitive, "calling_ae_title", "")).strip()
        address = plain_address(association.requestor.address)
        peer = self._peers.of(title, address)
        if peer is None:
            self._receiver.turned_away("title_unknown", title, address)
            _reject(association, _TITLE_NOT_RECOGNISED)
        elif not self._peers.may_store(peer):
            association.acceptor.supported_contexts = deepcopy(self._answers)
        elif not self._receiver.has_room():
            self._receiver.turned_away("no_room", title, address)
            _reject(association, _LIMIT_EXCEEDED)

    def _established(self, event: Event) -> None:
        association = event.assoc
        wrapped = association.dul.socket
        if wrapped is not None and wrapped.socket is not None:
            wrapped.socket.settimeout(SILENCE_S)
        address = plain_address(association.requestor.address)
        peer = self._peers.of(association.requestor.ae_title.strip(), address)
        assert peer is not None  # or it had been rejected
        with self._lock:
            self._counted += 1
            visit = self._visits[association] = _Visit(str(self._counted), peer)
        self._receiver.opened(visit.name, visit.sender)

    def _ended(self, association: Association) -> None:
        with self._lock:
            visit = self._visits.pop(association, None)
        if visit is not None:
            self._receiver.closed(visit.name, visit.sender, visit.stored, [*visit.studies])

    def _echo(self, event: Event) -> int:
        return SUCCESS

    def _store(self, event: Event) -> int:
        """The status of a C-STORE."""
        visit = self._visits[event.assoc]
        if not self._peers.may_store(visit.peer):
            return self._left("not_asked_for", NOT_AUTHORISED)
        request = cast(C_STORE, event.request)
        file = event.dataset_path
        command = Command(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        try:
            with file.open("rb") as data:
                head = data.read(HEAD_BYTES)
                size = os.fstat(data.fileno()).st_size
        except OSError:
            return self._left("unreadable", NOT_UNDERSTOOD)
        header = admit(head, size, command, self._config.admission)
        if isinstance(header, Refused):
            logger.warning("an image of %s was refused: %s", visit.sender.ae_title, header.why)
            return self._left("refused", header.status)
        if not self._receiver.has_room():
            return self._left("no_room", OUT_OF_RESOURCES)
        sender = visit.sender
        instance = self._names.instance(
            header, f"{sender.ae_title}@{sender.address}", sender.issuer, self._receiver.now()
        )
        try:
            new = self._receiver.store_image(visit.name, instance, file)
        except StorageError as error:
            logger.error("an image could not be stored: %s", error)
            return self._left(error.code, OUT_OF_RESOURCES)
        visit.stored += 1
        visit.studies[instance.exam] = None
        return self._left("repeated" if not new else instance.reason or "stored", SUCCESS)

    def _left(self, outcome: str, status: int) -> int:
        self._receiver.counted(outcome)
        return status


def _reject(association: Association, reason: tuple[int, int, int]) -> None:
    association.acse.send_reject(*reason)
    association.kill()


def _tls(config: NodeConfig, state: Path) -> ssl.SSLContext | None:
    if config.tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS_1_2_SUITES)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.verify_mode = ssl.CERT_REQUIRED
    tls = config.tls
    try:
        if tls.certificate is not None and tls.key is not None:
            certificate, key = config.path(tls.certificate), config.path(tls.key)
        else:
            own = [] if is_loopback(config.listen) else [config.listen]
            identity = self_made(state / "tls", [*tls.names, *own])
            certificate, key = identity.certificate, identity.key
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(config.path(tls.client_ca))
    except (OSError, ValueError, TypeError):
        raise ListenerRefused(
            "the TLS key, certificate or client CA cannot be read, or they do not belong together; "
            "check tls.key, tls.certificate and tls.client_ca in dicom.toml"
        ) from None
    return context


def _set_up_library(incoming: Path) -> None:
    """pynetdicom's settings are the process's. Its log would name patients."""
    _config.STORE_RECV_CHUNKED_DATASET = True
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    quiet_libraries()
    # Where data sets are written as they come: beside the store, so that they are moved there.
    tempfile.tempdir = str(incoming)
    threading.stack_size(_THREAD_STACK_BYTES)
    threading.excepthook = _say_kind


def _say_kind(failure: threading.ExceptHookArgs) -> None:
    """What a thread of an association died of, without words that may quote what was sent."""
    logger.error("a thread ended: %s", failure.exc_type.__name__)
