"""A reading beside the files of its images: what every object is written from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from mammosono.appliance.errors import IntakeError
from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.node import uids
from mammosono.appliance.node.contexts import DEFAULT_OBJECTS, ObjectKind
from mammosono.appliance.node.headers import read_header, said
from mammosono.appliance.output.document import Result
from mammosono.appliance.values import ImageReading, Modality, Reading, UnreadImage


@dataclass(frozen=True, slots=True)
class Source:
    """An image of the exam. path: of its stored DICOM file; None if it was not read, nor kept.

    index: in the result document; None if it was not posted.
    reason: why it was not, for people. failed: it should have been. modality, side, series, number:
    where there is no file to say it; empty if not known.
    """

    path: Path | None
    index: int | None
    reason: str = ""
    failed: bool = False
    modality: Modality | None = None
    side: str = ""
    series: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """read_at: when the reading was made, in local time; the same whenever it is written again.
    serial: of the device that read. before: what was written of the version before, if this one is
    made of more images."""

    read_at: datetime
    kinds: frozenset[ObjectKind] = frozenset(DEFAULT_OBJECTS)
    serial: str = "1"
    before: uids.Written | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """An image that was read. header: of its file, without pixels. label: what people call it."""

    image: ImageReading
    header: Dataset
    path: Path
    label: str

    @property
    def instance(self) -> str:
        return str(self.header.SOPInstanceUID)

    @property
    def study(self) -> str:
        return str(self.header.StudyInstanceUID)


@dataclass(frozen=True, slots=True, eq=False)
class Unread:
    """An image that was not read. header: of its file, if it was kept. modality: None if it is
    neither of the two."""

    header: Dataset | None
    modality: Modality | None
    label: str
    reason: str
    failed: bool

    @property
    def name(self) -> str:
        """Its SOP Instance UID; without a file, what is known of it."""
        if self.header is None:
            return f"{self.label} {self.reason}"
        return str(self.header.SOPInstanceUID)


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """software: that read. key: see `uids.key`. shown: in the order of the document."""

    reading: Reading
    software: str
    key: str
    shown: tuple[Shown, ...]
    unread: tuple[Unread, ...]
    options: Options

    @classmethod
    def of(cls, document: Mapping[str, Any], sources: Sequence[Source], options: Options) -> Exam:
        """Raises ValueError if a file is not the one that was read, or an image has none: outlines
        are never drawn on another picture. Raises IntakeError and OSError."""
        result = Result.parse(document)
        reading = result.reading()
        files = {
            source.index: source.path
            for source in sources
            if source.index is not None and source.path is not None
        }
        if {image.index for image in reading.in_order} != files.keys():
            raise ValueError("the document's images and the files are not the same")
        shown = _named([_shown(image, files[image.index]) for image in reading.images])
        unread = [_unread(source) for source in sources if source.index is None]
        unread += [_failed(image, files[image.index]) for image in reading.unread]
        unread.sort(key=lambda each: (each.label, each.reason, each.name))
        return cls(
            reading=reading,
            software=result.software,
            key=uids.key(
                (each.instance for each in shown),
                (each.name for each in unread),
                reading.model.sha256,
                (reading.verdict.value, *reading.reasons),
            ),
            shown=shown,
            unread=tuple(unread),
            options=options,
        )

    @property
    def headers(self) -> dict[str, Dataset]:
        """That of each study's first image by Study Instance UID, those that were read first."""
        headers = [each.header for each in self.shown]
        headers += [each.header for each in self.unread if each.header is not None]
        first: dict[str, Dataset] = {}
        for header in headers:
            first.setdefault(str(header.StudyInstanceUID), header)
        return first

    def own_first(self, study: str) -> tuple[Shown, ...]:
        """The images that were read, those of a study before the others."""
        return tuple(sorted(self.shown, key=lambda each: each.study != study))

    def tracking_uid(self, shown: Shown, number: int) -> str:
        """Of a finding, by its number in its image from 1: the same in every object."""
        return uids.derived(self.key, "finding", shown.instance, number)


def _shown(image: ImageReading, path: Path) -> Shown:
    header = read_header(_posted(image, path))
    size = (said(header, "Rows"), said(header, "Columns"))
    if size != (str(image.height), str(image.width)):
        raise ValueError("an image was read at another size than its file has")
    side = image.laterality.value if image.laterality else ""
    if image.view:
        return Shown(image, header, path, f"{side} {image.view}".strip())
    return Shown(image, header, path, _numbered(_words(side, _part(image.modality)), header))


def _posted(image: ImageReading | UnreadImage, path: Path) -> bytes:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != image.sha256:
        raise ValueError("a file is not the one that was read")
    return data


def _named(shown: Sequence[Shown]) -> tuple[Shown, ...]:
    """Those that would be called the same, with their numbers."""
    labels = [each.label for each in shown]
    return tuple(
        replace(each, label=_numbered(each.label, each.header))
        if labels.count(each.label) > 1 and each.image.view
        else each
        for each in shown
    )


def _part(modality: Modality | None) -> str:
    return MODALITIES[modality].part if modality else "image"


def _unread(source: Source) -> Unread:
    reason = source.reason or "no reason is known"
    header = _readable(source.path.read_bytes()) if source.path is not None else None
    if header is None:
        called = _words(source.side, _part(source.modality))
        label = _placed(called, source.series, source.number)
        return Unread(None, source.modality, label, reason, source.failed)
    named = said(header, "Modality")
    modality = Modality(named) if named in {each.value for each in Modality} else None
    side = said(header, "ImageLaterality") or said(header, "Laterality")
    words = [word for word in (side, said(header, "ViewPosition")) if word.isalpha()]
    label = _numbered(_words(*words, _part(modality)), header)
    return Unread(header, modality, label, reason, source.failed)


def _failed(image: UnreadImage, path: Path) -> Unread:
    """One that the appliance could not read, with what it says of it."""
    header = _readable(_posted(image, path))
    side = image.laterality.value if image.laterality else ""
    label = _words(side, image.view or "", _part(image.modality))
    if header is not None:
        label = _numbered(label, header)
    reason = " ".join(image.warnings).rstrip(".") or "it could not be read"
    return Unread(header, image.modality, label, reason, failed=True)


def _readable(data: bytes) -> Dataset | None:
    """The header of an image that was not read, if that at least can be."""
    try:
        return read_header(data)
    except (IntakeError, ValueError):
        return None


def _words(*words: str) -> str:
    return " ".join(word for word in words if word)


def _numbered(words: str, header: Dataset) -> str:
    return _placed(words, said(header, "SeriesNumber"), said(header, "InstanceNumber"))


def _placed(words: str, series: str, number: str) -> str:
    """With the numbers that a viewer shows beside the image."""
    place = [f"image {number}"] if number.isdigit() else []
    place += [f"series {series}"] if series.isdigit() else []
    return " ".join((words, " of ".join(place))).strip()
