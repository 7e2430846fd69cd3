"""The fused verdict, measured on simulated pairs.

No public set holds both tests of the same women, so a pair is put together: any mammogram with
any ultrasound image of the same truth. There are fewer such pairs than a sample worth drawing,
so none is drawn: every pair counts once, which is what infinitely many draws would give. Over
all pairs the three-valued OR has a closed form:
    positive unless neither is: 1 - (1 - p_MG)(1 - p_US)
    negative only if both are:  n_MG n_US
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from appliance.values import Modality, Verdict
from tools.judge.bootstrap import Estimate, estimates
from tools.judge.metrics import Bools, Floats, ratio

PROTOCOL = (
    "Simulated pairs: every mammogram with every ultrasound image of the same truth "
    "(malignant with malignant, non-malignant with non-malignant), each pair counted once, fused "
    "by the device's three-valued OR, an indeterminate verdict counted as wrong; intervals by "
    "resampling the cases of either modality. The two images are of different women and so err "
    "independently; two tests of one woman do not, so the true gain is likely smaller."
)


@dataclass(frozen=True, slots=True)
class Side:
    """One modality's images: truth (malignant or not), verdict and case, in one order."""

    truth: Sequence[bool]
    verdicts: Sequence[Verdict]
    cases: Sequence[str]


@dataclass(frozen=True, slots=True)
class PairFigures:
    """What the fusion gains and costs.

    malignant, non_malignant: number of distinct pairs.
    estimates: tpr, tnr, bcr and youden of "MG", "US" and "fused", as "fused.tpr";
    gain_tpr (fused minus single TPR) and price_tnr (single minus fused TNR) over "MG" and "US".
    """

    malignant: int
    non_malignant: int
    estimates: dict[str, Estimate]


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
        estimates=estimates(figures, *(side.cases for side in sides)),
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
