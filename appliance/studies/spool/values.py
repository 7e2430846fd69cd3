"""Values of the spool: a study in its present state, its images, its status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

from mammosono.appliance.values import BYTES_ALONE, Modality, Posted, Verdict


class Status(str, Enum):
    QUEUED = "queued"
    READING = "reading"
    DONE = "done"
    FAILED = "failed"

    @property
    def settled(self) -> bool:
        return self in (Status.DONE, Status.FAILED)


@dataclass(frozen=True, slots=True)
class Upload:
    """A posted file, whole, in the spool's `incoming` folder. sha256: of its bytes, hexadecimal."""

    modality: Modality
    path: Path
    sha256: str
    size: int
    posted: Posted = BYTES_ALONE


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A posted file that the spool keeps. size: bytes."""

    modality: Modality
    sha256: str
    size: int
    posted: Posted = BYTES_ALONE


@dataclass(frozen=True, slots=True)
class Study:
    """One study in its present state.

    number: counts the studies of this spool, in the order of arrival.
    owner: name of the token that posted it.
    attempts: how often a reader has begun it.
    result: the result document as UTF-8 JSON, once done; verdict is copied from it.
    problem: members of an RFC 9457 problem document, once failed.
    damaged: whether something of it is withheld, since it changed on the disk: verdict and result,
        or of a row that cannot be read all but number, id, owner, status and problem.
    """

    number: int
    study_id: str
    owner: str
    posted: datetime
    status: Status
    attempts: int
    images: tuple[StoredImage, ...]
    verdict: Verdict | None = None
    result: bytes = b""
    problem: Mapping[str, Any] | None = None
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Retained:
    """What one round of retention took away."""

    by_age: int
    by_space: int
