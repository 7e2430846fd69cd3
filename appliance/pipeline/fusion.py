"""The two tests joined: a three-valued OR.

Positive wins. Negative only if everything asked was answered, and with negative. Anything else,
a missing image above all, is indeterminate: absence of an answer is never an all-clear.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mammosono.appliance.values import Modality, Verdict


@dataclass(frozen=True, slots=True)
class Fused:
    """The verdict of a study.

    decided_by: the modalities whose own verdict is the fused one, MG before US.
    incomplete: a modality has no image.
    """

    verdict: Verdict
    decided_by: tuple[Modality, ...]
    incomplete: bool


def of_modality(verdicts: Iterable[Verdict]) -> Verdict:
    """The three-valued OR; of nothing at all, indeterminate."""
    seen = set(verdicts)
    if Verdict.POSITIVE in seen:
        return Verdict.POSITIVE
    return Verdict.NEGATIVE if seen == {Verdict.NEGATIVE} else Verdict.INDETERMINATE


def fuse(verdicts: Mapping[Modality, Sequence[Verdict]]) -> Fused:
    """Fuse the verdicts of a study's images, by modality.

    A modality that is absent or has no verdict counts as indeterminate.
    """
    each = {modality: of_modality(verdicts.get(modality, ())) for modality in Modality}
    verdict = of_modality(each.values())
    return Fused(
        verdict=verdict,
        decided_by=tuple(modality for modality, own in each.items() if own is verdict),
        incomplete=any(not verdicts.get(modality) for modality in Modality),
    )
