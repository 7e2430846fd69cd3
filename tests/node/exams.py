"""Exams as the node has them after a reading: stored files, and the document that the box gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import readings
from images import mammogram, save, ultrasound
from pydicom.dataset import Dataset

from mammosono.appliance.intake import read_image
from mammosono.appliance.node.contexts import ObjectKind
from mammosono.appliance.node.objects import Exam, Options, Source, write
from mammosono.appliance.node.uids import Written, hashed
from mammosono.appliance.output.document import Result
from mammosono.appliance.pipeline.measure import describe
from mammosono.appliance.values import Finding, Label, Modality, Verdict

SQUARE = (40, 60, 70, 100)
"""x0, y0, x1, y1, half-open: where the findings of these exams are."""
READ_AT = datetime(2026, 11, 28, 22, 30, 15)
EVERYTHING = frozenset(ObjectKind)


@dataclass(frozen=True)
class WrittenExam:
    document: dict[str, Any]
    sources: tuple[Source, ...]
    options: Options

    def write(self) -> list[Dataset]:
        return write(self.document, self.sources, self.options)

    @property
    def written(self) -> Written:
        """What a later version is told of it."""
        key = Exam.of(self.document, self.sources, self.options).key
        return Written(key, tuple(hashed(ds.SOPInstanceUID) for ds in self.write()))


def finding(size: tuple[int, int], label: Label, score: float, spacing: Any) -> Finding:
    """The SQUARE, in an image of (height, width)."""
    x0, y0, x1, y1 = SQUARE
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = True
    box = tuple(map(float, SQUARE))
    return describe(mask, 0, 0, size, spacing, box, label, score, 0.9)


def exam(
    folder: Path,
    verdict: Verdict = Verdict.POSITIVE,
    *,
    images: Sequence[Dataset] | None = None,
    unread: Sequence[tuple[Dataset, str, bool]] = (),
    lost: Sequence[Source] = (),
    kinds: frozenset[ObjectKind] = EVERYTHING,
    before: Written | None = None,
) -> WrittenExam:
    """A reading of two mammograms and two stills, or of `images`.

    Positive: a finding that looks malignant in every mammogram, one that looks benign in every
    still. Otherwise without findings; indeterminate: the last image could not be decided.
    unread: further images, why they were not read, and whether they should have been. lost: those
    of which no file was kept.
    """
    if images is None:
        images = (mammogram("R", "MLO"), mammogram("R", "CC"), ultrasound(1), ultrasound(2))
    shown, sources = [], []
    for index, ds in enumerate(images):
        path = save(ds, folder)
        source = read_image(path.read_bytes(), Modality(ds.Modality))
        size = (source.height, source.width)
        mg = source.modality is Modality.MG
        label, score = (Label.MALIGNANT, 0.8765) if mg else (Label.BENIGN, 0.1234)
        found = (finding(size, label, score, source.spacing_mm),) * (verdict is Verdict.POSITIVE)
        own = Verdict.POSITIVE if found and mg else Verdict.NEGATIVE
        if verdict is Verdict.INDETERMINATE and index == len(images) - 1:
            own = Verdict.INDETERMINATE
        read = readings.image(index, source.modality, own, found, size=size, score=0.05)
        shown.append(readings.as_seen(read, source))
        sources.append(Source(path, index))
    sources += [Source(save(ds, folder), None, why, failed) for ds, why, failed in unread]
    sources += lost
    reading = replace(readings.reading(*shown), verdict=verdict)
    document = Result.of("case-1", reading).document()
    return WrittenExam(document, tuple(sources), Options(READ_AT, kinds, before=before))
