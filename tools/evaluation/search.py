"""One labelled image searched for lesions: everything the network saw, held against the truth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mammosono.appliance.output.rle import encode
from mammosono.appliance.values import Box, Finding, ImageReading, Label, Rle
from mammosono.tools.data.index import Record
from mammosono.tools.evaluation.froc import hits
from mammosono.tools.evaluation.metrics import Bools, Floats
from mammosono.tools.evaluation.outcome import ReadBytes

SIZES = ("under 1/16", "1/16 to 1/8", "1/8 to 1/4", "1/4 and over")
"""Size classes of lesions: the root of the box's area over the root of the image's area."""


@dataclass(frozen=True, slots=True)
class Lesion:
    """A lesion of the truth, box in pixels of the stored picture.

    box: of a circle the square around it. mask: None where only the box or circle is known.
    """

    label: Label
    box: Box
    is_circle: bool
    mask: Rle | None


@dataclass(frozen=True, slots=True)
class Search:
    """What was seen in one image.

    size: (height, width); (0, 0) if the image could not be read and has no mask either.
    seen: findings down to the search's own low threshold; reported: those the device reports.
    """

    record: Record
    size: tuple[int, int]
    lesions: tuple[Lesion, ...]
    seen: tuple[Finding, ...]
    reported: tuple[Finding, ...]

    def scores(self) -> Floats:
        """The lesion scores of what was seen, float [n]."""
        return np.array([finding.lesion_score for finding in self.seen], np.float64)

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
    record: Record, image: ImageReading | None, seen: tuple[Finding, ...], read_bytes: ReadBytes
) -> Search:
    """What was seen, beside what the device reports; image: None if it could not be read."""
    lesions, size = lesions_of(record, read_bytes)
    if image is None:
        return Search(record, size, lesions, (), ())
    return Search(record, (image.height, image.width), lesions, seen, image.findings)


def lesions_of(record: Record, read_bytes: ReadBytes) -> tuple[tuple[Lesion, ...], tuple[int, int]]:
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
            Lesion(label, _around(mask), False, rle) for mask, rle in zip(masks, rles, strict=True)
        ), size
    paired: list[Rle | None] = list(rles) if len(rles) == len(record.lesions) else []
    paired = paired or [None] * len(record.lesions)
    return tuple(
        Lesion(mark.label, mark.box, mark.is_circle, mask)
        for mark, mask in zip(record.lesions, paired, strict=True)
    ), size


def _mask(data: bytes) -> Bools:
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.zeros((0, 0), bool) if mask is None else np.asarray(mask > 0)


def _around(mask: Bools) -> Box:
    """The box around a mask's pixels, half-open."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
