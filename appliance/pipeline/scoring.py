"""Score of an image and of a breast: evidence from the network's answers, as a probability.

    raw         = w h + (1 - w) m
    probability = sigmoid(intercept + slope logit(raw))       (Platt 1999)

h is the whole-image head's probability of malignancy, m that of the most malignant region, whether
it is shown as a finding or not. A breast that was seen in several standard views has the mean of
their raw values, with a calibration and an operating point of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mammosono.appliance.pipeline.detector.detector import Detections
from mammosono.appliance.values import Calibration, Evidence, Laterality, Scoring, SourceImage

STANDARD_VIEWS = ("CC", "MLO")
"""Views that show the whole breast: a spot view without a lesion says nothing of the others."""
_LIMIT = 1e-6
"""A raw value is held this far from 0 and 1, where its log-odds end."""


def evidence(detections: Detections, region_floor: float) -> Evidence:
    """What the network says of the whole image and of its most malignant region."""
    regions = detections.malignant[detections.lesion >= region_floor]
    return Evidence(float(detections.image[2]), float(regions.max(initial=0.0)))


def raw(whole_image: float, region: ArrayLike, head_weight: float) -> NDArray[np.float64]:
    """w h + (1 - w) m for one m or several."""
    return head_weight * whole_image + (1 - head_weight) * np.asarray(region, np.float64)


def probability(raw: ArrayLike, calibration: Calibration | None) -> NDArray[np.float64]:
    """Calibrated probability of malignancy, strictly rising in `raw`; without a calibration `raw`
    itself."""
    values = np.asarray(raw, np.float64)
    if calibration is None:
        return values
    odds = calibration.intercept + calibration.slope * log_odds(values)
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -500, 500))))


def log_odds(raw: ArrayLike) -> NDArray[np.float64]:
    """logit of values in [0, 1], finite at the ends."""
    inside = np.clip(np.asarray(raw, np.float64), _LIMIT, 1 - _LIMIT)
    return np.asarray(np.log(inside / (1 - inside)))


def image_score(seen: Evidence, scoring: Scoring) -> float:
    """Probability in [0, 1]."""
    mixed = raw(seen.whole_image, seen.region, scoring.head_weight)
    return float(probability(mixed, scoring.calibration))


def finding_scores(detections: Detections, scoring: Scoring) -> NDArray[np.float64]:
    """[n] probability of each region, as if it were the image's most malignant one."""
    mixed = raw(float(detections.image[2]), detections.malignant, scoring.head_weight)
    return probability(mixed, scoring.calibration)


def breast_score(views: Sequence[Evidence], scoring: Scoring) -> float:
    """Probability in [0, 1] of a breast seen in these views. Raises ValueError if there is none, or
    no rule for breasts."""
    if not views or scoring.breast is None:
        raise ValueError("a breast's score needs its views and a rule")
    each = [raw(seen.whole_image, seen.region, scoring.head_weight) for seen in views]
    return float(probability(np.mean(each), scoring.breast.calibration))


def breasts(images: Sequence[SourceImage]) -> dict[Laterality, tuple[int, ...]]:
    """Of each breast the places of its standard views, where it was seen in both."""
    seen: dict[Laterality, list[int]] = {}
    for place, image in enumerate(images):
        if image.laterality is not None and image.view in STANDARD_VIEWS:
            seen.setdefault(image.laterality, []).append(place)
    return {
        side: tuple(places)
        for side, places in sorted(seen.items())
        if {images[k].view for k in places} == set(STANDARD_VIEWS)
    }
