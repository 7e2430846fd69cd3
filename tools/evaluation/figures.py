"""Figures and curves of a group of images; every figure has its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mammosono.appliance.values import Verdict
from mammosono.tools.data.index import LABELS
from mammosono.tools.evaluation.bootstrap import DRAWS, Estimate, Floats, estimates
from mammosono.tools.evaluation.detection_metrics import curve, events_of
from mammosono.tools.evaluation.metrics import (
    Bin,
    Bools,
    auc,
    average_precision,
    bins,
    brier,
    confusion,
    equal_mass,
    error_if_calibrated,
    expected_error,
    mass_bins,
    mean,
    median,
    ratio,
)
from mammosono.tools.evaluation.outcome import ImageOutcome, Search

DEFINITIONS = {
    "positive": "an image with a malignant lesion; called so by the device's verdict",
    "unread": "an image the device could not read counts as wrong: missed if malignant, "
    "a false alarm if not, last in every ranking, Dice 0",
    "auc": "image score, malignant against all others",
    "auc_malignant_benign": "image score, malignant against benign images only",
    "auc_lesion_normal": "highest lesion score of the findings, lesion against normal images; "
    "within one source only",
    "average_precision": "image score, malignant against all others: area under the "
    "precision-recall curve by steps; that of a score that knows nothing is the prevalence",
    "ece": "expected calibration error of the image score in ten bins of width 0.1: mean over "
    "images of their bin's |mean score - share of malignant images|; unread images left out",
    "ece_if_calibrated": "mean ECE that these scores would have were they right: few "
    "images alone make one above zero",
    "ece_equal_mass": "the same in ten bins of equally many images",
    "brier": "mean squared difference of the image score from the truth, 1 or 0; unread images "
    "left out",
    "class_free": "a source of which only lesions are judged: images of one kind, or whose kind "
    "goes with the scanner, enter no figure of benign and malignant",
    "dice_mean": "mean over images with lesion masks of the Dice of all findings' masks "
    "together against all lesions' masks together, 0 where nothing is found",
    "dice_median": "median instead of mean",
    "dice_over_half": "share of these images with Dice above 0.5",
    "jaccard_mean": "as dice_mean, with Jaccard",
    "box_hit": "share of images with a located lesion where a finding's box has IoU >= 0.25 with "
    "a lesion's box (of a circle: the square around it)",
    "centre_hit": "share of these images where the centre of a finding's box lies in a lesion's "
    "circle or box",
    "findings_per_image": "mean number of findings",
    "findings_per_normal": "mean number of findings on normal images",
    "interval": f"95 %, percentile, {DRAWS} bootstrap draws of whole cases (patient or group of "
    "near-duplicates); of a rate of 0 or 1 it has no width, which is not certainty",
    "three_way": "rows: truth normal, benign, malignant; columns: nothing found, findings but "
    "not positive, positive; unread images left out",
}

Points = tuple[tuple[float, float], ...]
"""x and y, in the order of a falling threshold."""


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """A group of images in numbers.

    n, cases, malignant, unread: images, cases, images with a malignant lesion, images not read.
    with_mask, located: images with a lesion mask, with a lesion's box or circle.
    tp, fp, tn, fn: images, unread ones counted as wrong; None where classes are not judged.
    three_way: counts [truth][call], see DEFINITIONS; empty where classes are not judged.
    ece_if_calibrated, ece_equal_mass_if_calibrated: see DEFINITIONS.
    prevalence, majority_baseline: share of malignant images; accuracy of the more frequent class.
    mean_score: of the images that were read. reliability: ten bins of equally many images.
    estimates: figures by name, see DEFINITIONS.
    """

    n: int
    cases: int
    malignant: int
    unread: int
    with_mask: int
    located: int
    tp: int | None
    fp: int | None
    tn: int | None
    fn: int | None
    three_way: tuple[tuple[int, ...], ...]
    prevalence: float
    majority_baseline: float
    ece_if_calibrated: float
    ece_equal_mass_if_calibrated: float
    mean_score: float
    reliability: tuple[Bin, ...]
    estimates: dict[str, Estimate]


def figures(outcomes: Sequence[ImageOutcome], by_class: bool = True) -> GroupFigures:
    """All figures of a group of images; at least one image.

    by_class: whether benign and malignant are judged; if not, those figures are NaN or None.
    """
    truth = np.array([o.malignant for o in outcomes])
    unread = np.array([o.unread for o in outcomes])
    positive = np.array([o.verdict is Verdict.POSITIVE for o in outcomes])
    called = np.where(unread, ~truth, positive)
    counts = confusion(truth, called)
    cells = counts.tp, counts.fp, counts.tn, counts.fn
    tp, fp, tn, fn = (int(cell) if by_class else None for cell in cells)
    cases = [o.record.case for o in outcomes]
    scores = np.array([o.score if by_class else np.nan for o in outcomes])
    return GroupFigures(
        n=len(outcomes),
        cases=len(set(cases)),
        malignant=int(truth.sum()),
        unread=int(unread.sum()),
        with_mask=sum(bool(o.record.masks) for o in outcomes),
        located=sum(bool(o.record.lesions) for o in outcomes),
        tp=tp,
        fp=fp,
        tn=tn,
        fn=fn,
        three_way=_three_way(outcomes) if by_class else (),
        prevalence=float(truth.mean()) if by_class else math.nan,
        majority_baseline=float(counts.majority_baseline) if by_class else math.nan,
        ece_if_calibrated=error_if_calibrated(scores),
        ece_equal_mass_if_calibrated=error_if_calibrated(scores, equal_mass),
        mean_score=float(mean(scores)),
        reliability=mass_bins(scores, truth),
        estimates=estimates(_named(outcomes, truth, called, by_class), cases),
    )


def _named(
    outcomes: Sequence[ImageOutcome], truth: Bools, called: Bools, by_class: bool
) -> Callable[[Floats], dict[str, Floats]]:
    """Every figure by name, as a function of the images' weights [..., n]."""
    label = np.array([o.record.label for o in outcomes])
    normal = label == "normal"
    plain = np.array([o.score for o in outcomes])
    score = ranked(plain, truth)
    lesion_score = ranked(np.array([o.lesion_score for o in outcomes]), ~normal)
    one_source = len({o.record.source for o in outcomes}) == 1
    dice = np.array([o.dice for o in outcomes])
    jaccard = np.array([o.jaccard for o in outcomes])
    box_hit = np.array([o.box_hit for o in outcomes])
    centre_hit = np.array([o.centre_hit for o in outcomes])
    count = np.array([np.nan if o.unread else o.findings for o in outcomes])

    def of_classes(w: Floats) -> dict[str, Floats]:
        counts = confusion(truth, called, w)
        return {
            "accuracy": counts.accuracy,
            "tpr": counts.tpr,
            "tnr": counts.tnr,
            "precision": counts.precision,
            "f_score": counts.f_score,
            "bcr": counts.bcr,
            "youden": counts.youden,
            "auc": auc(score, truth, w),
            "auc_malignant_benign": auc(score, truth, w * ~normal),
            "auc_lesion_normal": auc(lesion_score, ~normal, w * one_source),
            "average_precision": average_precision(score, truth, w),
            "ece": expected_error(plain, truth, w),
            "ece_equal_mass": expected_error(plain, truth, w, equal_mass),
            "brier": brier(plain, truth, w),
        }

    def at(w: Floats) -> dict[str, Floats]:
        # Without weight in any draw a figure of classes is undefined; none is left out.
        return {
            **of_classes(w if by_class else np.zeros_like(w)),
            "dice_mean": mean(dice, w),
            "dice_median": median(dice, w),
            "dice_over_half": mean(np.where(np.isnan(dice), np.nan, dice > 0.5), w),
            "jaccard_mean": mean(jaccard, w),
            "box_hit": mean(box_hit, w),
            "centre_hit": mean(centre_hit, w),
            "findings_per_image": mean(count, w),
            "findings_per_normal": mean(np.where(normal, count, np.nan), w),
        }

    return at


def ranked(scores: Floats, truth: Bools) -> Floats:
    """Scores [n] with every unread image (NaN) on the wrong end."""
    return np.where(np.isnan(scores), np.where(truth, -np.inf, np.inf), scores)


def _three_way(outcomes: Sequence[ImageOutcome]) -> tuple[tuple[int, ...], ...]:
    table = np.zeros((3, 3), int)
    for outcome in outcomes:
        if not outcome.unread:
            called = 2 if outcome.verdict is Verdict.POSITIVE else int(outcome.findings > 0)
            table[LABELS.index(outcome.record.label), called] += 1
    return tuple(tuple(int(cell) for cell in row) for row in table)


@dataclass(frozen=True, slots=True)
class GroupCurves:
    """roc: 1 - TNR and TPR; pr: recall and precision; froc: false positives an image and share of
    lesions found, None where no lesion is located; reliability: the bins of width 0.1 that hold an
    image. What is of classes is empty where these are not judged.
    """

    n: int
    malignant: int
    roc: Points
    pr: Points
    froc: Points | None
    froc_images: int
    lesions: int
    reliability: tuple[Bin, ...]


def curves(
    outcomes: Sequence[ImageOutcome], searches: Sequence[Search], by_class: bool = True
) -> GroupCurves:
    """The curves of a group's images, and of those of them that were searched."""
    truth = np.array([o.malignant for o in outcomes])
    plain = np.array([o.score for o in outcomes])
    scores = ranked(plain, truth)
    events = events_of(searches)
    points = curve(events, len(searches))
    return GroupCurves(
        n=len(outcomes),
        malignant=int(truth.sum()),
        roc=roc_points(scores, truth) if by_class else (),
        pr=pr_points(scores, truth) if by_class else (),
        froc=_points(*points[:2]) if events.of_image.size else None,
        froc_images=len(searches),
        lesions=int(events.of_image.size),
        reliability=bins(plain, truth) if by_class else (),
    )


def roc_points(scores: Floats, truth: Bools) -> Points:
    """From (0, 0) to (1, 1); equal scores make one step. No point if a class is missing."""
    if truth.all() or not truth.any():
        return ()
    hits, misses = _called(scores, truth)
    return _points(np.append(0.0, misses / (~truth).sum()), np.append(0.0, hits / truth.sum()))


def pr_points(scores: Floats, truth: Bools) -> Points:
    """Recall and precision wherever somebody is called; no point without a positive image."""
    if not truth.any():
        return ()
    hits, misses = _called(scores, truth)
    return _points(hits / truth.sum(), ratio(hits, hits + misses))


def _called(scores: Floats, truth: Bools) -> tuple[Floats, Floats]:
    """True and false positives at every threshold that separates scores, falling."""
    order = np.argsort(-scores, kind="stable")
    row = scores[order]
    ends = np.flatnonzero(np.append(row[1:] != row[:-1], True))
    return (
        np.cumsum(truth[order])[ends].astype(np.float64),
        np.cumsum(~truth[order])[ends].astype(np.float64),
    )


def _points(x: Floats, y: Floats) -> Points:
    return tuple((float(a), float(b)) for a, b in zip(x, y, strict=True))
