"""Two operating points chosen together, so that the fused verdict meets a target.

Over all simulated pairs of the same truth (mammosono.tools.evaluation.pairs) the fused rates are
    TPR = 1 - (1 - TPR_MG)(1 - TPR_US),    TNR = TNR_MG TNR_US,
so every pair of thresholds that tells the scores apart can be tried: the search is exact.

Left to itself the search may silence the weaker test: a threshold that nothing reaches costs no
specificity. But a study may hold that test alone. So each must keep a sensitivity of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mammosono.appliance.values import Modality
from mammosono.tools.evaluation.metrics import Bools, Floats
from mammosono.tools.evaluation.operating_point import OperatingPoint, cuts

LEAST = 0.5
TOLERANCE = 1e-12
"""1 - 1/10 must reach 0.9."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the fused verdict must reach: exactly one of the two rates, in (0, 1].

    least: sensitivity that either modality keeps alone, in [0, 1].
    Raises ValueError otherwise.
    """

    sensitivity: float | None = None
    specificity: float | None = None
    least: float = LEAST

    def __post_init__(self) -> None:
        if (self.sensitivity is None) == (self.specificity is None):
            raise ValueError("state a target sensitivity or a target specificity, one of them")
        if not 0 < self.rate <= 1 or not 0 <= self.least <= 1:
            raise ValueError("a target is a rate above 0 and at most 1")

    @property
    def rate(self) -> float:
        return next(r for r in (self.sensitivity, self.specificity) if r is not None)

    @property
    def name(self) -> str:
        return "sensitivity" if self.specificity is None else "specificity"


@dataclass(frozen=True, slots=True)
class JointPoint:
    """points: by modality, with what each reaches alone; tpr, tnr: of the fused verdict. All on
    the data they were chosen on (optimistic).
    """

    points: dict[Modality, OperatingPoint]
    tpr: float
    tnr: float


def choose_jointly(
    scores: dict[Modality, Floats], truth: dict[Modality, Bools], target: Target
) -> JointPoint:
    """The thresholds whose fused verdict meets the target and gives most of the other rate.

    scores: float [n] in [0, 1], truth: bool [n], malignant or not; of both modalities.
    Of equally good ones: most of the targeted rate; then the sensitivities most alike; then the
    higher thresholds, of mammograms first.
    Raises ValueError if a class is missing, a score is outside [0, 1] or NaN, or no thresholds
    meet the target.
    """
    mg, us = (cuts(scores[m], truth[m]) for m in Modality)
    tpr = 1 - np.outer(1 - mg.tpr, 1 - us.tpr)
    tnr = np.outer(mg.tnr, us.tnr)
    goal, other = (tpr, tnr) if target.specificity is None else (tnr, tpr)
    least = target.least - TOLERANCE
    kept = (mg.tpr[:, None] >= least) & (us.tpr >= least)
    met = np.argwhere(kept & (goal >= target.rate - TOLERANCE))
    if not met.size:
        raise ValueError(
            f"no two thresholds give a fused {target.name} of {target.rate:g} and leave either "
            f"modality a sensitivity of {target.least:g} alone; ask for less"
        )
    a, b = met.T
    apart = np.abs(mg.tpr[a] - us.tpr[b])
    # Rounded, so that equal rates reached by different arithmetic count as equal.
    keys = (b, a, -apart.round(12), goal[a, b].round(12), other[a, b].round(12))
    best = np.lexsort(keys)[-1]
    i, j = int(a[best]), int(b[best])
    return JointPoint(
        {Modality.MG: mg.point(i), Modality.US: us.point(j)}, float(tpr[i, j]), float(tnr[i, j])
    )
