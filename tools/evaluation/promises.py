"""Promised and kept: what an operating point reached where it was chosen, and what it gave here.

The promise is a rate on the images it was chosen on; where these were validation images it is
optimistic. It is broken, and its row fails, if the rate that was promised lies outside the 95 %
interval of the rate that was kept: too little was kept, or the threshold cuts elsewhere than it was
said to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mammosono.appliance.values import Modality
from mammosono.tools.evaluation.bootstrap import Estimate
from mammosono.tools.evaluation.figures import GroupFigures
from mammosono.tools.evaluation.metrics import wilson
from mammosono.tools.evaluation.outcome import ImageOutcome
from mammosono.tools.evaluation.pairs import PairFigures

FUSED = "fused"
RATES = ("tpr", "tnr")
PROMISE_DEFINITIONS = {
    "promised": "the rate that the operating point reached where it was chosen, with Wilson's 95 % "
    "interval over its images; of the fused rates that of the modalities' bounds together, which "
    "is wider than 95 %",
    "kept": "the rate on the images judged here, with its bootstrap interval over cases; of a rate "
    "of 0 or 1, where that has no width, with Wilson's, over cases",
    "failed": "the promised rate lies outside the interval of the kept one",
}


@dataclass(frozen=True, slots=True)
class Promise:
    """point: a modality's code or FUSED; rate: "tpr" or "tnr"; value: what was reached, of n images
    (0 where the manifest does not say, and for pairs); low, high: 95 %, NaN where unknown.
    on: the images that it was chosen on, in words.
    """

    point: str
    rate: str
    value: float
    n: int
    low: float
    high: float
    on: str


@dataclass(frozen=True, slots=True)
class Kept:
    """group: of an evaluation, or a name of pairs; n: its images (or pairs) of that truth; cases:
    theirs (0 for pairs); held: whether the promise lies in the kept rate's interval, None where
    that is undefined.
    """

    promise: Promise
    group: str
    n: int
    cases: int
    value: float
    low: float
    high: float
    held: bool | None


def promises_of(manifest: Mapping[str, Any]) -> tuple[Promise, ...]:
    """What a bundle's manifest says its operating points reached; empty where it says nothing."""
    chosen = manifest.get("operating_points_chosen", {})
    reached, on = chosen.get("reached", {}), str(chosen.get("on", ""))
    out = [
        _of_modality(point, rate, rates, on)
        for point, rates in reached.items()
        if point != FUSED
        for rate in RATES
    ]
    if FUSED in reached:
        out += [_fused(rate, float(reached[FUSED][rate]), out, on) for rate in RATES]
    return tuple(out)


def _of_modality(point: str, rate: str, rates: Mapping[str, Any], on: str) -> Promise:
    malignant = rates.get("malignant")
    n = 0
    if malignant is not None:
        n = int(malignant) if rate == "tpr" else int(rates["n"]) - int(malignant)
    value = float(rates[rate])
    low, high = wilson(value, n)
    return Promise(point, rate, value, n, low, high, on)


def _fused(rate: str, value: float, alone: Sequence[Promise], on: str) -> Promise:
    """Its bounds are the fused rates of the modalities' bounds: more than 95 % together."""
    codes = {modality.value for modality in Modality}  # not the points of breasts
    sides = [promise for promise in alone if promise.rate == rate and promise.point in codes]
    low, high = (_or(rate, values) for values in ([p.low for p in sides], [p.high for p in sides]))
    return Promise(FUSED, rate, value, 0, low, high, on)


def _or(rate: str, alone: Sequence[float]) -> float:
    """The rate of the OR of tests that err independently; see tools.evaluation.pairs."""
    return 1 - math.prod(1 - each for each in alone) if rate == "tpr" else math.prod(alone)


def kept(
    promises: Sequence[Promise],
    groups: Mapping[str, Sequence[ImageOutcome]],
    figures: Mapping[str, GroupFigures],
    pairs: Mapping[str, PairFigures | None],
) -> tuple[Kept, ...]:
    """A row for each promise and each group that it speaks of, the promises in their order.

    groups: those that are judged by class, in the order of the rows; pairs: by name.
    """
    rows: list[Kept] = []
    for promise in promises:
        if promise.point == FUSED:
            rows += [_of_pairs(promise, name, each) for name, each in pairs.items() if each]
            continue
        for name, group in groups.items():
            if name.split("/")[0] == promise.point:
                estimate = figures[name].estimates[promise.rate]
                rows.append(_of_group(promise, name, group, estimate))
    return tuple(rows)


def _of_group(
    promise: Promise, name: str, group: Sequence[ImageOutcome], estimate: Estimate
) -> Kept:
    asked = [o.record.case for o in group if o.malignant == (promise.rate == "tpr")]
    return _kept(promise, name, len(asked), len(set(asked)), estimate)


def _of_pairs(promise: Promise, name: str, pairs: PairFigures) -> Kept:
    n = pairs.malignant if promise.rate == "tpr" else pairs.non_malignant
    return _kept(promise, name, n, 0, pairs.estimates[f"{FUSED}.{promise.rate}"])


def _kept(promise: Promise, name: str, n: int, cases: int, estimate: Estimate) -> Kept:
    low, high = estimate.low, estimate.high
    if low == high and cases:
        low, high = wilson(estimate.value, cases)
    held = None if math.isnan(low) else low <= promise.value <= high
    return Kept(promise, name, n, cases, estimate.value, low, high, held)
