"""Detection metrics of a group of images: FROC and average precision, by size and label too.

A lesion is found at the score of the best finding that hits it (mammosono.tools.evaluation.metrics
says what a hit is). A finding that hits no lesion is a false positive; a further one on a lesion
that has been found is neither. Chakraborty, "A brief history of free-response receiver operating
characteristic paradigm data analysis", Acad. Radiol. 20 (2013) 915-919.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammosono.tools.evaluation import coco
from mammosono.tools.evaluation.bootstrap import Estimate, Floats, estimates
from mammosono.tools.evaluation.metrics import Bools, mean, ratio
from mammosono.tools.evaluation.outcome import SIZES, ImageOutcome, Search

Ints = NDArray[np.intp]
RATES = (0.25, 0.5, 1.0, 2.0)
"""False positives an image at which the sensitivity is stated."""

LESION_DEFINITIONS = {
    "hit": "a finding hits a lesion if their boxes have IoU >= 0.25; of a lesion known as a "
    "circle, if the centre of the finding's box lies in it",
    "false_positive": "a finding that hits no lesion, on any image, with or without lesions; a "
    "further finding on a lesion that has been found is neither right nor false",
    "froc": "share of lesions found at the lowest lesion score with at most that many false "
    "positives an image; findings down to a lesion score of 0.05 count, at most 12 an image. Where "
    "all of them stay below the rate, all count",
    "sensitivity": "share of lesions hit by a finding that the device reports",
    "froc_reported": "FROC at as many false positives an image as the device reports",
    "froc_lost": "froc_reported less sensitivity: what the choice of findings to report loses",
    "ap": "pycocotools, one category, findings ranked by lesion score: mean over IoU 0.50 to 0.95 "
    "in steps of 0.05; ap50 at IoU 0.50 alone",
    "size": "root of the area of the lesion's box over root of the image's area",
    "dice": "mean Dice of images, by the class of their largest lesion",
    "left_out": "abnormal images without a located lesion",
}


@dataclass(frozen=True, slots=True, eq=False)
class FrocEvents:
    """What n images' findings amount to.

    image: int [k], score: float [k], hit: bool [k]: one event a found lesion (True, at the
    score it is found at) and one a false positive (False), scores falling.
    lesion: int [k], which lesion an event finds, -1 for a false positive.
    of_image: int [m], the image of each lesion, found or not.
    """

    image: Ints
    score: Floats
    hit: Bools
    lesion: Ints
    of_image: Ints


def froc_events(images: Sequence[tuple[Floats, Bools]]) -> FrocEvents:
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
    return FrocEvents(image, score, lesion >= 0, lesion, np.array(of_image, np.intp))


def sensitivity_at(
    events: FrocEvents, rate: float | Floats, weights: Floats, among: Bools | None = None
) -> Floats:
    """Share of lesions found at the lowest score with at most `rate` false positives an image.

    rate: one, or [...], one for each draw. weights: [..., n], how often an image counts; among:
    bool [m], the lesions that are asked about (the threshold comes from all images all the same).
    NaN without a lesion. Where all findings together stay below the rate, all count: the curve is
    not drawn on beyond its end.
    """
    asked = np.ones(events.of_image.size, bool) if among is None else among
    w = weights[..., events.image]
    ends = _ends(events.score)
    false = np.cumsum(w * ~events.hit, axis=-1)[..., ends]
    counted = events.hit & asked[events.lesion] if asked.size else events.hit
    true = np.cumsum(w * counted, axis=-1)[..., ends]
    most = np.asarray(rate * weights.sum(axis=-1))[..., None]
    allowed = (false <= most + 1e-9).sum(axis=-1)
    true = np.concatenate([np.zeros((*true.shape[:-1], 1)), true], axis=-1)
    reached = np.take_along_axis(true, allowed[..., None], axis=-1)[..., 0]
    return ratio(reached, (weights[..., events.of_image] * asked).sum(axis=-1))


def curve(events: FrocEvents, images: int) -> tuple[Floats, Floats, Floats]:
    """Every point of the curve: false positives an image, sensitivity, the score it is cut at."""
    ends = _ends(events.score)
    false = np.cumsum(~events.hit)[ends] / max(images, 1)
    true = ratio(np.cumsum(events.hit)[ends], events.of_image.size)
    return false.astype(np.float64), true, events.score[ends]


def _ends(score: Floats) -> Ints:
    """The last event of every run of equal scores: no threshold falls between equal ones."""
    return (
        np.flatnonzero(np.append(score[1:] != score[:-1], True))
        if score.size
        else np.zeros(0, np.intp)
    )


@dataclass(frozen=True, slots=True)
class Part:
    """The lesions of one size or label.

    images: whose largest lesion is of that size, or that have a lesion of that label.
    """

    lesions: int
    images: int
    estimates: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class LesionFigures:
    """n, cases, lesions: images, cases, located lesions.

    estimates: froc_0.25, .. froc_2; sensitivity and false_positives (an image) of what the device
    reports; froc_reported (the search at as many) and froc_lost (how much more that is); box_ap50,
    box_ap, mask_ap50, mask_ap, NaN where a lesion has no box or mask.
    parts: by size class and by label, with "sensitivity", "froc_1" and "dice".
    """

    n: int
    cases: int
    lesions: int
    estimates: dict[str, Estimate]
    parts: dict[str, Part]


def located(searches: Sequence[Search]) -> list[Search]:
    """Without the images that have a lesion at an unknown place."""
    return [s for s in searches if s.lesions or s.record.label == "normal"]


def lesion_figures(
    searches: Sequence[Search], outcomes: Mapping[str, ImageOutcome]
) -> LesionFigures:
    """The figures of a group of located images; outcomes by the record's name."""
    cases = [s.record.case for s in searches]
    events = events_of(searches)
    reported = _reported(searches)
    parts = _parts(searches)
    dice = np.array([outcomes[s.record.name].dice for s in searches])
    measures = [_curve(events, *reported), _precision(searches)]
    measures += [
        _part(name, lesions, images, events, reported[0], dice)
        for name, (lesions, images) in parts.items()
    ]

    def figures(w: Floats) -> dict[str, Floats]:
        return {key: value for each in measures for key, value in each(w).items()}

    all_estimates = estimates(figures, cases, block=100)
    return LesionFigures(
        n=len(searches),
        cases=len(set(cases)),
        lesions=events.of_image.size,
        estimates={k: v for k, v in all_estimates.items() if ":" not in k},
        parts={
            name: Part(
                int(lesions.sum()),
                int(images.sum()),
                {
                    key.split(":")[1]: value
                    for key, value in all_estimates.items()
                    if key.startswith(f"{name}:")
                },
            )
            for name, (lesions, images) in parts.items()
        },
    )


def events_of(searches: Sequence[Search]) -> FrocEvents:
    """The events of the free-response ROC."""
    return froc_events([(s.scores(), s.hits(s.detections)) for s in searches])


def _curve(events: FrocEvents, hit: Bools, false: Floats) -> Callable[[Floats], dict[str, Floats]]:
    def at(w: Floats) -> dict[str, Floats]:
        out = {f"froc_{rate:g}": sensitivity_at(events, rate, w) for rate in RATES}
        out["sensitivity"] = mean(hit.astype(np.float64), w[..., events.of_image])
        out["false_positives"] = mean(false, w)
        out["froc_reported"] = sensitivity_at(events, out["false_positives"], w)
        out["froc_lost"] = out["froc_reported"] - out["sensitivity"]
        return out

    return at


def _precision(searches: Sequence[Search]) -> Callable[[Floats], dict[str, Floats]]:
    lesions = [lesion for s in searches for lesion in s.lesions]
    fit = {
        "box": not any(lesion.is_circle for lesion in lesions),
        "mask": all(lesion.mask is not None for lesion in lesions),
    }
    kinds = {"box": "bbox", "mask": "segm"}
    matches = {k: coco.match(searches, kinds[k]) for k, fits in fit.items() if fits and lesions}

    def at(w: Floats) -> dict[str, Floats]:
        out: dict[str, Floats] = {}
        for kind in kinds:
            nothing = np.full((*w.shape[:-1], 10), np.nan)
            ap = coco.average_precision(matches[kind], w) if kind in matches else nothing
            out |= {f"{kind}_ap50": ap[..., 0], f"{kind}_ap": ap.mean(axis=-1)}
        return out

    return at


def _part(
    name: str, lesions: Bools, images: Bools, events: FrocEvents, hit: Bools, dice: Floats
) -> Callable[[Floats], dict[str, Floats]]:
    def at(w: Floats) -> dict[str, Floats]:
        of_lesion = w[..., events.of_image] * lesions
        return {
            f"{name}:sensitivity": ratio(of_lesion @ hit, of_lesion.sum(axis=-1)),
            f"{name}:froc_1": sensitivity_at(events, 1.0, w, lesions),
            f"{name}:dice": mean(dice, w * images),
        }

    return at


def _reported(searches: Sequence[Search]) -> tuple[Bools, Floats]:
    """Whether each lesion is hit by what the device reports; its false positives, by image."""
    hits = [s.hits(s.reported) for s in searches]
    hit = np.concatenate([np.zeros(0, bool), *(each.any(axis=0) for each in hits)])
    false = np.array([(~each.any(axis=1)).sum() for each in hits], np.float64)
    return hit, false


def _parts(searches: Sequence[Search]) -> dict[str, tuple[Bools, Bools]]:
    """By name: which lesions [m] and which images [n] belong to it."""
    classes = [s.size_classes() for s in searches]
    of_lesion = np.array([k for each in classes for k in each], np.intp)
    largest = np.array([max(each, default=-1) for each in classes], np.intp)
    labels = np.array([x.label.value for s in searches for x in s.lesions], str)
    out = {name: (of_lesion == k, largest == k) for k, name in enumerate(SIZES)}
    for label in ("benign", "malignant"):
        images = np.array([any(x.label.value == label for x in s.lesions) for s in searches], bool)
        out[label] = (labels == label, images)
    return {name: (lesions, images) for name, (lesions, images) in out.items() if lesions.any()}
