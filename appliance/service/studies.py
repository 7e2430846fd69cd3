"""What is known of each study, and where it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from appliance.errors import UnknownStudy
from appliance.service.form import Upload
from appliance.service.problems import Problem
from appliance.values import Modality, Reading


class Status(str, Enum):
    QUEUED = "queued"
    READING = "reading"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """One posted study on its way from queued to done or failed.

    fingerprint: modality and sha256 of each posted file, in the order of the images.
    uploads: the files themselves, until they have been read.
    result: the result document as UTF-8 JSON, once done; `reading` is what it tells.
    """

    study_id: str
    posted: datetime
    fingerprint: tuple[tuple[Modality, str], ...]
    status: Status
    uploads: tuple[Upload, ...] = ()
    result: bytes = b""
    reading: Reading | None = None
    problem: Problem | None = None

    @property
    def settled(self) -> bool:
        return self.status in (Status.DONE, Status.FAILED)

    @property
    def kept_bytes(self) -> int:
        """Bytes held for a settled study: its result and its pictures."""
        pictures = self.reading.pictures if self.reading else ()
        return len(self.result) + sum(p.original.nbytes + p.denoised.nbytes for p in pictures)


class Studies(Protocol):
    """Where studies are kept. Used on the event loop only."""

    def put(self, study: Study) -> None:
        """Keep the study, in place of one of the same id."""

    def get(self, study_id: str) -> Study:
        """Raises UnknownStudy."""

    def delete(self, study_id: str) -> None:
        """Raises UnknownStudy."""

    def list(self) -> Sequence[Study]:
        """All studies, newest first."""


class MemoryStudies:
    """Studies in memory. Of the settled ones at most `max_settled`, and at most `max_bytes` of
    their pictures, are kept: the oldest go first, never one that still waits, never the newest.
    """

    def __init__(self, max_settled: int, max_bytes: int) -> None:
        self._studies: dict[str, Study] = {}
        self._max_settled = max_settled
        self._max_bytes = max_bytes

    def put(self, study: Study) -> None:
        self._studies[study.study_id] = study
        if study.settled:
            self._forget_oldest(study)

    def get(self, study_id: str) -> Study:
        try:
            return self._studies[study_id]
        except KeyError:
            raise UnknownStudy(
                "No study has this id; it may have been deleted to make room."
            ) from None

    def delete(self, study_id: str) -> None:
        self.get(study_id)
        del self._studies[study_id]

    def list(self) -> Sequence[Study]:
        # By order of arrival, not by `posted`: a box without a clock battery jumps in time.
        return list(reversed(self._studies.values()))

    def _forget_oldest(self, newest: Study) -> None:
        settled = [study for study in self.list() if study.settled and study is not newest]
        count, size = 1 + len(settled), newest.kept_bytes + sum(s.kept_bytes for s in settled)
        while settled and (count > self._max_settled or size > self._max_bytes):
            oldest = settled.pop()
            del self._studies[oldest.study_id]
            count, size = count - 1, size - oldest.kept_bytes
