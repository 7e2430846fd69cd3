"""The points of a group's curves, for drawing: ROC, precision-recall, FROC, reliability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mammosono.tools.evaluation.detection_metrics import marks_of
from mammosono.tools.evaluation.figures import ranked
from mammosono.tools.evaluation.froc import curve
from mammosono.tools.evaluation.metrics import Bools, Floats, ratio
from mammosono.tools.evaluation.outcome import Outcome
from mammosono.tools.evaluation.reliability import Bin, bins
from mammosono.tools.evaluation.search import Search

Points = tuple[tuple[float, float], ...]
"""x and y, in the order of a falling threshold."""


@dataclass(frozen=True, slots=True)
class Curves:
    """roc: 1 - TNR and TPR; pr: recall and precision; froc: false positives an image and share of
    lesions found, None where no lesion is located; reliability: the bins that hold an image.
    """

    n: int
    malignant: int
    roc: Points
    pr: Points
    froc: Points | None
    froc_images: int
    lesions: int
    reliability: tuple[Bin, ...]


def curves(outcomes: Sequence[Outcome], searches: Sequence[Search]) -> Curves:
    """The curves of a group's images, and of those of them that were searched."""
    truth = np.array([o.malignant for o in outcomes])
    plain = np.array([o.score for o in outcomes])
    scores = ranked(plain, truth)
    seen = marks_of(searches)
    found = curve(seen, len(searches))
    return Curves(
        n=len(outcomes),
        malignant=int(truth.sum()),
        roc=roc_points(scores, truth),
        pr=pr_points(scores, truth),
        froc=_points(*found[:2]) if seen.of_image.size else None,
        froc_images=len(searches),
        lesions=int(seen.of_image.size),
        reliability=bins(plain, truth),
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
    """True and false positives at every threshold that tells scores apart, falling."""
    order = np.argsort(-scores, kind="stable")
    row = scores[order]
    ends = np.flatnonzero(np.append(row[1:] != row[:-1], True))
    return (
        np.cumsum(truth[order])[ends].astype(np.float64),
        np.cumsum(~truth[order])[ends].astype(np.float64),
    )


def _points(x: Floats, y: Floats) -> Points:
    return tuple((float(a), float(b)) for a, b in zip(x, y, strict=True))
