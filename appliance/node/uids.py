"""UIDs of what the node writes: the same of the same images, read by the same model.

An object that is sent twice is one object in the PACS, and nothing need be remembered for that.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.uid import UID

from mammosono.appliance import __version__

FORMAT = 1
"""Of the objects. To be raised with every change of what they hold: a PACS keeps the first object
that it was given under a UID."""

_PRODUCT = uuid.UUID("6f1d3a52-64cc-5d0e-9a5b-0a3f4c6d7e81")


def key(
    read: Iterable[str], unread: Iterable[str], model_sha256: str, answer: Iterable[str]
) -> str:
    """What a reading is told apart by.

    read, unread: SOP Instance UIDs of its images; where one was not kept, words that are the same
    every time. answer: the verdict on the exam and why; they follow from the images, and from what
    else there is of the patient: a PACS that has "negative" under a UID would never show another.
    """
    parts = [f"format {FORMAT}", f"model {model_sha256}"]
    parts += sorted(f"read {uid}" for uid in read) + sorted(f"unread {uid}" for uid in unread)
    parts += [f"answer {word}" for word in answer]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of a reading. key: of the reading. reports: those that went into the outbox,
    as `hashed`."""

    key: str
    reports: tuple[str, ...] = ()


def hashed(uid: str) -> str:
    """An object's name outside of its file: SHA-256 of its SOP Instance UID, in hexadecimal."""
    return hashlib.sha256(str(uid).strip("\0 ").encode()).hexdigest()


def of_object(key: str, kind: str, study: str, number: int) -> str:
    """SOP Instance UID. number: of the object in its series, from 1."""
    return derived(key, kind, study, number)


def of_series(key: str, kind: str, study: str) -> str:
    return derived(key, kind, study)


def derived(key: str, *what: object) -> str:
    """The UID of `what` in a reading (PS3.5 B.2)."""
    return _uid("|".join((key, *map(str, what))))


def _uid(name: str) -> str:
    return f"2.25.{uuid.uuid5(_PRODUCT, name).int}"


IMPLEMENTATION_CLASS = UID(_uid("implementation"))
IMPLEMENTATION_VERSION = f"MAMMOSONO_{__version__}"[:16]
