"""What a DICOM header says by which files are paired, read without the picture behind it.

It is compared and hashed, and never written anywhere: `Header` has no repr.
"""

from __future__ import annotations

import io
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag

from mammosono.appliance.identity import Identity, issuer_of
from mammosono.appliance.intake.dicom_identity import IDENTITY_KEYWORDS, identity
from mammosono.appliance.intake.dicom_values import texts
from mammosono.appliance.values import Modality

# pydicom logs the values it stumbles over, and one of them may be the patient's name.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

_TAGS = [Tag(word) for word in ("Modality", *IDENTITY_KEYWORDS)]
_LAST = int(max(_TAGS))
_MOST_BYTES, _MOST_READS = 2**20, 100_000
"""Of a header up to its study's UID: many times what devices write."""


@dataclass(frozen=True, slots=True, repr=False)
class Header:
    """identity: whose it is, as the appliance reads and compares it.

    patient_id: as written, also one that stands for nobody; "" if not stated. issuer: its own.
    date: the digits of the study date. study: its Study Instance UID.
    """

    modality: Modality
    identity: Identity
    patient_id: str
    issuer: str
    date: str
    study: str

    @property
    def patient(self) -> str:
        """The ID, the same however it is written; "" if not stated."""
        known = self.identity.patient_id
        return known[0] if known else self.patient_id


def read_header(path: Path) -> Header | None:
    """None for what is no DICOM image of a known modality. Raises OSError if it cannot be read.

    Only the header is read, up to the Study Instance UID, and never more than 1 MiB.
    """
    with _Bounded(io.FileIO(path)) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as the log: they repeat values
        try:
            ds = read_partial(file, lambda tag, *_: _past(tag), specific_tags=[*_TAGS])
            return _header(ds)
        except OSError:
            raise
        except Exception:  # a damaged header raises what it likes; the appliance says what is wrong
            return None


def _past(tag: BaseTag) -> bool:
    return int(tag) > _LAST


def _header(ds: Dataset) -> Header:
    """Raises ValueError for another modality."""
    return Header(
        modality=Modality(_first(ds, "Modality")),
        identity=identity(ds),
        patient_id=_first(ds, "PatientID"),
        issuer=issuer_of(_first(ds, "IssuerOfPatientID")),
        date="".join(sign for sign in _first(ds, "StudyDate") if sign in "0123456789"),
        study=_first(ds, "StudyInstanceUID"),
    )


def _first(ds: Dataset, keyword: str) -> str:
    return next(iter(texts(ds, keyword)), "")


class _Bounded(io.BufferedReader):
    """Raises ValueError when a header asks for too much, as a deflated one does: for all of it."""

    _bytes = _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        self._bytes += _MOST_BYTES + 1 if size is None or size < 0 else size
        if self._bytes > _MOST_BYTES or self._reads > _MOST_READS:
            raise ValueError("header too long")
        return super().read(size)
