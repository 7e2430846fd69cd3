"""Bootstrap: 95 % confidence intervals by resampling whole cases (percentile interval).

Images of one patient resemble each other, so patients are drawn, not images: Field and Welsh,
"Bootstrapping clustered data", J. R. Stat. Soc. B 69 (2007) 369-390.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DRAWS = 2000
LEVEL = 0.95
SEED = 20250


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval; all NaN where the figure is undefined.

    skipped: draws in which the figure is undefined (one class only, say), left out of the
    interval.
    """

    value: float
    low: float
    high: float
    skipped: int


def case_weights(cases: Sequence[str], draws: int, rng: np.random.Generator) -> Floats:
    """How often each image counts in each draw, float64 [draws, n].

    A draw takes as many cases as there are, with replacement; a case brings all its images.
    """
    names, member = np.unique(np.asarray(cases, dtype=str), return_inverse=True)
    if not names.size:
        return np.zeros((draws, 0))
    counts = rng.multinomial(names.size, np.full(names.size, 1 / names.size), size=draws)
    return counts[:, member].astype(np.float64)


def estimates(
    figures: Callable[..., Mapping[str, Floats]],
    *cases: Sequence[str],
    draws: int = DRAWS,
    seed: int = SEED,
    block: int = DRAWS,
) -> dict[str, Estimate]:
    """Every figure with its 95 % interval.

    cases: the case of each image, one sequence for every set of images resampled on its own.
    figures: takes one weights array [..., n] for each of these sequences and answers named
    figures of the leading shape. All figures share the draws, so differences are paired.
    block: how many draws are given at once; fewer need less memory and change no number.
    """
    rng = np.random.default_rng(seed)
    plain = figures(*(np.ones(len(each)) for each in cases))
    weights = [case_weights(each, draws, rng) for each in cases]
    parts = [
        figures(*(each[start : start + block] for each in weights))
        for start in range(0, draws, block)
    ]
    drawn = {name: np.concatenate([part[name] for part in parts]) for name in plain}
    return {name: interval(float(plain[name]), drawn[name]) for name in plain}


def interval(value: float, drawn: Floats) -> Estimate:
    """Percentile interval of the drawn figures [draws]; NaN draws are skipped and counted."""
    known = drawn[~np.isnan(drawn)]
    skipped = drawn.size - known.size
    if math.isnan(value) or not known.size:
        return Estimate(value, math.nan, math.nan, skipped)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), skipped)
