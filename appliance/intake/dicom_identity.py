"""Whose picture a DICOM file is, as it says (PS3.3 C.7.1.1, C.7.2.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydicom.dataset import Dataset

from mammosono.appliance.identity import (
    Identity,
    birth_of,
    day_of,
    id_of,
    issuer_of,
    name_of,
)
from mammosono.appliance.intake.dicom_values import items, texts

IDENTITY_KEYWORDS = (
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "AccessionNumber",
    "AcquisitionDate",
    "AcquisitionDateTime",
    "ContentDate",
    "SeriesDate",
    "StudyDate",
)

T = TypeVar("T")


def identity(top: Dataset) -> Identity:
    """Of a header's top level, with the IDENTITY_KEYWORDS. Never raises."""
    others = [_id(item) for item in items(top, "OtherPatientIDsSequence")]
    others += [(plain, "") for plain in map(id_of, texts(top, "OtherPatientIDs")) if plain]
    return Identity(
        patient_id=_id(top),
        other_ids=frozenset(other for other in others if other),
        name=_first(top, ("PatientName",), lambda text: name_of(text) or None) or (),
        birth_date=_first(top, ("PatientBirthDate",), birth_of),
        sex=_first(top, ("PatientSex",), lambda text: {"M": "M", "F": "F"}.get(text.upper())),
        events=_events(top),
        taken=_first(
            top,
            ("AcquisitionDate", "AcquisitionDateTime", "ContentDate", "SeriesDate", "StudyDate"),
            lambda text: day_of(text[:8]) or day_of(text),
        ),
    )


def _id(place: Dataset) -> tuple[str, str] | None:
    universal = items(place, "IssuerOfPatientIDQualifiersSequence")[:1]
    issuers = texts(place, "IssuerOfPatientID") or [
        text for item in universal for text in texts(item, "UniversalEntityID")
    ]
    found = _first(place, ("PatientID",), id_of)
    return (found, issuer_of(issuers[0]) if issuers else "") if found else None


def _events(place: Dataset) -> frozenset[str]:
    # A number of the hospital's day, such as 1, is anybody's.
    accession = [text for text in texts(place, "AccessionNumber") if len(text) >= 4]
    return frozenset((*texts(place, "StudyInstanceUID"), *(f"accession {n}" for n in accession)))


def _first(place: Dataset, keywords: tuple[str, ...], read: Callable[[str], T | None]) -> T | None:
    values = (read(text) for keyword in keywords for text in texts(place, keyword))
    return next((value for value in values if value is not None), None)
