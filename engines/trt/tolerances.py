"""Tolerances of a plan's outputs: the measures of error that a manifest may bound.

    overlap            share of the best scores that are the same ones; at least
    largest            largest difference; at most
    largest_of_best    the same, of the rows alone that `overlap` of the same stage finds best
    mean               mean difference; at most
    relative           largest difference in units of the largest right value; at most

Half precision rounds, and reorders what is nearly equal: so the best scores are compared as a
set, boxes where one would be proposed, and everything against a stated bound.
"""

from typing import Dict, Mapping

import numpy as np

TOP = 100
"""Scores compared as a set: about as many as survive suppression."""

Arrays = Mapping[str, np.ndarray]
Bounds = Mapping[str, Mapping[str, float]]
"""By output, by measure: the `tolerances` of a stage."""
Figures = Dict[str, float]
"""By "output.measure"."""

OTHERS: Mapping[str, float] = {"relative": 0.02}
"""Bounds of an output that the manifest gives none."""


def overlap(wanted: np.ndarray, got: np.ndarray) -> float:
    """Share of the best scores that are the same ones, in whatever order."""
    count = _best_count(wanted)
    return float(np.isin(_best(got, count), _best(wanted, count)).mean())


def largest(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(np.abs(got - wanted).max())


def mean(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(np.abs(got - wanted).mean())


def relative(wanted: np.ndarray, got: np.ndarray) -> float:
    """The largest difference in units of the largest right value."""
    return largest(wanted, got) / max(float(np.abs(wanted).max()), 1e-6)


MEASURES = {
    "overlap": overlap,
    "largest": largest,
    "largest_of_best": largest,
    "mean": mean,
    "relative": relative,
}
_AT_LEAST = ("overlap",)


def measure(wanted: Arrays, got: Arrays, bounds: Bounds) -> Figures:
    """Every figure that has a bound, of one stage's outputs on one input.

    wanted, got: by output; arrays of equal shape, `got` may hold more outputs.
    """
    rows = None
    for name, right in wanted.items():
        if "overlap" in bounds.get(name, ()):
            rows = _best(right, _best_count(right))
    figures: Figures = {}
    for name, right in wanted.items():
        a, b = right.astype(np.float64), got[name].astype(np.float64)
        for kind in bounds.get(name, OTHERS):
            if kind == "largest_of_best" and rows is not None:
                value = MEASURES[kind](_of_rows(a, rows), _of_rows(b, rows))
            else:
                value = MEASURES[kind](a, b)
            figures["%s.%s" % (name, kind)] = float("%.4g" % value)
    return figures


def worst(one: Figures, other: Figures) -> Figures:
    """Of each figure the one farther from what is right."""
    merged = dict(one)
    for key, value in other.items():
        if key not in merged or (value < merged[key]) == (_kind(key) in _AT_LEAST):
            merged[key] = value
    return merged


def outside(figures: Figures, bounds: Bounds) -> str:
    """The figures that break their bound, in words; "" if none does."""
    broken = []
    for key, value in sorted(figures.items()):
        name, _, kind = key.rpartition(".")
        bound = bounds.get(name, OTHERS)[kind]
        if not _holds(kind, value, bound):
            side = "at least" if kind in _AT_LEAST else "at most"
            broken.append("%s is %.3g, %s %g is wanted" % (key, value, side, bound))
    return "; ".join(broken)


def _holds(kind: str, value: float, bound: float) -> bool:
    return value >= bound if kind in _AT_LEAST else value <= bound  # NaN never holds


def _kind(key: str) -> str:
    return key.rpartition(".")[2]


def _best_count(scores: np.ndarray) -> int:
    # Never more than half: all of them would be the same set whatever the scores.
    return max(1, min(TOP, scores.size // 2))


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    return np.argpartition(-scores.ravel(), count - 1)[:count]


def _of_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """[1, A] or [1, A, n] -> the rows of A."""
    chosen: np.ndarray = values.reshape(values.shape[0] * values.shape[1], -1)[rows]
    return chosen
