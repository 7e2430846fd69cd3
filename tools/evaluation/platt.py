"""Calibration of a raw score by logistic regression on its log-odds.

Platt, "Probabilistic outputs for support vector machines", Advances in Large Margin Classifiers
(1999): two numbers, the targets drawn in from 0 and 1 by what so few images allow to say.
"""

from __future__ import annotations

import numpy as np

from mammosono.appliance.pipeline.scoring import log_odds
from mammosono.appliance.values import Calibration
from mammosono.tools.evaluation.bootstrap import Floats
from mammosono.tools.evaluation.metrics import Bools

LEAST_SLOPE = 0.01
"""Of scores that rank no better than chance: all become nearly the share of malignant images, and
none is turned round."""
_STEPS = 200


def fit(raw: Floats, truth: Bools) -> Calibration:
    """The calibration of greatest likelihood, its slope at least LEAST_SLOPE.

    raw: float [n] in [0, 1]; truth: bool [n], malignant. Raises ValueError if a class is missing.
    """
    positive = int(truth.sum())
    negative = truth.size - positive
    if not positive or not negative:
        raise ValueError("both malignant and other images are needed to calibrate on")
    target = np.where(truth, (positive + 1) / (positive + 2), 1 / (negative + 2))
    odds = log_odds(raw)
    slope, intercept = _newton(np.stack([odds, np.ones(raw.size)]), np.zeros(raw.size), target)
    if slope < LEAST_SLOPE:
        slope = LEAST_SLOPE
        (intercept,) = _newton(np.ones((1, raw.size)), slope * odds, target)
    return Calibration(float(slope), float(intercept))


def _newton(design: Floats, offset: Floats, target: Floats) -> Floats:
    """Weights [k] of the rows of design [k, n]; offset [n] is added to the log-odds."""
    weights = np.zeros(len(design))
    for _ in range(_STEPS):  # damped: far from the optimum a whole step may lead away
        chance = 1 / (1 + np.exp(-np.clip(weights @ design + offset, -30, 30)))
        curvature = (design * np.maximum(chance * (1 - chance), 1e-6)) @ design.T
        change = np.linalg.solve(curvature + 1e-9 * np.eye(len(design)), design @ (target - chance))
        largest = float(np.abs(change).max())
        weights = weights + change * min(1.0, 1.0 / max(largest, 1e-12))
        if largest < 1e-10:
            break
    return weights
