"""One labelled image, read by the device, held against its truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mammosono.appliance.output.rle import decode
from mammosono.appliance.values import Finding, ImageReading, Verdict
from mammosono.tools.data.index import LesionMark, Record
from mammosono.tools.data.masks import union_mask
from mammosono.tools.evaluation.froc import HIT_IOU
from mammosono.tools.evaluation.metrics import box_iou, dice, jaccard

ReadBytes = Callable[[Path], bytes]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the device said of one record, and how right it was.

    score: the image's malignancy score; NaN if the image could not be read.
    lesion_score: the highest lesion score of its findings, 0 without one; NaN if unread.
    findings: how many the device reports, all of which count for the figures below.
    dice, jaccard: union of the findings' masks against the union of the lesions' masks; NaN
    where the record has no mask, 0 if unread or nothing found.
    box_hit: 1.0 if a finding's box has IoU >= 0.25 with a lesion's box, else 0.0.
    centre_hit: 1.0 if the centre of a finding's box lies in a lesion's circle or box, else 0.0.
    Both are NaN where the record has no located lesion.
    error: the code of the refusal if the image could not be read, else "".
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

    @property
    def malignant(self) -> bool:
        return self.record.label == "malignant"

    @property
    def unread(self) -> bool:
        return self.verdict is Verdict.INDETERMINATE


def read_outcome(record: Record, image: ImageReading, read_bytes: ReadBytes) -> Outcome:
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
    return Outcome(
        record=record,
        verdict=Verdict.INDETERMINATE if unread else image.verdict,
        score=math.nan if unread or image.score is None else image.score,
        lesion_score=math.nan if unread else _highest_lesion_score(image.findings),
        findings=len(image.findings),
        dice=math.nan if lesion is None else dice(covered, lesion),
        jaccard=math.nan if lesion is None else jaccard(covered, lesion),
        box_hit=box_hit,
        centre_hit=centre_hit,
    )


def unread_outcome(record: Record, error: str) -> Outcome:
    """The outcome of an image that the device refused with the code `error`."""
    overlap = 0.0 if record.masks else math.nan
    hit = 0.0 if record.lesions else math.nan
    return Outcome(
        record, Verdict.INDETERMINATE, math.nan, math.nan, 0, overlap, overlap, hit, hit, error
    )


def _highest_lesion_score(findings: Sequence[Finding]) -> float:
    return max((finding.lesion_score for finding in findings), default=0.0)


def _hits(findings: Sequence[Finding], lesions: Sequence[LesionMark]) -> tuple[float, float]:
    """box_hit and centre_hit of an Outcome."""
    if not lesions:
        return math.nan, math.nan
    found = np.array([finding.box for finding in findings], float).reshape(-1, 4)
    marked = np.array([lesion.box for lesion in lesions], float)
    radii = (marked[:, 2:] - marked[:, :2]) / 2
    centres = (found[:, :2] + found[:, 2:]) / 2
    away = (centres[:, None] - (marked[:, :2] + marked[:, 2:]) / 2) / radii
    round_ = np.array([lesion.is_circle for lesion in lesions])
    distance = np.where(round_, np.hypot(*np.moveaxis(away, -1, 0)), np.abs(away).max(axis=-1))
    return (
        float((box_iou(found, marked) >= HIT_IOU).any()),
        float((distance <= 1).any()),
    )
