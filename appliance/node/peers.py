"""Who may speak to the listener: the senders of dicom.toml, and its destinations for what they
answer. A destination that is no sender is let in for storage commitment, and sends images only
while `mammosono node fetch` asks it for some."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mammosono.appliance.node.bounds import plain_address
from mammosono.appliance.node.config import NodeConfig, Sender
from mammosono.appliance.node.destinations import Destination, Dimse

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Peer:
    """sender: that images of it come from. destination: its name, where it is no sender."""

    sender: Sender
    destination: str = ""


class Peers:
    """Looks up the names of destinations when it is made."""

    def __init__(self, config: NodeConfig, state: Path) -> None:
        """state: the appliance's state folder."""
        self._state, self._lock = state, threading.Lock()
        self._peers: dict[tuple[str, str], Peer] = {}
        for destination in config.destinations:
            for peer in _answering(destination):
                self._peers.setdefault((peer.sender.ae_title, peer.sender.address), peer)
        for each in config.sender:
            self._peers[each.ae_title, each.address] = Peer(each)

    @property
    def addresses(self) -> frozenset[str]:
        return frozenset(address for _, address in self._peers)

    def of(self, title: str, address: str) -> Peer | None:
        """Title and address must both fit."""
        return self._peers.get((title, address))

    def may_store(self, peer: Peer) -> bool:
        """Whether its images are taken now."""
        if not peer.destination:
            return True
        with self._lock:  # a look of another thread would be taken for somebody who fetches
            return _is_fetched(self._state, peer.destination)


@contextlib.contextmanager
def fetching(state: Path, destination: str) -> Iterator[None]:
    """While images of a destination are asked for; it ends with the process, too.

    Raises OSError."""
    folder = _folder(state)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder / destination, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _is_fetched(state: Path, destination: str) -> bool:
    try:
        handle = os.open(_folder(state) / destination, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(handle)


def _folder(state: Path) -> Path:
    return state / "node" / "fetching"


def _answering(destination: Destination) -> Iterator[Peer]:
    way = destination.way
    if not isinstance(way, Dimse):
        return
    try:
        found = socket.getaddrinfo(way.host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        logger.error(
            "%s: nobody knows its address, so its answers are not let in; give host as a number",
            destination.name,
        )
        return
    for *_, (address, *_) in found:
        sender = Sender(
            ae_title=way.ae_title, address=plain_address(str(address)), issuer=way.issuer
        )
        yield Peer(sender, destination.name)
