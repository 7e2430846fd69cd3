"""Pairs, simulated, on which the fused verdict is measured.

No public set holds both tests of the same women, so a pair is put together: any mammogram with
any ultrasound image of the same truth. Over all such pairs the three-valued OR has a closed form,
    positive unless neither is: 1 - (1 - p_MG)(1 - p_US)
    negative only if both are:  n_MG n_US
which is what infinitely many draws would give, and what the figures are. That the device does
just this is shown by 10 000 pairs drawn with a seed and fused by the device's own rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mammosono.appliance.pipeline.fusion import fuse
from mammosono.appliance.values import Modality, Verdict
from mammosono.tools.evaluation.bootstrap import SEED, Estimate, Floats, estimates
from mammosono.tools.evaluation.metrics import Bools, ratio

PAIRS = 10_000
"""Pairs drawn, half of them malignant, and bootstrap draws of the figures over all pairs."""

PROTOCOL = (
    "Simulated pairs: every mammogram with every ultrasound image of the same truth "
    "(malignant with malignant, non-malignant with non-malignant), each pair counted once, fused "
    "by the device's three-valued OR, an indeterminate verdict counted as wrong; intervals by "
    f"{PAIRS} draws of the cases of either modality. The two images are of different women and so "
    "err independently; two tests of one woman do not, so the true gain is likely smaller."
)
DRAWN = (
    f"{PAIRS} pairs drawn from these with seed {SEED}, half of them malignant, an image as often "
    "as chance has it; counts by which test was right"
)


@dataclass(frozen=True, slots=True)
class Side:
    """One modality's images: truth (malignant or not), verdict and case, in one order."""

    truth: Sequence[bool]
    verdicts: Sequence[Verdict]
    cases: Sequence[str]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Drawn pairs of one truth: by which test alone was right, and how often the fused one is.

    Right: positive if malignant, negative if not.
    """

    pairs: int
    both: int
    mg_only: int
    us_only: int
    neither: int
    fused: int


@dataclass(frozen=True, slots=True)
class PairFigures:
    """What the fusion gains and costs.

    malignant, non_malignant: number of distinct pairs.
    estimates: tpr, tnr, bcr and youden of "MG", "US" and "fused", as "fused.tpr";
    gain_tpr (fused minus single TPR) and price_tnr (single minus fused TNR) over "MG" and "US".
    drawn: "malignant" and "non_malignant" pairs drawn, where there are any to draw from.
    """

    malignant: int
    non_malignant: int
    estimates: dict[str, Estimate]
    drawn: dict[str, Drawn]


def pair_figures(mammograms: Side, ultrasounds: Side) -> PairFigures:
    """Fused figures over all pairs of the same truth, beside those of each test alone."""
    sides = (mammograms, ultrasounds)
    truths = [np.asarray(side.truth, dtype=bool) for side in sides]
    verdicts = [side.verdicts for side in sides]
    positive = [np.array([v is Verdict.POSITIVE for v in each], bool) for each in verdicts]
    negative = [np.array([v is Verdict.NEGATIVE for v in each], bool) for each in verdicts]

    def figures(*weights: Floats) -> dict[str, Floats]:
        rates = list(zip(weights, truths, positive, negative, strict=True))
        tpr = [_share(w, truth, yes) for w, truth, yes, _ in rates]
        tnr = [_share(w, ~truth, no) for w, truth, _, no in rates]
        fused_tpr = 1 - (1 - tpr[0]) * (1 - tpr[1])
        fused_tnr = tnr[0] * tnr[1]
        out = _of("fused", fused_tpr, fused_tnr)
        for i, modality in enumerate((Modality.MG, Modality.US)):
            out |= _of(modality.value, tpr[i], tnr[i])
            out[f"{modality.value}.gain_tpr"] = fused_tpr - tpr[i]
            out[f"{modality.value}.price_tnr"] = tnr[i] - fused_tnr
        return out

    return PairFigures(
        malignant=int(truths[0].sum() * truths[1].sum()),
        non_malignant=int((~truths[0]).sum() * (~truths[1]).sum()),
        estimates=estimates(figures, *(side.cases for side in sides), draws=PAIRS, block=500),
        drawn=_drawn(*sides),
    )


def _drawn(mammograms: Side, ultrasounds: Side) -> dict[str, Drawn]:
    rng = np.random.default_rng(SEED)
    out = {}
    for name, truth, right in (
        ("malignant", True, Verdict.POSITIVE),
        ("non_malignant", False, Verdict.NEGATIVE),
    ):
        mg, us = (
            [v for v, t in zip(side.verdicts, side.truth, strict=True) if t == truth]
            for side in (mammograms, ultrasounds)
        )
        if mg and us:
            pairs = [
                (mg[i], us[j])
                for i, j in zip(
                    rng.integers(len(mg), size=PAIRS // 2),
                    rng.integers(len(us), size=PAIRS // 2),
                    strict=True,
                )
            ]
            out[name] = _counted(pairs, right)
    return out


def _counted(pairs: Sequence[tuple[Verdict, Verdict]], right: Verdict) -> Drawn:
    by_test = [(mg is right, us is right) for mg, us in pairs]
    fused = [fuse({Modality.MG: [mg], Modality.US: [us]}).verdict for mg, us in pairs]
    return Drawn(
        pairs=len(pairs),
        both=by_test.count((True, True)),
        mg_only=by_test.count((True, False)),
        us_only=by_test.count((False, True)),
        neither=by_test.count((False, False)),
        fused=sum(verdict is right for verdict in fused),
    )


def _share(weights: Floats, among: Bools, which: Bools) -> Floats:
    return ratio(weights @ (among & which).astype(float), weights @ among.astype(float))


def _of(name: str, tpr: Floats, tnr: Floats) -> dict[str, Floats]:
    return {
        f"{name}.tpr": tpr,
        f"{name}.tnr": tnr,
        f"{name}.bcr": (tpr + tnr) / 2,
        f"{name}.youden": tpr + tnr - 1,
    }
