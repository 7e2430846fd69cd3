"""Does a score of 0.3 mean three in ten? Reliability by bins and its expected error.

Ten bins of width 0.1 over [0, 1], the last one closed. ECE = sum over bins of the share of images
in it times |mean score - share of malignant images|; Guo et al., "On calibration of modern neural
networks", ICML 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mammosono.tools.evaluation.bootstrap import DRAWS, SEED
from mammosono.tools.evaluation.metrics import Bools, Floats, ratio

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """low, high: its edges; n: images; score: their mean; malignant: the share that is."""

    low: float
    high: float
    n: int
    score: float
    malignant: float


def bins(scores: Floats, truth: Bools) -> tuple[Bin, ...]:
    """The bins that hold an image. scores: float [n] in [0, 1], NaN left out; truth: bool [n]."""
    member = _member(scores)
    return tuple(
        Bin(
            k / BINS,
            (k + 1) / BINS,
            int(inside.sum()),
            float(scores[inside].mean()),
            float(truth[inside].mean()),
        )
        for k, inside in enumerate(member.T)
        if inside.any()
    )


def expected_error(scores: Floats, truth: Bools, weights: Floats | None = None) -> Floats:
    """ECE of scores [n] in [0, 1], NaN left out; weights [..., n]. NaN without an image."""
    w = np.ones(scores.size) if weights is None else weights
    member = _member(scores).astype(np.float64)
    excess = np.nan_to_num(np.where(np.isnan(scores), 0.0, scores - truth))
    # |sum of (score - truth)| of a bin is its share times the gap, but for the number of images.
    gaps = np.abs((w * excess) @ member).sum(axis=-1)
    return ratio(gaps, (w @ member).sum(axis=-1))


def error_if_calibrated(scores: Floats) -> float:
    """The mean ECE of these very scores were they right: truth drawn with the score as chance.

    Few images make an ECE above zero of any score; only what lies above this says something.
    """
    known = scores[~np.isnan(scores)]
    if not known.size:
        return float("nan")
    drawn = np.random.default_rng(SEED).random((DRAWS, known.size)) < known
    member = _member(known).astype(np.float64)
    return float((np.abs((known - drawn) @ member).sum(axis=-1) / known.size).mean())


def _member(scores: Floats) -> Bools:
    """Which score is in which bin, bool [n, BINS]; NaN is in none."""
    known = ~np.isnan(scores)
    which = np.clip(np.floor(np.where(known, scores, 0) * BINS), 0, BINS - 1)
    return np.asarray(known[:, None] & (which[:, None] == np.arange(BINS)))
