"""How far a plan's outputs may be from the right ones.

Half precision rounds, and reorders what is nearly equal: so the best scores are compared as a
set, boxes where one would be proposed, and everything against a stated bound.
"""

from typing import Callable, Dict, Mapping, NamedTuple, Tuple

import numpy as np

TOP = 100
"""Scores compared as a set: about as many as survive suppression."""

Arrays = Mapping[str, np.ndarray]
Measure = Callable[[np.ndarray, np.ndarray], float]
Figures = Dict[str, float]
"""By "output.measure"."""


class Bound(NamedTuple):
    """What a measure of an output must be: at least `limit`, or else at most.

    best: taken where the right scores ("objectness" of the same stage) are best, not everywhere.
    """

    name: str
    measure: Measure
    limit: float
    at_least: bool = False
    best: bool = False

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit  # NaN never holds


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


# About ten times what the shipped bundle changes by when every tensor in it is rounded to half
# precision: room for kernels that add up in half precision too, none for a broken one.
BOUNDS: Dict[str, Tuple[Bound, ...]] = {
    # Logits: which anchors propose, and how sure they are where it matters.
    "objectness": (
        Bound("overlap", overlap, 0.9, at_least=True),
        Bound("largest", largest, 0.25, best=True),
    ),
    # In sides of the anchor, and logarithms of its size: 0.02 moves a box of 100 px by 2.
    "deltas": (Bound("largest", largest, 0.02, best=True),),
    # Probabilities.
    "image_classes": (Bound("largest", largest, 0.05),),
    "classes": (Bound("largest", largest, 0.05),),
    "masks": (Bound("largest", largest, 0.15), Bound("mean", mean, 0.01)),
    # In tenths of the proposal's side and fifths of its logarithm: 0.15 is 1.5 px of 100.
    "box_deltas": (Bound("largest", largest, 0.15),),
    # In standard deviations of the noise that is being removed.
    "noise": (Bound("largest", largest, 0.25), Bound("mean", mean, 0.01)),
}
OTHERS = (Bound("relative", relative, 0.02),)
"""Of an output that is not named above."""


def measure(wanted: Arrays, got: Arrays) -> Figures:
    """Every figure that has a bound, of one stage's outputs on one input.

    wanted, got: by output; arrays of equal shape, `got` may hold more outputs.
    """
    rows = None
    if "objectness" in wanted:
        scores = wanted["objectness"]
        rows = _best(scores, _best_count(scores))
    figures: Figures = {}
    for name, right in wanted.items():
        a, b = right.astype(np.float64), got[name].astype(np.float64)
        for bound in BOUNDS.get(name, OTHERS):
            if bound.best and rows is not None:
                value = bound.measure(_of_rows(a, rows), _of_rows(b, rows))
            else:
                value = bound.measure(a, b)
            figures["%s.%s" % (name, bound.name)] = float("%.4g" % value)
    return figures


def worst(one: Figures, other: Figures) -> Figures:
    """Of each figure the one farther from what is right."""
    merged = dict(one)
    for key, value in other.items():
        if key not in merged or (value < merged[key]) == _bound(key).at_least:
            merged[key] = value
    return merged


def outside(figures: Figures) -> str:
    """The figures that break their bound, in words; "" if none does."""
    broken = [
        "%s is %.3g, %s %g is wanted"
        % (key, value, "at least" if _bound(key).at_least else "at most", _bound(key).limit)
        for key, value in sorted(figures.items())
        if not _bound(key).holds(value)
    ]
    return "; ".join(broken)


def _bound(key: str) -> Bound:
    name, _, kind = key.rpartition(".")
    return next(bound for bound in BOUNDS.get(name, OTHERS) if bound.name == kind)


def _best_count(scores: np.ndarray) -> int:
    # Never more than half: all of them would be the same set whatever the scores.
    return max(1, min(TOP, scores.size // 2))


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    return np.argpartition(-scores.ravel(), count - 1)[:count]


def _of_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """[1, A] or [1, A, n] -> the rows of A."""
    chosen: np.ndarray = values.reshape(values.shape[0] * values.shape[1], -1)[rows]
    return chosen
