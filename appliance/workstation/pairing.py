"""Grouping of a folder's files by patient, and the modality of each.

By DICOM: the modality of the file, and together what has the same patient and study date, or the
same study where either is missing. By name, for what is no DICOM file: `KEY_mg.png`,
`KEY-us-2.jpg`, `KEY mammogram.tif`: a word for the test, and what stands before it is the key.

What could belong to two people, or to several pairs, is in a group that says why it is left.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from pathlib import Path

from mammosono.appliance.identity import Agreement, compare
from mammosono.appliance.modality import MODALITIES, PAIR
from mammosono.appliance.values import Modality
from mammosono.appliance.workstation.header import Header, read_header

_WORDS = {
    word: modality
    for modality, record in MODALITIES.items()
    for word in (record.part, *record.aliases)
}
_TEST = re.compile(rf"\b({'|'.join(_WORDS)})(?=-|\Z)")
_SEPARATOR = re.compile(r"[\s._-]+")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_LONGEST_KEY_BYTES = 200
"""So that the answer's name still fits a file system's 255."""

UNKNOWN = "neither a DICOM mammogram or ultrasound nor named for a test (as in KEY_mg.png); left"
SEVERAL_WORDS = "the name holds more than one word for a test; name it KEY_mg or KEY_us; left"
LONG_NAME = "the name is too long; left"
SEVERAL_PEOPLE, SEVERAL_PAIRS = "several_people", "several_pairs"
LEFT: Mapping[str, str] = {
    SEVERAL_PEOPLE: "The files have one patient ID and name different people; look at them, and "
    "post what belongs together with mammosono post.",
    SEVERAL_PAIRS: "The mammograms and ultrasounds of these days can be paired in several ways; "
    "post each pair with mammosono post.",
}
"""Why a group is not posted."""


@dataclass(frozen=True, slots=True)
class Image:
    """A file that belongs to a group. header: None if the file's name alone tells whose it is."""

    path: Path
    modality: Modality
    key: str
    header: Header | None = None

    @property
    def visit(self) -> str:
        """The same for all images of one patient and date, however the ID is written."""
        header = self.header
        if header is None or not (header.patient and header.date):
            return self.key
        return f"{header.patient} {header.date}"


@dataclass(frozen=True, slots=True)
class Group:
    """The images of one patient: mammograms first, each kind in the order of its names.

    key: for names of files; of a DICOM group it is a hash, so that no name shows. named: the key is
    the files' own. left: which of LEFT keeps it from being posted.
    """

    key: str
    files: tuple[tuple[Modality, Path], ...]
    named: bool = True
    left: str | None = None

    @property
    def paired(self) -> bool:
        return not PAIR.missing([modality for modality, _ in self.files])

    def digest(self, sha256: Callable[[Path], bytes]) -> str:
        """The same for the same files, whoever posts them and how often. sha256: of a file."""
        hashed = hashlib.sha256()
        for modality, path in self.files:
            hashed.update(modality.value.encode())
            hashed.update(sha256(path))
        return hashed.hexdigest()

    def study_id(self, digest: str) -> str:
        """By which the appliance lists it. A key that is a hash is part of it; one that a person
        has written is not: it may be a patient's name."""
        return f"{'watch' if self.named else self.key}-{digest[:16]}"


def same_study(study_id: str, digest: str) -> bool:
    """Whether that is the id of images with this digest, under whatever key."""
    return study_id.rpartition("-")[2][:16] == digest[:16]


def describe(path: Path) -> Image | str:
    """What the file is, or why it is left. Raises OSError if it cannot be read."""
    header = read_header(path)
    if header is not None:
        return Image(path, header.modality, _key(header, path), header)
    if path.suffix.lower() not in (*PICTURES, ".dcm"):
        return UNKNOWN
    stem = _SEPARATOR.sub("-", path.stem.lower())
    tests = list(_TEST.finditer(stem))
    if len(tests) > 1:
        return SEVERAL_WORDS
    key = stem[: tests[0].start()].rstrip("-") if tests else ""
    if not key:
        return UNKNOWN
    if len(os.fsencode(key)) > _LONGEST_KEY_BYTES:
        return LONG_NAME
    return Image(path, _WORDS[tests[0][1]], key)


def group_images(images: Iterable[Image], pair_days: int = 0) -> list[Group]:
    """The groups, by key.

    pair_days: days that a patient's mammogram and ultrasound may lie apart, where each has no
    partner of its own date and no other within these days.
    """
    visits: dict[str, list[Image]] = {}
    for image in sorted(images, key=lambda image: image.path):
        visits.setdefault(image.visit, []).append(image)
    groups = []
    for dates, ambiguous in _together(visits, pair_days):
        members = [image for date in dates for image in visits[date]]
        groups.append(_group(members, SEVERAL_PAIRS if ambiguous else None))
    return sorted(groups, key=lambda group: group.key)


def group_files(files: Iterable[Path], pair_days: int = 0) -> tuple[list[Group], dict[Path, str]]:
    """The groups, and the files that belong to none, with the reason."""
    described = {path: describe(path) for path in sorted(files)}
    images = [image for image in described.values() if isinstance(image, Image)]
    left = {path: reason for path, reason in described.items() if isinstance(reason, str)}
    return group_images(images, pair_days), left


def _group(members: Sequence[Image], left: str | None) -> Group:
    order = list(MODALITIES)
    files = sorted(members, key=lambda image: (order.index(image.modality), image.path))
    headers = [image.header for image in members if image.header is not None]
    if not _one_person(headers):
        left = SEVERAL_PEOPLE
    named = not headers
    return Group(members[0].key, tuple((one.modality, one.path) for one in files), named, left)


def _one_person(headers: Sequence[Header]) -> bool:
    """Whether no two are of two patients, and the ID that they have in common is one issuer's."""
    identities = [header.identity for header in headers]
    differ = any(compare(a, b) is Agreement.DIFFERENT for a, b in combinations(identities, 2))
    return not differ and len({header.issuer for header in headers if header.issuer}) <= 1


def _key(header: Header, path: Path) -> str:
    # Of the ID as it is written: by this name an answer of an earlier version is found.
    patient, date = header.patient_id, header.date
    who = f"{patient} {date}" if patient and date else header.study or path.stem
    return f"dicom-{hashlib.sha256(who.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class _Visit:
    """A patient's images of one date. tests: of which modalities."""

    key: str
    day: int
    tests: frozenset[Modality]

    def within(self, days: int, other: _Visit) -> bool:
        return abs(self.day - other.day) <= days


def _together(
    visits: Mapping[str, Sequence[Image]], pair_days: int
) -> list[tuple[tuple[str, ...], bool]]:
    """Keys of visits that belong together, the earliest first, and whether that is ambiguous."""
    linked: dict[str, tuple[_Visit, ...]] = {}
    whole: dict[str, list[_Visit]] = {}
    for patient, dated in _by_patient(visits).items() if pair_days else ():
        whole[patient] = [visit for visit in dated if not PAIR.missing(visit.tests)]
        half = [visit for visit in dated if PAIR.missing(visit.tests)]
        linked |= {visit.key: (visit,) for visit in half}
        for one, other in combinations(half, 2):
            joined = linked[one.key] != linked[other.key]
            if joined and one.tests != other.tests and one.within(pair_days, other):
                chain = (*linked[one.key], *linked[other.key])
                linked |= dict.fromkeys((visit.key for visit in chain), chain)
    together = {}
    for key, images in visits.items():
        chain = tuple(sorted(linked.get(key, ()), key=lambda visit: visit.day))
        near = len(chain) > 1 and any(
            pair.within(pair_days, visit) for pair in whole[_patient(images)] for visit in chain
        )
        together[tuple(visit.key for visit in chain) or (key,)] = len(chain) > 2 or near
    return list(together.items())


def _by_patient(visits: Mapping[str, Sequence[Image]]) -> dict[str, list[_Visit]]:
    """Those whose patient and date are known."""
    found: dict[str, list[_Visit]] = {}
    for key, images in visits.items():
        header = images[0].header
        if header is None or not header.patient:
            continue
        try:
            day = datetime.strptime(header.date, "%Y%m%d").toordinal()
        except ValueError:
            continue
        tests = frozenset(image.modality for image in images)
        found.setdefault(header.patient, []).append(_Visit(key, day, tests))
    return found


def _patient(images: Sequence[Image]) -> str:
    return images[0].header.patient if images[0].header is not None else ""
