"""Fusion of a study's modalities: a three-valued OR.

Positive wins. Negative only if everything asked was answered, and with negative. Anything else,
a missing image above all, is indeterminate: absence of an answer is never an all-clear.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mammosono.appliance.modality import PAIR, StudyProtocol
from mammosono.appliance.values import Caution, Effect, ImageReading, Modality, Verdict

INCOMPLETE = "incomplete"
IMAGE_INDETERMINATE = "image_indeterminate"


@dataclass(frozen=True, slots=True)
class Fused:
    """The verdict of a study.

    decided_by: the modalities whose own verdict is the fused one: those of the protocol in its
        order, then any others that were given, by code; none where a caution decided.
    incomplete: a modality of the protocol has no image that was read.
    """

    verdict: Verdict
    decided_by: tuple[Modality, ...]
    incomplete: bool


def of_modality(verdicts: Iterable[Verdict]) -> Verdict:
    """The three-valued OR; of nothing at all, indeterminate."""
    distinct = set(verdicts)
    if Verdict.POSITIVE in distinct:
        return Verdict.POSITIVE
    return Verdict.NEGATIVE if distinct == {Verdict.NEGATIVE} else Verdict.INDETERMINATE


def fuse(
    verdicts: Mapping[Modality, Sequence[Verdict]],
    protocol: StudyProtocol = PAIR,
    cautions: Sequence[Caution] = (),
    unread: Collection[Modality] = (),
) -> Fused:
    """Fuse the verdicts of a study's images, by modality.

    A modality of the protocol that is absent or has no verdict counts as indeterminate. One that
    the protocol does not ask for counts where it was given: no image is passed over. Under a
    caution on the study that forbids it a negative becomes indeterminate.

    unread: the modalities of which an image could not be read; they are at best indeterminate.
    """
    given = {modality: own for modality, own in verdicts.items() if own}
    asked = dict.fromkeys((*protocol.required, *sorted({*given, *unread})))
    each = {
        modality: of_modality(
            (*given.get(modality, ()), *((Verdict.INDETERMINATE,) if modality in unread else ()))
        )
        for modality in asked
    }
    verdict = of_modality(each.values())
    if verdict is Verdict.NEGATIVE and any(c.effect is not Effect.NONE for c in cautions):
        verdict = Verdict.INDETERMINATE
    return Fused(
        verdict=verdict,
        decided_by=tuple(modality for modality, own in each.items() if own is verdict),
        incomplete=bool(protocol.missing(given)),
    )


def reasons(
    fused: Fused, images: Sequence[ImageReading], cautions: Sequence[Caution]
) -> tuple[str, ...]:
    """Codes of the cautions on a study, then of its being indeterminate beside them."""
    codes = [caution.code for caution in cautions]
    if fused.verdict is Verdict.INDETERMINATE:
        codes += [INCOMPLETE] if fused.incomplete else []
        undecided = any(image.verdict is Verdict.INDETERMINATE for image in images)
        codes += [IMAGE_INDETERMINATE] if undecided else []
    return tuple(codes)
