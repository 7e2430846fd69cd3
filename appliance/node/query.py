"""Query and fetch: exams that a PACS already has, moved to our listener (PS3.4, annex C)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.node.association import Context, Rejected, accepts, associate
from mammosono.appliance.node.commitment import lost
from mammosono.appliance.node.contexts import STUDY_ROOT_FIND, STUDY_ROOT_MOVE, UNCOMPRESSED
from mammosono.appliance.node.destinations import Dimse

MOST_SERIES = 1000
"""Of one query: a PACS that ignores a key answers with all that it has."""

_PENDING = (0xFF00, 0xFF01)
_SUCCESS, _DESTINATION_UNKNOWN = 0x0000, 0xA801
_SOME_FAILED = 0xB000
_DATES = re.compile(r"[0-9]{8}(-[0-9]{8})?")
_WILD = re.compile(r"[*?\\\x00-\x1f]")


class QueryFailed(Exception):
    """`str(error)` is one line with the remedy, without identity."""


@dataclass(frozen=True, slots=True)
class Series:
    """One of mammograms or of ultrasound. date: of its study, as the PACS gives it."""

    study: str
    series: str
    modality: str
    date: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Images that the PACS sent to our listener, and that it could not."""

    stored: int = 0
    failed: int = 0

    def __add__(self, other: Moved) -> Moved:
        return Moved(self.stored + other.stored, self.failed + other.failed)


def find(way: Dimse, *, patient_id: str = "", issuer: str = "", dates: str = "") -> list[Series]:
    """Series of mammograms and ultrasound of one patient, or of a range of study dates.

    dates: YYYYMMDD, or two with a dash between them; empty: whenever. Raises QueryFailed,
    Unreachable, Rejected.
    """
    if not patient_id.strip() and not dates:
        raise QueryFailed("Give a patient or a range of dates; never is all of a PACS asked for.")
    if _WILD.search(patient_id + issuer):
        raise QueryFailed("A patient's ID has no signs that stand for others; give it whole.")
    if dates and not _DATES.fullmatch(dates):
        raise QueryFailed("Give dates as 20261101 or 20261101-20261130.")
    wanted = _keys("STUDY", PatientID=patient_id, StudyDate=dates, StudyInstanceUID="")
    wanted.IssuerOfPatientID = ""
    with associate(way, _contexts()) as association:
        return [
            series
            for study in _find(association, wanted)
            if _is_of(study, patient_id, issuer)
            for series in _series(association, study)
        ]


def fetch(way: Dimse, series: Sequence[Series]) -> Iterator[tuple[Series, Moved]]:
    """Have the PACS send them to the AE title that we call ourselves, one after the other.

    Raises QueryFailed, Unreachable, Rejected.
    """
    with associate(way, _contexts()) as association:
        for each in series:
            yield each, _move(association, way, each)


def _contexts() -> Iterator[Context]:
    yield STUDY_ROOT_FIND, UNCOMPRESSED
    yield STUDY_ROOT_MOVE, UNCOMPRESSED


def _keys(level: str, **keys: str) -> Dataset:
    wanted = Dataset()
    wanted.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(wanted, keyword, value)
    return wanted


def _series(association: Association, study: Dataset) -> Iterator[Series]:
    uid, date = str(study.StudyInstanceUID), str(study.get("StudyDate") or "")
    for modality in MODALITIES:
        wanted = _keys(
            "SERIES", StudyInstanceUID=uid, SeriesInstanceUID="", Modality=modality.value
        )
        for found in _find(association, wanted):
            # A PACS that ignores the key answers with series of reports, too.
            if found.get("Modality") == modality.value and found.get("SeriesInstanceUID"):
                yield Series(uid, str(found.SeriesInstanceUID), modality.value, date)


def _is_of(study: Dataset, patient_id: str, issuer: str) -> bool:
    """A PACS may ignore a key, or match it without regard to case."""
    if not study.get("StudyInstanceUID"):
        return False
    if patient_id and str(study.get("PatientID", "")).strip() != patient_id.strip():
        return False
    stated = str(study.get("IssuerOfPatientID") or "").strip()
    return not (issuer and stated) or stated == issuer.strip()


def _find(association: Association, wanted: Dataset) -> list[Dataset]:
    _require(association, STUDY_ROOT_FIND, "answers no queries")
    found: list[Dataset] = []
    try:
        for status, identifier in association.send_c_find(wanted, STUDY_ROOT_FIND):
            if "Status" not in status:
                break
            if status.Status not in _PENDING:
                if status.Status != _SUCCESS:
                    raise QueryFailed(
                        f"The PACS's query fails, status {status.Status:04X}; its log says why."
                    )
                return found
            if identifier is not None and len(found) < MOST_SERIES:
                found.append(identifier)
    except RuntimeError:
        pass
    raise lost("it was queried")


def _move(association: Association, way: Dimse, series: Series) -> Moved:
    _require(association, STUDY_ROOT_MOVE, "sends nothing on request (C-MOVE)")
    wanted = _keys("SERIES", StudyInstanceUID=series.study, SeriesInstanceUID=series.series)
    try:
        for status, _ in association.send_c_move(wanted, way.calling, STUDY_ROOT_MOVE):
            if "Status" not in status:
                break
            if status.Status in _PENDING:
                continue
            if status.Status == _DESTINATION_UNKNOWN:
                raise QueryFailed(
                    f"The PACS does not know where {way.calling} is; enter our AE title, address "
                    "and port there."
                )
            if status.Status not in (_SUCCESS, _SOME_FAILED):
                raise QueryFailed(
                    f"The PACS sends nothing, status {status.Status:04X}; its log says why."
                )
            stored = int(status.get("NumberOfCompletedSuboperations") or 0)
            warned = int(status.get("NumberOfWarningSuboperations") or 0)
            return Moved(stored + warned, int(status.get("NumberOfFailedSuboperations") or 0))
    except RuntimeError:
        pass
    # Orthanc does so where it does not know us.
    raise QueryFailed(
        f"The PACS ended the connection over it; enter {way.calling} with our address and port "
        "there; its log says why."
    )


def _require(association: Association, sop_class: UID, lack: str) -> None:
    if not accepts(association, sop_class):
        raise Rejected(f"the destination {lack}", "allow it to our AE title at the PACS")
