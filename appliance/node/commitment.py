"""Storage commitment: asking for it, the answer on this or another association, and the query that
takes its place (PS3.4, annexes J and C)."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID
from pynetdicom import build_context, evt
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType
from pynetdicom.presentation import PresentationContext

from mammosono.appliance.node.association import accepts
from mammosono.appliance.node.contexts import (
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    STUDY_ROOT_FIND,
    UNCOMPRESSED,
)
from mammosono.appliance.node.outbox import Entry, Outbox
from mammosono.appliance.node.probe import Unreachable

logger = logging.getLogger(__name__)

LINGER_S = 5.0
"""So long the association is kept for an answer; most PACS open one of their own for it."""
_LOOK_S = 0.05

_REQUEST, _ALL_COMMITTED, _SOME_FAILED = 1, 1, 2
_SUCCESS, _PROCESSING_FAILURE, _NO_SUCH_ARGUMENT, _NO_SUCH_EVENT = 0x0000, 0x0110, 0x0114, 0x0113
_NO_ROOM = 0x0213
_PENDING = (0xFF00, 0xFF01)


def ask(association: Association, outbox: Outbox, destination: str) -> None:
    """Ask the destination to commit to what it was sent. Raises Unreachable."""
    named: dict[int, Dataset] = {}
    entries = []
    for entry in outbox.to_ask(destination):
        try:
            meta = read_file_meta_info(outbox.path(entry))
            named[entry.number] = reference(entry.sop_class, meta.MediaStorageSOPInstanceUID)
            entries.append(entry)
        except (OSError, InvalidDicomError, AttributeError):
            outbox.unconfirmed(entry, "its file is gone")
    if not entries:
        return
    uid = outbox.request(destination, entries)
    if not accepts(association, STORAGE_COMMITMENT):
        outbox.not_asked(uid)
        return
    status = request(association, uid, list(named.values()))
    if status == _SUCCESS:
        outbox.asked(uid)
        wait_for_answer(outbox, uid, LINGER_S)
    elif status in (_PROCESSING_FAILURE, _NO_ROOM):
        for entry in entries:
            outbox.postpone(entry, f"the destination cannot commit now, status {status:04X}")
    else:
        outbox.not_asked(uid)


def request(association: Association, uid: UID, references: Sequence[Dataset]) -> int:
    """Send the N-ACTION: its status. Raises Unreachable if the connection is lost."""
    information = Dataset()
    information.TransactionUID = uid
    information.ReferencedSOPSequence = list(references)
    try:
        status, _ = association.send_n_action(
            information, _REQUEST, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
        )
    except RuntimeError:
        status = Dataset()
    if "Status" not in status:
        raise lost("commitment was asked for")
    return int(status.Status)


def reference(sop_class: UID, sop_instance: UID) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
    return item


def wait_for_answer(outbox: Outbox, uid: UID, most_s: float) -> bool:
    """Whether it came: on an association of ours, or by way of the listener."""
    end = time.monotonic() + most_s
    while not outbox.answered(uid):
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_S)
    return True


def service(outbox: Outbox) -> tuple[PresentationContext, EventHandlerType]:
    """What a listener needs to take the answers: most PACS open an association for them."""
    context = build_context(STORAGE_COMMITMENT, list(UNCOMPRESSED))
    context.scu_role = context.scp_role = True
    return context, (evt.EVT_N_EVENT_REPORT, handler(outbox))


def handler(outbox: Outbox) -> Callable[[evt.Event], tuple[int, None]]:
    """Of `evt.EVT_N_EVENT_REPORT`, for associations of either direction."""

    def report(event: evt.Event) -> tuple[int, None]:
        with contextlib.suppress(NotImplementedError):
            if event.event_type not in (_ALL_COMMITTED, _SOME_FAILED):
                return _NO_SUCH_EVENT, None
            return take_report(outbox, event.event_information), None
        return _PROCESSING_FAILURE, None

    return report


def take_report(outbox: Outbox, information: Dataset) -> int:
    """Note what the answer says: the status for the destination."""
    try:
        uid = str(information.TransactionUID)
        committed = _named(information, "ReferencedSOPSequence")
        failed = _named(information, "FailedSOPSequence")
    except (AttributeError, TypeError, ValueError):
        return _NO_SUCH_ARGUMENT
    if not outbox.report(uid, committed, failed):
        return _PROCESSING_FAILURE
    logger.info("commitment: %d objects committed, %d not", len(committed), len(failed))
    return _SUCCESS


def query(association: Association, outbox: Outbox, destination: str) -> None:
    """Look whether the destination has what it did not commit to. Raises Unreachable."""
    series: dict[tuple[str, str], list[tuple[Entry, str]]] = defaultdict(list)
    for entry in outbox.to_query(destination):
        try:
            header = dcmread(outbox.path(entry), stop_before_pixels=True)
            place = str(header.StudyInstanceUID), str(header.SeriesInstanceUID)
            series[place].append((entry, str(header.SOPInstanceUID)))
        except (OSError, InvalidDicomError, AttributeError):
            outbox.unconfirmed(entry, "its file is gone")
    for (study_uid, series_uid), named in series.items():
        if not accepts(association, STUDY_ROOT_FIND):
            for entry, _ in named:
                outbox.unconfirmed(
                    entry, "the destination neither commits to objects nor answers queries"
                )
            continue
        status, there = _find(association, study_uid, series_uid, [uid for _, uid in named])
        for entry, uid in named:
            if status == _SUCCESS:
                outbox.found(entry, there=uid in there)
            else:
                outbox.postpone(entry, f"the destination's query fails, status {status:04X}")


def lost(doing: str) -> Unreachable:
    return Unreachable(
        f"the connection was lost while {doing}", "its log may say more; it is tried again"
    )


def _find(
    association: Association, study_uid: str, series_uid: str, sop_uids: Sequence[str]
) -> tuple[int, set[str]]:
    """Final status, and those of the UIDs that are there."""
    wanted = Dataset()
    wanted.QueryRetrieveLevel = "IMAGE"
    wanted.StudyInstanceUID, wanted.SeriesInstanceUID = study_uid, series_uid
    wanted.SOPInstanceUID = list(sop_uids)
    there: set[str] = set()
    try:
        for status, found in association.send_c_find(wanted, STUDY_ROOT_FIND):
            if "Status" not in status:
                break
            if status.Status not in _PENDING:
                return int(status.Status), there
            if found is not None and found.get("SOPInstanceUID") in sop_uids:
                there.add(str(found.SOPInstanceUID))
    except RuntimeError:
        pass
    raise lost("it was queried")


def _named(information: Dataset, sequence: str) -> list[str]:
    return [str(item.ReferencedSOPInstanceUID) for item in information.get(sequence) or ()]
