"""Orders to the reader process, and its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mammosono.appliance.values import BYTES_ALONE, Laterality, Modality, Posted, Verdict
from mammosono.engines.open import DEFAULT
from mammosono.engines.options import EngineOptions


@dataclass(frozen=True, slots=True)
class Opening:
    """bundle: None is the one that ships with us. memory_bytes: limit of the process."""

    bundle: Path | None = None
    options: EngineOptions = DEFAULT
    memory_bytes: int | None = None

    def document(self) -> dict[str, Any]:
        """The order as sent to the process."""
        bundle = str(self.bundle) if self.bundle else None
        options = self.options._asdict()
        return {"bundle": bundle, "options": options, "memory_bytes": self.memory_bytes}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A posted file of the spool. sha256: hexadecimal, of its bytes when they were posted."""

    modality: Modality
    path: Path
    sha256: str
    posted: Posted = BYTES_ALONE

    def document(self) -> dict[str, Any]:
        return {
            "modality": self.modality.value,
            "path": str(self.path),
            "sha256": self.sha256,
            "posted": asdict(self.posted),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> StoredFile:
        """Of what `document` returned, also by way of JSON."""
        said = document["posted"]
        side = Laterality(said["laterality"]) if said["laterality"] else None
        return cls(
            Modality(document["modality"]), Path(document["path"]), document["sha256"],
            Posted(said["name"], side, said["view"]),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawing:
    """Of an image of a study that was read, at which somebody looks.

    result: the study's document. pictures: an empty folder for `picture_name` files.
    """

    index: int
    result: bytes
    pictures: Path


@dataclass(frozen=True, slots=True)
class StudyJob:
    """A study to be read; or, if it was read before, one image of it to be drawn."""

    study_id: str
    images: tuple[StoredFile, ...]
    drawing: Drawing | None = None

    def document(self) -> dict[str, Any]:
        """The order as sent to the process."""
        order = {"read": self.study_id, "images": [image.document() for image in self.images]}
        if self.drawing is None:
            return {**order, "result": None}
        return {
            **order,
            "result": json.loads(self.drawing.result),
            "index": self.drawing.index,
            "pictures": str(self.drawing.pictures),
        }


@dataclass(frozen=True, slots=True)
class StudyDone:
    """document: of mammosono.appliance.output.document. timings_ms: by step. unread: the codes of
    the images that could not be read."""

    result: bytes
    verdict: Verdict
    timings_ms: Mapping[str, float]
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyRefused:
    """problem: members of an RFC 9457 document."""

    problem: Mapping[str, Any]


Outcome = StudyDone | StudyRefused
