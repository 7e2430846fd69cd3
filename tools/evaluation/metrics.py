"""Figures of merit as pure functions.

Everything takes per-image `weights` [..., n] (how often an image counts; ones if left out) and
answers with the leading shape, so one call serves the plain figure and all bootstrap draws.
An undefined ratio is NaN.

The names are those of Kumar et al. 2025 (doi 10.48084/etasr.11951); a positive image is one with
a malignant lesion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


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
    # Nobody called yet: nothing gained either, so the undefined precision does not matter.
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


def box_iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union of half-open xyxy boxes, [n, 4] and [m, 4] to [n, m]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=-1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1) for boxes in (a, b)]
    return ratio(common, areas[0][:, None] + areas[1][None, :] - common)


def ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """above / below, NaN where below is zero."""
    top, bottom = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    out = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=out, where=bottom != 0)
    return out
