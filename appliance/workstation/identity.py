"""Whose image a DICOM file says it is: of its header that alone by which files are paired.

What is read here is compared and hashed, and never written anywhere: `Identity` has no repr.
"""

from __future__ import annotations

import io
import logging
import re
import unicodedata
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag

from mammosono.appliance.values import Modality

# pydicom logs the values it stumbles over, and one of them may be the patient's name.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

_PERSON = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
_TAGS = [Tag(word) for word in (*_PERSON, "Modality", "StudyDate", "StudyInstanceUID")]
_LAST = int(max(_TAGS))
_MOST_BYTES, _MOST_READS = 2**20, 100_000
"""Of a header up to its study's UID: many times what devices write."""


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """person: Patient ID, its issuer, name, birth date, sex, each normalised, "" if not stated.

    date: the digits of the study date. study: its Study Instance UID.
    """

    modality: Modality
    person: tuple[str, ...]
    date: str
    study: str

    @property
    def patient(self) -> str:
        return self.person[0]


def one_person(identities: Collection[Identity]) -> bool:
    """Whether no two of them contradict each other; what a file does not state contradicts none."""
    stated = zip(*(identity.person for identity in identities), strict=True)
    return all(len({value for value in values if value}) <= 1 for values in stated)


def read_identity(path: Path) -> Identity | None:
    """None for what is no DICOM image of a known modality. Raises OSError if it cannot be read.

    Only the header is read, up to the Study Instance UID, and never more than 1 MiB.
    """
    with _Bounded(io.FileIO(path)) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as the log: they repeat values
        try:
            ds = read_partial(file, lambda tag, *_: _past(tag), specific_tags=[*_TAGS])
            return _identity(ds)
        except OSError:
            raise
        except Exception:  # a damaged header raises what it likes; the appliance says what is wrong
            return None


def _past(tag: BaseTag) -> bool:
    return int(tag) > _LAST


def _identity(ds: Dataset) -> Identity:
    """Raises ValueError for another modality."""
    patient, issuer, name, birth, sex = (str(ds.get(word) or "").strip(" \0") for word in _PERSON)
    return Identity(
        modality=Modality(str(ds.get("Modality", ""))),
        person=(patient, _folded(issuer), _name(name), _digits(birth), _folded(sex)),
        date=_digits(str(ds.get("StudyDate") or "")),
        study=str(ds.get("StudyInstanceUID") or "").strip(" \0"),
    )


def _name(text: str) -> str:
    """Family, given and middle name of the first way of writing it (PS3.5 6.2.1), in one form."""
    written = next((way for way in text.split("=") if way.strip("^ ")), "")
    return _folded(" ".join(written.split("^")[:3]))


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(word for word in re.split(r"[\s,]+", folded) if word)


def _digits(text: str) -> str:
    return "".join(sign for sign in text if sign in "0123456789")


class _Bounded(io.BufferedReader):
    """Raises ValueError when a header asks for too much, as a deflated one does: for all of it."""

    _bytes = _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        self._bytes += _MOST_BYTES + 1 if size is None or size < 0 else size
        if self._bytes > _MOST_BYTES or self._reads > _MOST_READS:
            raise ValueError("header too long")
        return super().read(size)
