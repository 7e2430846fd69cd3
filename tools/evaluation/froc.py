"""Lesions found against false alarms: the free-response ROC of a set of images.

A finding hits a lesion if their boxes overlap with IoU >= 0.25; where only a circle is known, if
the centre of the finding's box lies in it. A lesion is found at the score of the best finding
that hits it. A finding that hits no lesion is a false positive; a further one on a lesion that
has been found is neither. Chakraborty, "A brief history of free-response receiver operating
characteristic paradigm data analysis", Acad. Radiol. 20 (2013) 915-919.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammosono.tools.evaluation.metrics import Bools, Floats, box_iou, ratio

Ints = NDArray[np.intp]
HIT_IOU = 0.25
RATES = (0.25, 0.5, 1.0, 2.0)
"""False positives an image at which the sensitivity is stated."""


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """What n images' findings amount to.

    image: int [k], score: float [k], found: bool [k]: one event a found lesion (True, at the
    score it is found at) and one a false positive (False), scores falling.
    lesion: int [k], which lesion an event finds, -1 for a false positive.
    of_image: int [m], the image of each lesion, found or not.
    """

    image: Ints
    score: Floats
    found: Bools
    lesion: Ints
    of_image: Ints


def hits(found: Floats, lesions: Floats, circles: Bools) -> Bools:
    """Which finding hits which lesion, bool [n, m].

    found: [n, 4], lesions: [m, 4] xyxy boxes (of a circle: the square around it), circles: [m].
    """
    radii = (lesions[:, 2:] - lesions[:, :2]) / 2
    away = _centres(found)[:, None] - _centres(lesions)
    # A lesion without extent cannot be hit by its centre either.
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.hypot(*np.moveaxis(away / radii, -1, 0)) <= 1
    return np.where(circles, inside, box_iou(found, lesions) >= HIT_IOU)


def marks(images: Sequence[tuple[Floats, Bools]]) -> Marks:
    """The events of images, each given by its findings' scores [n] and their hits [n, m]."""
    events: list[tuple[float, int, int]] = []
    of_image: list[int] = []
    for index, (scores, hit) in enumerate(images):
        events += [(float(s), index, -1) for s in scores[~hit.any(axis=1)]]
        for column in hit.T:
            if column.any():
                events.append((float(scores[column].max()), index, len(of_image)))
            of_image.append(index)
    events.sort(key=lambda event: -event[0])
    score = np.array([event[0] for event in events], np.float64)
    image, lesion = (np.array([event[i] for event in events], np.intp) for i in (1, 2))
    return Marks(image, score, lesion >= 0, lesion, np.array(of_image, np.intp))


def sensitivity_at(seen: Marks, rate: float, weights: Floats, among: Bools | None = None) -> Floats:
    """Share of lesions found at the lowest score with at most `rate` false positives an image.

    weights: [..., n], how often an image counts; among: bool [m], the lesions that are asked
    about (the threshold comes from all images all the same). NaN without a lesion. Where all
    findings together stay below the rate, all count: the curve is not drawn on beyond its end.
    """
    asked = np.ones(seen.of_image.size, bool) if among is None else among
    w = weights[..., seen.image]
    ends = _ends(seen.score)
    false = np.cumsum(w * ~seen.found, axis=-1)[..., ends]
    counted = seen.found & asked[seen.lesion] if asked.size else seen.found
    true = np.cumsum(w * counted, axis=-1)[..., ends]
    allowed = (false <= rate * weights.sum(axis=-1)[..., None] + 1e-9).sum(axis=-1)
    true = np.concatenate([np.zeros((*true.shape[:-1], 1)), true], axis=-1)
    reached = np.take_along_axis(true, allowed[..., None], axis=-1)[..., 0]
    return ratio(reached, (weights[..., seen.of_image] * asked).sum(axis=-1))


def curve(seen: Marks, images: int) -> tuple[Floats, Floats, Floats]:
    """Every point of the curve: false positives an image, sensitivity, the score it is cut at."""
    ends = _ends(seen.score)
    false = np.cumsum(~seen.found)[ends] / max(images, 1)
    true = ratio(np.cumsum(seen.found)[ends], seen.of_image.size)
    return false.astype(np.float64), true, seen.score[ends]


def _ends(score: Floats) -> Ints:
    """The last event of every run of equal scores: no threshold falls between equal ones."""
    return (
        np.flatnonzero(np.append(score[1:] != score[:-1], True))
        if score.size
        else np.zeros(0, np.intp)
    )


def _centres(boxes: Floats) -> Floats:
    return (boxes[:, :2] + boxes[:, 2:]) / 2
