"""Sender: brings what is in the outbox to its destinations, each by a thread of its own.

An object is noted as sent once the destination has said that it has it: what was sent when the
process was killed is sent again, and a PACS keeps one object for a SOP Instance UID.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association

from mammosono.appliance.node import commitment, stow
from mammosono.appliance.node.association import Context, Rejected, accepts, associate
from mammosono.appliance.node.contexts import (
    STORAGE_COMMITMENT,
    STUDY_ROOT_FIND,
    UNCOMPRESSED,
    VERIFICATION,
)
from mammosono.appliance.node.destinations import Destination, Dimse, Stow
from mammosono.appliance.node.outbox import Entry, Outbox, OutboxError
from mammosono.appliance.node.outcome import Became, Outcome, of_status
from mammosono.appliance.node.probe import Unreachable

logger = logging.getLogger(__name__)

LOOK_S = 1.0
TICK_S = 60.0
DAY_S = 86_400.0
KEEP_S = 30 * DAY_S
"""So long what is settled is kept, to be sent again by command."""
_AFTER_FAULT_S = 30.0
Told = Callable[[Destination, Sequence[tuple[Entry, Outcome]]], None]
"""Takes what became of the objects of one association."""
_FILE_GONE = "its file is gone or damaged; have the case read again"


def run(
    outbox: Outbox,
    destinations: Sequence[Destination],
    stop: threading.Event,
    *,
    keep_s: float = KEEP_S,
    told: Told = lambda *_: None,
) -> None:
    """Send until `stop` is set; without destinations nothing is ever sent.

    Raises OutboxError if another process sends from this outbox.
    """
    with _only_sender(outbox):
        _run(outbox, destinations, stop, keep_s, told)


@contextlib.contextmanager
def running(
    outbox: Outbox,
    destinations: Sequence[Destination],
    *,
    keep_s: float = KEEP_S,
    told: Told = lambda *_: None,
) -> Iterator[None]:
    """`run` in a thread of its own, until the end of the block."""
    stop = threading.Event()
    with _only_sender(outbox):
        thread = threading.Thread(
            target=_run, args=(outbox, destinations, stop, keep_s, told), name="sender"
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def deliver(outbox: Outbox, destination: Destination, told: Told = lambda *_: None) -> bool:
    """Send, ask for commitment and query once, all that is due. False if nothing was."""
    name, way = destination.name, destination.way
    if not destination.confirms:
        for entry in (*outbox.to_ask(name), *outbox.to_query(name)):
            outbox.unconfirmed(entry, "commitment is no longer asked for")
    due = outbox.due(name)
    if not due and not outbox.to_ask(name) and not outbox.to_query(name):
        return False
    became: list[tuple[Entry, Outcome]] = []
    try:
        if isinstance(way, Stow):
            _by_stow(outbox, name, way, due, became)
        else:
            _by_dimse(outbox, destination, way, due, became)
    except Unreachable as why:
        logger.warning("%s: %s", name, why)
        outbox.unreachable(name, str(why))
    except Rejected as why:
        logger.error("%s: %s", name, why)
        for entry in due:
            outbox.refused(entry, str(why))
        if not due:  # what it took before, it may still confirm once it knows us again
            outbox.unreachable(name, str(why))
    finally:
        if became:
            told(destination, became)
    return True


def _run(
    outbox: Outbox,
    destinations: Sequence[Destination],
    stop: threading.Event,
    keep_s: float,
    told: Told,
) -> None:
    outbox.sweep()
    threads = [
        threading.Thread(target=_serve, args=(outbox, each, stop, told), name=f"sender {each.name}")
        for each in destinations
    ]
    for thread in threads:
        thread.start()
    try:
        while not stop.wait(TICK_S):
            _keep(outbox, keep_s)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        _keep(outbox, keep_s)


def _by_dimse(
    outbox: Outbox,
    destination: Destination,
    way: Dimse,
    due: Sequence[Entry],
    became: list[tuple[Entry, Outcome]],
) -> None:
    name = destination.name
    answers = [(evt.EVT_N_EVENT_REPORT, commitment.handler(outbox))]
    with associate(way, _contexts(destination, due), answers) as association:
        outbox.reached(name)
        for number, entry in enumerate(due, 1):
            outcome = _store(association, outbox, entry, number)
            became.append((entry, outcome))
            _settle(outbox, entry, outcome, confirmed_later=destination.confirms)
        if destination.confirms:
            commitment.ask(association, outbox, name)
            commitment.query(association, outbox, name)


def _contexts(destination: Destination, due: Sequence[Entry]) -> Iterator[Context]:
    """Verification as well: with one context accepted, what is refused is known one by one."""
    yield VERIFICATION, UNCOMPRESSED
    if destination.confirms:
        yield STORAGE_COMMITMENT, UNCOMPRESSED
        yield STUDY_ROOT_FIND, UNCOMPRESSED
    for sop_class, syntax in dict.fromkeys((entry.sop_class, entry.syntax) for entry in due):
        yield from _store_contexts(sop_class, syntax)


def _store_contexts(sop_class: UID, syntax: UID) -> Iterator[Context]:
    if syntax in UNCOMPRESSED:
        yield sop_class, UNCOMPRESSED
    else:
        yield sop_class, (syntax,)


def _store(association: Association, outbox: Outbox, entry: Entry, number: int) -> Outcome:
    """number: of the message in its association. Raises Unreachable."""
    if not accepts(association, entry.sop_class, entry.syntax):
        return Outcome(
            Became.NEVER, f"the destination takes no {entry.sop_class.name} as it is written"
        )
    try:
        dataset = dcmread(outbox.path(entry))
        status = association.send_c_store(dataset, msg_id=number)
    except (OSError, InvalidDicomError, AttributeError):
        return Outcome(Became.NEVER, _FILE_GONE)
    except ValueError:
        return Outcome(Became.NEVER, "it cannot be written as the destination wants it")
    except RuntimeError:
        status = None
    if status is None or "Status" not in status:
        # Should it be this object that the destination cannot stand, others go first next time.
        outbox.postpone(entry, "the connection was lost while it was sent")
        raise commitment.lost("an object was sent")
    return of_status(int(status.Status))


def _by_stow(
    outbox: Outbox,
    name: str,
    way: Stow,
    due: Sequence[Entry],
    became: list[tuple[Entry, Outcome]],
) -> None:
    with stow.connect(way) as client:
        for entry in due:
            try:
                data = outbox.path(entry).read_bytes()
            except OSError:
                outbox.refused(entry, _FILE_GONE)
                continue
            outcome = stow.store(client, way, data)
            became.append((entry, outcome))
            outbox.reached(name)
            _settle(outbox, entry, outcome, confirmed_later=False)


def _settle(outbox: Outbox, entry: Entry, outcome: Outcome, *, confirmed_later: bool) -> None:
    if outcome.reason:
        logger.warning("%s: %s", entry.destination, outcome.reason)
    if outcome.became is Became.STORED:
        outbox.stored(entry, confirmed_later=confirmed_later)
    elif outcome.became is Became.LATER:
        outbox.postpone(entry, outcome.reason)
    else:
        outbox.refused(entry, outcome.reason)


def _serve(outbox: Outbox, destination: Destination, stop: threading.Event, told: Told) -> None:
    while not stop.is_set():
        try:
            if not deliver(outbox, destination, told):
                stop.wait(LOOK_S)
        except Exception as error:
            # A full disk, or a fault of ours, ends neither this thread nor another's work.
            _log_fault(destination.name, error)
            stop.wait(_AFTER_FAULT_S)


def _keep(outbox: Outbox, keep_s: float) -> None:
    try:
        outbox.tick()
        outbox.retire(keep_s)
    except (OSError, sqlite3.Error) as error:
        _log_fault("the outbox", error)


def _log_fault(where: str, error: Exception) -> None:
    """Its kind alone: its words may quote what was to be sent."""
    logger.error("%s: nothing could be done: %s", where, type(error).__name__)


@contextlib.contextmanager
def _only_sender(outbox: Outbox) -> Iterator[None]:
    handle = os.open(outbox.folder / "sender.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise OutboxError(
            "Another process sends from this outbox; end it, or wait until it has ended."
        ) from None
    try:
        yield
    finally:
        os.close(handle)
