"""Grouping of a folder's files by patient, and the modality of each.

By DICOM: the modality of the file, and together what has the same patient and study date, or the
same study where either is missing. By name, for what is no DICOM file: `KEY_mg.png`,
`KEY-us-2.jpg`, `KEY mammogram.tif`: a word for the test, and what stands before it is the key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from mammosono.appliance.modality import MODALITIES, PAIR
from mammosono.appliance.values import Modality

_WORDS = {
    word: modality
    for modality, record in MODALITIES.items()
    for word in (record.part, *record.aliases)
}
_NAME = re.compile(rf"(?P<key>.*?)[\s._-]*\b(?P<test>{'|'.join(_WORDS)})(?:[\s._-].*)?\Z")
_SEPARATOR = re.compile(r"[\s._-]+")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class Group:
    """The images of one patient: mammograms first, each kind in the order of its names.

    key: for names of files; of a DICOM group it is a hash, so that no name shows.
    """

    key: str
    files: tuple[tuple[Modality, Path], ...]

    @property
    def paired(self) -> bool:
        return not PAIR.missing([modality for modality, _ in self.files])

    @property
    def study_id(self) -> str:
        """The same for the same files, whoever posts them and how often."""
        hashed = hashlib.sha256()
        for modality, path in self.files:
            hashed.update(modality.value.encode())
            hashed.update(hashlib.sha256(path.read_bytes()).digest())
        return f"watch-{hashed.hexdigest()[:32]}"


def group_files(files: Iterable[Path]) -> tuple[list[Group], list[Path]]:
    """The groups, by key, and the files that belong to none."""
    members: dict[str, list[tuple[Modality, Path]]] = {}
    unknown = []
    for path in sorted(files):
        entry = _by_dicom(path) or _by_name(path)
        if entry is None:
            unknown.append(path)
        else:
            key, modality = entry
            members.setdefault(key, []).append((modality, path))
    groups = []
    for key, images in sorted(members.items()):
        ordered = sorted(images, key=lambda member: list(MODALITIES).index(member[0]))
        groups.append(Group(key, tuple(ordered)))
    return groups, unknown


def _by_dicom(path: Path) -> tuple[str, Modality] | None:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        modality = Modality(str(header.get("Modality", "")))
    except (InvalidDicomError, ValueError, OSError):
        return None
    except Exception:  # a damaged header raises what it likes; the appliance says what is wrong
        return None
    patient, date = (str(header.get(name, "")) for name in ("PatientID", "StudyDate"))
    study = str(header.get("StudyInstanceUID", "")) or path.stem
    who = f"{patient} {date}" if patient and date else study
    return f"dicom-{hashlib.sha256(who.encode()).hexdigest()[:16]}", modality


def _by_name(path: Path) -> tuple[str, Modality] | None:
    if path.suffix.lower() not in (*PICTURES, ".dcm"):
        return None
    match = _NAME.match(_SEPARATOR.sub("-", path.stem.lower()))
    if match is None or not match["key"]:
        return None
    return match["key"], _WORDS[match["test"]]
