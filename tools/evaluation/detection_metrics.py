"""Were the lesions found: FROC and average precision of a group, by size and label too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mammosono.tools.evaluation import coco
from mammosono.tools.evaluation.bootstrap import Estimate, estimates
from mammosono.tools.evaluation.froc import RATES, Marks, marks, sensitivity_at
from mammosono.tools.evaluation.metrics import Bools, Floats, mean, ratio
from mammosono.tools.evaluation.outcome import Outcome
from mammosono.tools.evaluation.search import SIZES, Search

DEFINITIONS = {
    "hit": "a finding hits a lesion if their boxes have IoU >= 0.25; of a lesion known as a "
    "circle, if the centre of the finding's box lies in it",
    "false_positive": "a finding that hits no lesion, on any image, with or without lesions; a "
    "further finding on a lesion that has been found is neither right nor false",
    "froc": "share of lesions found at the lowest lesion score with at most that many false "
    "positives an image; findings down to a lesion score of 0.05 count, at most 12 an image. Where "
    "all of them stay below the rate, all count",
    "sensitivity": "share of lesions hit by a finding that the device reports",
    "ap": "pycocotools, one category, findings ranked by lesion score: mean over IoU 0.50 to 0.95 "
    "in steps of 0.05; ap50 at IoU 0.50 alone",
    "size": "root of the area of the lesion's box over root of the image's area",
    "dice": "mean Dice of images, by the class of their largest lesion",
    "left_out": "abnormal images without a located lesion",
}


@dataclass(frozen=True, slots=True)
class Part:
    """The lesions of one size or label.

    images: whose largest lesion is of that size, or that have a lesion of that label.
    """

    lesions: int
    images: int
    estimates: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class Found:
    """n, cases, lesions: images, cases, located lesions.

    estimates: froc_0.25, .. froc_2; sensitivity and false_positives (an image) of what the device
    reports; box_ap50, box_ap, mask_ap50, mask_ap, NaN where a lesion has no box or mask.
    parts: by size class and by label, with "sensitivity", "froc_1" and "dice".
    """

    n: int
    cases: int
    lesions: int
    estimates: dict[str, Estimate]
    parts: dict[str, Part]


def located(searches: Sequence[Search]) -> list[Search]:
    """Without the images in which a lesion is and nobody says where."""
    return [s for s in searches if s.lesions or s.record.label == "normal"]


def found(searches: Sequence[Search], outcomes: Mapping[str, Outcome]) -> Found:
    """The figures of a group of located images; outcomes by the record's name."""
    cases = [s.record.case for s in searches]
    seen = marks_of(searches)
    reported = _reported(searches)
    parts = _parts(searches)
    dice = np.array([outcomes[s.record.name].dice for s in searches])
    measures = [_curve(seen, *reported), _precision(searches)]
    measures += [
        _part(name, lesions, images, seen, reported[0], dice)
        for name, (lesions, images) in parts.items()
    ]

    def figures(w: Floats) -> dict[str, Floats]:
        return {key: value for each in measures for key, value in each(w).items()}

    all_estimates = estimates(figures, cases, block=100)
    return Found(
        n=len(searches),
        cases=len(set(cases)),
        lesions=seen.of_image.size,
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


def marks_of(searches: Sequence[Search]) -> Marks:
    """The events of the free-response ROC."""
    return marks([(s.scores(), s.hits(s.seen)) for s in searches])


def _curve(seen: Marks, hit: Bools, false: Floats) -> Callable[[Floats], dict[str, Floats]]:
    def at(w: Floats) -> dict[str, Floats]:
        out = {f"froc_{rate:g}": sensitivity_at(seen, rate, w) for rate in RATES}
        out["sensitivity"] = mean(hit.astype(np.float64), w[..., seen.of_image])
        out["false_positives"] = mean(false, w)
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
    name: str, lesions: Bools, images: Bools, seen: Marks, hit: Bools, dice: Floats
) -> Callable[[Floats], dict[str, Floats]]:
    def at(w: Floats) -> dict[str, Floats]:
        of_lesion = w[..., seen.of_image] * lesions
        return {
            f"{name}:sensitivity": ratio(of_lesion @ hit, of_lesion.sum(axis=-1)),
            f"{name}:froc_1": sensitivity_at(seen, 1.0, w, lesions),
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
