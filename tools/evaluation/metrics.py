"""Figures of merit as pure functions.

Everything takes per-image `weights` [..., n] (how often an image counts; ones if left out) and
answers with the leading shape, so one call serves the plain figure and all bootstrap draws.
An undefined ratio is NaN.

The names are those of Kumar et al. 2025 (doi 10.48084/etasr.11951); a positive image is one with
a malignant lesion.

Calibration is measured in ten bins, of width 0.1 over [0, 1] (the last one closed) or of equally
many images. ECE = sum over bins of the share of images in it times |mean score - share of malignant
images|; Guo et al., "On calibration of modern neural networks", ICML 2017; Nixon et al., "Measuring
calibration in deep learning", CVPR workshops 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mammosono.appliance.pipeline.detector.boxes import iou
from mammosono.tools.evaluation.bootstrap import DRAWS, SEED, Floats

Bools = NDArray[np.bool_]
HIT_IOU = 0.25

BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """Weighted counts of true and false positives and negatives; any one shape."""

    tp: Floats
    fp: Floats
    tn: Floats
    fn: Floats

    @property
    def accuracy(self) -> Floats:
        return ratio(self.tp + self.tn, self.tp + self.fp + self.tn + self.fn)

    @property
    def tpr(self) -> Floats:
        """Sensitivity, recall."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def tnr(self) -> Floats:
        """Specificity."""
        return ratio(self.tn, self.tn + self.fp)

    @property
    def precision(self) -> Floats:
        """Positive predictive value at this prevalence."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def f_score(self) -> Floats:
        """F1, the harmonic mean of precision and TPR; 0 where only the precision is undefined."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def bcr(self) -> Floats:
        """Balanced classification rate, the mean of TPR and TNR."""
        return (self.tpr + self.tnr) / 2

    @property
    def youden(self) -> Floats:
        """Youden's index J = TPR + TNR - 1."""
        return self.tpr + self.tnr - 1

    @property
    def majority_baseline(self) -> Floats:
        """The accuracy of always naming the more frequent class."""
        positive = self.tp + self.fn
        negative = self.tn + self.fp
        return ratio(np.maximum(positive, negative), positive + negative)


def confusion(truth: Bools, called: Bools, weights: Floats | None = None) -> Confusion:
    """Counts from truth and call, both bool [n]; weights [..., n]."""
    w = np.ones(truth.size) if weights is None else weights
    cells = (truth & called, ~truth & called, ~truth & ~called, truth & ~called)
    return Confusion(*(np.asarray(w @ cell.astype(np.float64)) for cell in cells))


def auc(scores: Floats, truth: Bools, weights: Floats | None = None) -> Floats:
    """Area under the ROC curve of scores [n] (higher = positive), truth bool [n].

    The chance that a positive outranks a negative, a tie counting half: the Mann-Whitney U
    over the number of pairs. Infinite scores are allowed; NaN where a class is missing.
    """
    w = np.ones(truth.size) if weights is None else weights
    if not scores.size:
        return np.full(w.shape[:-1], np.nan)
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    w, positive = w[..., order], truth[order]
    # Per group of equal scores: weight of positives, weight of negatives.
    hits = np.add.reduceat(w * positive, starts, axis=-1)
    misses = np.add.reduceat(w * ~positive, starts, axis=-1)
    below = np.cumsum(misses, axis=-1) - misses
    wins = (hits * (below + misses / 2)).sum(axis=-1)
    return ratio(wins, hits.sum(axis=-1) * misses.sum(axis=-1))


def average_precision(scores: Floats, truth: Bools, weights: Floats | None = None) -> Floats:
    """Area under the precision-recall curve of scores [n], as a sum of steps.

    sum over falling thresholds of precision times the recall gained, equal scores together;
    nothing is interpolated. Its value for a score that knows nothing is the prevalence. NaN
    without a positive image.
    """
    w = np.ones(truth.size) if weights is None else weights
    if not scores.size:
        return np.full(w.shape[:-1], np.nan)
    order = np.argsort(-scores, kind="stable")
    ranked, w, positive = scores[order], w[..., order], truth[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    hits = np.cumsum(w * positive, axis=-1)[..., ends]
    called = np.cumsum(w, axis=-1)[..., ends]
    # None called positive yet: nothing gained either, so the undefined precision does not matter.
    precision = np.nan_to_num(ratio(hits, called))
    gained = np.diff(hits, axis=-1, prepend=0)
    return ratio((precision * gained).sum(axis=-1), hits[..., -1])


def mean(values: Floats, weights: Floats | None = None) -> Floats:
    """Weighted mean of values [n] that are not NaN."""
    known = ~np.isnan(values)
    w = np.ones(values.size) if weights is None else weights
    return ratio(w @ np.where(known, values, 0.0), w @ known.astype(np.float64))


def median(values: Floats, weights: Floats | None = None) -> Floats:
    """Weighted median of values [n] that are not NaN; the mean of the middle two if even."""
    known = np.flatnonzero(~np.isnan(values))
    w = np.ones(values.size) if weights is None else weights
    if not known.size:
        return np.full(w.shape[:-1], np.nan)
    order = known[np.argsort(values[known], kind="stable")]
    heap = np.cumsum(w[..., order], axis=-1)
    total = heap[..., -1:]
    lower = (heap >= total / 2).argmax(axis=-1)
    upper = (heap > total / 2).argmax(axis=-1)
    middle = (values[order][lower] + values[order][upper]) / 2
    return np.where(total[..., 0] > 0, middle, np.nan)


def dice(a: Bools, b: Bools) -> float:
    """2 |a and b| / (|a| + |b|) of two masks of one shape; NaN if both are empty."""
    return float(ratio(2 * np.count_nonzero(a & b), np.count_nonzero(a) + np.count_nonzero(b)))


def jaccard(a: Bools, b: Bools) -> float:
    """|a and b| / |a or b| of two masks of one shape; NaN if both are empty."""
    return float(ratio(np.count_nonzero(a & b), np.count_nonzero(a | b)))


def hits(findings: Floats, lesions: Floats, circles: Bools) -> Bools:
    """Which finding hits which lesion, bool [n, m]: by their overlap, a circle by the centre.

    findings: [n, 4], lesions: [m, 4] xyxy boxes (of a circle: the square around it); circles: [m].
    """
    return np.where(circles, centre_inside(findings, lesions, circles), overlap(findings, lesions))


def overlap(findings: Floats, lesions: Floats) -> Bools:
    """Whether the boxes [n, 4] and [m, 4] have IoU >= 0.25, bool [n, m]."""
    return np.asarray(iou(findings, lesions) >= HIT_IOU)


def centre_inside(findings: Floats, lesions: Floats, circles: Bools) -> Bools:
    """Whether the centre of a finding's box lies in the lesion's circle or box, bool [n, m]."""
    radii = (lesions[:, 2:] - lesions[:, :2]) / 2
    away = _centres(findings)[:, None] - _centres(lesions)
    # A lesion without extent cannot be hit by its centre either.
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.moveaxis(away / radii, -1, 0)
        distance = np.where(circles, np.hypot(*parts), np.abs(parts).max(axis=0))
        return np.asarray(distance <= 1)


def _centres(boxes: Floats) -> Floats:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """above / below, NaN where below is zero."""
    top, bottom = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    out = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=out, where=bottom != 0)
    return out


@dataclass(frozen=True, slots=True)
class Bin:
    """low, high: its edges; n: images; score: their mean; malignant: the share that is."""

    low: float
    high: float
    n: int
    score: float
    malignant: float


def equal_width(scores: Floats) -> Bools:
    """Which score [n] is in which bin of width 0.1, bool [n, BINS]; NaN is in none."""
    known = ~np.isnan(scores)
    which = np.clip(np.floor(np.where(known, scores, 0) * BINS), 0, BINS - 1)
    return np.asarray(known[:, None] & (which[:, None] == np.arange(BINS)))


def equal_mass(scores: Floats) -> Bools:
    """Which score [n] is in which of BINS bins of equally many images, bool [n, BINS]; NaN is in
    none. Equal scores are in one bin, that of their middle rank, so bins may be uneven or empty.
    """
    known = np.flatnonzero(~np.isnan(scores))
    member = np.zeros((scores.size, BINS), bool)
    _, level, count = np.unique(scores[known], return_inverse=True, return_counts=True)
    middle = (np.cumsum(count) - count / 2) / max(known.size, 1)
    which = np.clip(np.floor(middle * BINS), 0, BINS - 1).astype(np.intp)
    member[known, which[level]] = True
    return member


Binning = Callable[[Floats], Bools]
"""equal_width or equal_mass."""


def bins(scores: Floats, truth: Bools) -> tuple[Bin, ...]:
    """The bins of equal width that hold an image, with the edges of the bins.

    scores: float [n] in [0, 1], NaN left out; truth: bool [n].
    """
    member = equal_width(scores)
    return tuple(
        _bin(scores, truth, inside, (k / BINS, (k + 1) / BINS))
        for k, inside in enumerate(member.T)
        if inside.any()
    )


def mass_bins(scores: Floats, truth: Bools) -> tuple[Bin, ...]:
    """The same of bins of equally many images; their edges are the least and greatest score."""
    return tuple(
        _bin(scores, truth, inside, (float(scores[inside].min()), float(scores[inside].max())))
        for inside in equal_mass(scores).T
        if inside.any()
    )


def _bin(scores: Floats, truth: Bools, inside: Bools, edges: tuple[float, float]) -> Bin:
    share, score = float(truth[inside].mean()), float(scores[inside].mean())
    return Bin(*edges, int(inside.sum()), score, share)


def expected_error(
    scores: Floats, truth: Bools, weights: Floats | None = None, binning: Binning = equal_width
) -> Floats:
    """ECE of scores [n] in [0, 1], NaN left out; weights [..., n]. NaN without an image.

    The bins are those of the scores as they are, whatever the weights.
    """
    w = np.ones(scores.size) if weights is None else weights
    member = binning(scores).astype(np.float64)
    excess = np.nan_to_num(np.where(np.isnan(scores), 0.0, scores - truth))
    # |sum of (score - truth)| of a bin is its share times the gap, but for the number of images.
    gaps = np.abs((w * excess) @ member).sum(axis=-1)
    return ratio(gaps, (w @ member).sum(axis=-1))


def error_if_calibrated(scores: Floats, binning: Binning = equal_width) -> float:
    """The mean ECE of these very scores were they right: truth drawn with the score as chance.

    Few images make an ECE above zero of any score; only an ECE above this has meaning.
    """
    known = scores[~np.isnan(scores)]
    if not known.size:
        return float("nan")
    drawn = np.random.default_rng(SEED).random((DRAWS, known.size)) < known
    member = binning(known).astype(np.float64)
    return float((np.abs((known - drawn) @ member).sum(axis=-1) / known.size).mean())


def brier(scores: Floats, truth: Bools, weights: Floats | None = None) -> Floats:
    """Mean squared difference of a score [n] from the truth (1 malignant, 0 not), NaN left out."""
    return mean((scores - truth) ** 2, weights)


Z = 1.959963984540054
"""Of the normal distribution, at 97.5 %."""


def wilson(share: float, n: float) -> tuple[float, float]:
    """95 % interval of a share of n independent images (Wilson 1927); NaN of none."""
    if not n > 0:
        return float("nan"), float("nan")
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * (share * (1 - share) / n + Z**2 / (4 * n**2)) ** 0.5
    # A share of 0 or 1 is its own bound; rounding would leave it outside by a hair.
    return min(max(middle - half, 0.0), share), max(min(middle + half, 1.0), share)
