"""What is chosen on validation data: the image score's mixture and a modality's threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mammosono.tools.evaluation.metrics import Bools, Floats, auc

SENSITIVITY = 0.90
WEIGHTS = tuple(i / 10 for i in range(11))


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold in [0, 1]; an image is positive at `score >= threshold`.

    tpr, tnr: what the threshold reaches on the data it was chosen on (optimistic).
    """

    threshold: float
    tpr: float
    tnr: float


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """threshold, tpr, tnr: float [k]."""

    threshold: Floats
    tpr: Floats
    tnr: Floats

    def point(self, index: int) -> OperatingPoint:
        return OperatingPoint(
            float(self.threshold[index]), float(self.tpr[index]), float(self.tnr[index])
        )


@dataclass(frozen=True, slots=True)
class ImageScore:
    """score = weight * head + (1 - weight) * finding, and its AUC where it was chosen."""

    weight: float
    auc: float


def choose_threshold(
    scores: Floats,
    truth: Bools,
    *,
    sensitivity: float | None = None,
    specificity: float | None = None,
) -> OperatingPoint:
    """The threshold that just reaches the stated goal and gives most of the other rate.

    scores: float [n] in [0, 1]; truth: bool [n], malignant or not. At most one goal in (0, 1];
    with none, sensitivity 0.90. The threshold lies midway between neighbouring scores (0 and 1
    count as neighbours of the outermost), so that small changes of a score change no call.
    Raises ValueError if a class is missing, a score is outside [0, 1] or NaN, both goals are
    given, or no threshold in [0, 1] reaches the specificity.
    """
    if sensitivity is not None and specificity is not None:
        raise ValueError("state a sensitivity or a specificity, not both")
    each = cuts(scores, truth)
    if specificity is not None:
        reached = np.flatnonzero(each.tnr >= _goal(specificity))
        if not reached.size:
            raise ValueError(f"no threshold reaches specificity {specificity:g}: scores of 1")
        return each.point(int(reached[0]))
    goal = SENSITIVITY if sensitivity is None else sensitivity
    return each.point(int(np.flatnonzero(each.tpr >= _goal(goal))[-1]))


def cuts(scores: Floats, truth: Bools) -> Cuts:
    """Every threshold that tells neighbouring scores apart, ascending, and what it reaches.

    Raises ValueError if a class is missing or a score is outside [0, 1] or NaN.
    """
    _check(truth, scores)
    thresholds = _midway(scores)
    positive = scores >= thresholds[:, None]
    return Cuts(thresholds, positive[:, truth].mean(axis=1), 1 - positive[:, ~truth].mean(axis=1))


def choose_image_score(head: Floats, finding: Floats, truth: Bools) -> ImageScore:
    """The mixture of the two scores that ranks one modality's images best, by AUC.

    head: the whole-image head's malignant probability, float [n] in [0, 1]; finding: the
    highest malignancy score of its findings, 0 if there is none; truth: bool [n], malignant or
    not. The weight is one of 0, 0.1, .. 1; of equally good ones that nearest to 0.5, then the
    smaller.
    Raises ValueError if a class is missing or a score is outside [0, 1] or NaN.
    """
    _check(truth, head, finding)
    areas = [float(auc(w * head + (1 - w) * finding, truth)) for w in WEIGHTS]
    good = [i for i, area in enumerate(areas) if np.isclose(area, max(areas), rtol=0, atol=1e-12)]
    chosen = min(good, key=lambda i: (abs(i - 5), i))
    return ImageScore(WEIGHTS[chosen], areas[chosen])


def _midway(scores: Floats) -> Floats:
    """Thresholds that tell neighbouring scores apart, ascending."""
    seen = np.unique(np.asarray(scores, np.float64))
    low, high = np.concatenate(([0.0], seen)), np.concatenate((seen, [1.0]))
    middle = low + (high - low) / 2
    # Between neighbouring floats the middle rounds to one of them; `>=` needs the upper.
    return np.where(middle > low, middle, high)


def _goal(rate: float) -> float:
    if not 0 < rate <= 1:
        raise ValueError("the goal is a rate above 0 and at most 1")
    return rate - 1e-12  # 1 - 1/10 must reach 0.9


def _check(truth: Bools, *scores: Floats) -> None:
    if truth.all() or not truth.any():
        raise ValueError("both malignant and other images are needed to choose on")
    for each in scores:
        if each.shape != truth.shape or not ((each >= 0) & (each <= 1)).all():
            raise ValueError("every image needs a score in [0, 1]")
