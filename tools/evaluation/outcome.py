"""Outcome of one labelled image: the device's answer, and the search for its lesions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mammosono.appliance.output.rle import decode, encode
from mammosono.appliance.values import Box, Evidence, Finding, ImageReading, Label, Rle, Verdict
from mammosono.tools.data.index import LesionMark, Record
from mammosono.tools.data.truth import decode_grey, set_pixels, union_mask
from mammosono.tools.evaluation.bootstrap import Floats
from mammosono.tools.evaluation.metrics import (
    Bools,
    centre_inside,
    dice,
    hits,
    jaccard,
    overlap,
)

ReadBytes = Callable[[Path], bytes]

SIZES = ("under 1/16", "1/16 to 1/8", "1/8 to 1/4", "1/4 and over")
"""Size classes of lesions: the root of the box's area over the root of the image's area."""


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """The device's answer for one record, and how right it is.

    score: the image's malignancy score; NaN if the image could not be read.
    lesion_score: the highest lesion score of its findings, 0 without one; NaN if unread.
    findings: how many the device reports, all of which count for the figures below.
    dice, jaccard: union of the findings' masks against the union of the lesions' masks; NaN
    where the record has no mask, 0 if unread or nothing found.
    box_hit: 1.0 if a finding's box has IoU >= 0.25 with a lesion's box, else 0.0.
    centre_hit: 1.0 if the centre of a finding's box lies in a lesion's circle or box, else 0.0.
    Both are NaN where the record has no located lesion.
    error: the code of the refusal if the image could not be read, else "".
    evidence: what the score is made of; None if the image could not be read.
    """

    record: Record
    verdict: Verdict
    score: float
    lesion_score: float
    findings: int
    dice: float
    jaccard: float
    box_hit: float
    centre_hit: float
    error: str = ""
    evidence: Evidence | None = None

    @property
    def malignant(self) -> bool:
        return self.record.label == "malignant"

    @property
    def unread(self) -> bool:
        return self.verdict is Verdict.INDETERMINATE


def read_outcome(record: Record, image: ImageReading, read_bytes: ReadBytes) -> ImageOutcome:
    """Hold a reading against the record's masks and lesions.

    Raises ValueError if a mask cannot be decoded or is not of the image's size.
    """
    shape = (image.height, image.width)
    covered = np.zeros(shape, bool)
    for finding in image.findings:
        covered |= decode(finding.mask)
    lesion = union_mask(record, shape, read_bytes)
    box_hit, centre_hit = _hits(image.findings, record.lesions)
    # An image without an answer has no score either, whatever the reader put there.
    unread = image.score is None or image.verdict is Verdict.INDETERMINATE
    return ImageOutcome(
        record=record,
        verdict=Verdict.INDETERMINATE if unread else image.verdict,
        score=math.nan if unread or image.score is None else image.score,
        lesion_score=math.nan if unread else _highest_lesion_score(image.findings),
        findings=len(image.findings),
        dice=math.nan if lesion is None else dice(covered, lesion),
        jaccard=math.nan if lesion is None else jaccard(covered, lesion),
        box_hit=box_hit,
        centre_hit=centre_hit,
        evidence=image.evidence,
    )


def unread_outcome(record: Record, error: str) -> ImageOutcome:
    """The outcome of an image that the device refused with the code `error`."""
    overlap = 0.0 if record.masks else math.nan
    hit = 0.0 if record.lesions else math.nan
    return ImageOutcome(
        record, Verdict.INDETERMINATE, math.nan, math.nan, 0, overlap, overlap, hit, hit, error
    )


def _highest_lesion_score(findings: Sequence[Finding]) -> float:
    return max((finding.lesion_score for finding in findings), default=0.0)


def _hits(findings: Sequence[Finding], lesions: Sequence[LesionMark]) -> tuple[float, float]:
    """box_hit and centre_hit of an Outcome."""
    if not lesions:
        return math.nan, math.nan
    boxes = np.array([finding.box for finding in findings], float).reshape(-1, 4)
    marked = np.array([lesion.box for lesion in lesions], float)
    circles = np.array([lesion.is_circle for lesion in lesions])
    return (
        float(overlap(boxes, marked).any()),
        float(centre_inside(boxes, marked, circles).any()),
    )


@dataclass(frozen=True, slots=True)
class TrueLesion:
    """A lesion of the truth, box in pixels of the stored picture.

    box: of a circle the square around it. mask: None where only the box or circle is known.
    """

    label: Label
    box: Box
    is_circle: bool
    mask: Rle | None


@dataclass(frozen=True, slots=True)
class Search:
    """Detections in one image.

    size: (height, width); (0, 0) if the image could not be read and has no mask either.
    seen: detections down to the search's own low threshold; reported: those the device reports.
    """

    record: Record
    size: tuple[int, int]
    lesions: tuple[TrueLesion, ...]
    detections: tuple[Finding, ...]
    reported: tuple[Finding, ...]

    def scores(self) -> Floats:
        """Lesion scores of the detections, float [n]."""
        return np.array([finding.lesion_score for finding in self.detections], np.float64)

    def hits(self, findings: tuple[Finding, ...]) -> Bools:
        """Which of these findings hits which lesion, bool [n, m]; see tools.evaluation.froc."""
        return hits(
            np.array([finding.box for finding in findings], np.float64).reshape(-1, 4),
            np.array([lesion.box for lesion in self.lesions], np.float64).reshape(-1, 4),
            np.array([lesion.is_circle for lesion in self.lesions], bool),
        )

    def size_classes(self) -> list[int]:
        """The index into SIZES of each lesion."""
        area = max(self.size[0] * self.size[1], 1)
        boxes = (lesion.box for lesion in self.lesions)
        return [size_class((x1 - x0) * (y1 - y0) / area) for x0, y0, x1, y1 in boxes]


def size_class(share: float) -> int:
    """The index into SIZES of a box that covers this share of the image's area."""
    return int(np.searchsorted([1 / 16, 1 / 8, 1 / 4], share**0.5, side="right"))


def search_of(
    record: Record,
    image: ImageReading | None,
    detections: tuple[Finding, ...],
    read_bytes: ReadBytes,
) -> Search:
    """Detections, and the findings that the device reports; image: None if it was not readable."""
    lesions, size = lesions_of(record, read_bytes)
    if image is None:
        return Search(record, size, lesions, (), ())
    return Search(record, (image.height, image.width), lesions, detections, image.findings)


def lesions_of(
    record: Record, read_bytes: ReadBytes
) -> tuple[tuple[TrueLesion, ...], tuple[int, int]]:
    """The lesions of a record, and the size (height, width) of its masks, (0, 0) without one.

    Box and mask go together where there are as many of either; without boxes they are those
    around the masks; where the numbers differ the masks belong to no lesion in particular and
    are left out.
    """
    masks = [mask for mask in (_mask(read_bytes(path)) for path in record.masks) if mask.any()]
    size = (0, 0) if not masks else (int(masks[0].shape[0]), int(masks[0].shape[1]))
    rles = [encode(mask, 0, 0, mask.shape) for mask in masks]
    if not record.lesions:
        label = Label.MALIGNANT if record.label == "malignant" else Label.BENIGN
        return tuple(
            TrueLesion(label, _around(mask), False, rle)
            for mask, rle in zip(masks, rles, strict=True)
        ), size
    paired: list[Rle | None] = list(rles) if len(rles) == len(record.lesions) else []
    paired = paired or [None] * len(record.lesions)
    return tuple(
        TrueLesion(mark.label, mark.box, mark.is_circle, mask)
        for mark, mask in zip(record.lesions, paired, strict=True)
    ), size


def _mask(data: bytes) -> Bools:
    stored = decode_grey(data)
    return np.zeros((0, 0), bool) if stored is None else set_pixels(stored)


def _around(mask: Bools) -> Box:
    """The box around a mask's pixels, half-open."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
