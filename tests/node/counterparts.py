"""What tests of the sender share: destinations, a clock, a PACS of one's own making."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import orthanc
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage
from pynetdicom import AE, evt
from pynetdicom.association import Association

from mammosono.appliance.node import commitment
from mammosono.appliance.node.contexts import (
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    STUDY_ROOT_FIND,
    VERIFICATION,
)
from mammosono.appliance.node.destinations import Destination, parse
from mammosono.appliance.node.outbox import Outbox, State


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def dimse(port: int, **keys: object) -> Destination:
    table = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port, **keys}
    return parse(table)


def stow(url: str, **keys: object) -> Destination:
    return parse({"name": "web", "stow": url, **keys})


def states(outbox: Outbox, destination: str | None = None) -> list[State]:
    return [
        entry.state
        for entry in outbox.entries()
        if destination is None or entry.destination == destination
    ]


def until(done: Callable[[], bool], most_s: float = 60.0) -> None:
    """Wait for it."""
    end = time.monotonic() + most_s
    while not done():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


@dataclass
class Pacs:
    """A PACS that does as a test says.

    status, comment: of the C-STORE of a UID. aborts: whether it ends the association over it.
    commits: whether it commits to a UID, said on the same association; None: it never says. has:
    whether its query finds it.
    """

    status: Callable[[str], int] = lambda _: 0
    comment: str = ""
    aborts: Callable[[str], bool] = lambda _: False
    action_status: int = 0
    commits: Callable[[str], bool] | None = None
    has: Callable[[str], bool] = lambda _: True
    port: int = 0
    stored: list[str] = field(default_factory=list)
    requests: list[list[str]] = field(default_factory=list)
    queried: list[str] = field(default_factory=list)

    def store(self, event: evt.Event) -> int | Dataset:
        uid = str(event.request.AffectedSOPInstanceUID)
        if self.aborts(uid):
            event.assoc.abort()
            return 0x0110
        status = self.status(uid)
        if status == 0:
            self.stored.append(uid)
        if self.comment:
            answer = Dataset()
            answer.Status, answer.ErrorComment = status, self.comment
            return answer
        return status

    def action(self, event: evt.Event) -> tuple[int, None]:
        information = event.action_information
        uids = [str(item.ReferencedSOPInstanceUID) for item in information.ReferencedSOPSequence]
        self.requests.append(uids)
        if self.commits is not None:
            named = event.assoc, information.TransactionUID, uids
            threading.Thread(target=self._report, args=named).start()
        return self.action_status, None

    def _report(self, association: Association, transaction: str, uids: list[str]) -> None:
        assert self.commits is not None
        time.sleep(0.1)  # behind the response to the request
        report = Dataset()
        report.TransactionUID = transaction
        kept = [uid for uid in uids if self.commits(uid)]
        lost = [uid for uid in uids if not self.commits(uid)]
        report.ReferencedSOPSequence = [
            commitment.reference(SecondaryCaptureImageStorage, uid) for uid in kept
        ]
        if lost:
            report.FailedSOPSequence = [
                commitment.reference(SecondaryCaptureImageStorage, uid) for uid in lost
            ]
        association.send_n_event_report(
            report, 2 if lost else 1, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
        )

    def find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        wanted = event.identifier.SOPInstanceUID
        for uid in [wanted] if isinstance(wanted, str) else wanted:
            self.queried.append(str(uid))
            if self.has(str(uid)):
                found = Dataset()
                found.QueryRetrieveLevel, found.SOPInstanceUID = "IMAGE", uid
                yield 0xFF00, found
        yield 0x0000, None


@contextlib.contextmanager
def pacs_that(pacs: Pacs, *, without: tuple[str, ...] = ()) -> Iterator[Pacs]:
    """Runs until the end; `pacs.port` is where. without: SOP classes that it does not take."""
    entity = AE("PACS")
    for uid in (VERIFICATION, SecondaryCaptureImageStorage, STORAGE_COMMITMENT, STUDY_ROOT_FIND):
        if uid not in without:
            entity.add_supported_context(uid)
    pacs.port = orthanc.free_port()
    server = entity.start_server(
        ("127.0.0.1", pacs.port),
        block=False,
        evt_handlers=[
            (evt.EVT_C_STORE, pacs.store),
            (evt.EVT_N_ACTION, pacs.action),
            (evt.EVT_C_FIND, pacs.find),
        ],
    )
    try:
        yield pacs
    finally:
        server.shutdown()
