"""Which images a report shows: chosen by rank, never by hand.

Of the worst cases at most one image a patient or group of near-duplicates is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mammosono.tools.report.judged import Image


@dataclass(frozen=True, slots=True)
class Chosen:
    """images: those to show; of: how many they were chosen from."""

    images: tuple[Image, ...]
    of: int


def spread(images: Sequence[Image], count: int) -> Chosen:
    """Images with a lesion mask at equal steps of rank by Dice, worst and best included."""
    ranked = sorted((i for i in images if not math.isnan(i.dice)), key=lambda i: (i.dice, i.name))
    if len(ranked) <= count:
        return Chosen(tuple(ranked), len(ranked))
    picked = {round(k * (len(ranked) - 1) / (count - 1)) for k in range(count)}
    return Chosen(tuple(ranked[k] for k in sorted(picked)), len(ranked))


def false_alarms(images: Sequence[Image], count: int) -> Chosen:
    """Positive images without a malignant lesion, the highest score first."""
    wrong = [i for i in images if not i.malignant and i.verdict == "positive"]
    ranked = sorted(wrong, key=lambda i: (-i.score, i.name))
    return _first(ranked, count)


def misses(images: Sequence[Image], count: int) -> Chosen:
    """Malignant images that are not positive: unread ones first, then the lowest score."""
    wrong = [i for i in images if i.malignant and i.verdict != "positive"]
    ranked = sorted(wrong, key=lambda i: (-1.0 if math.isnan(i.score) else i.score, i.name))
    return _first(ranked, count)


def missed_lesions(images: Sequence[Image], count: int) -> Chosen:
    """Images with lesions of which no outline covers any part, the largest lesions first."""
    blind = [i for i in images if i.dice == 0 and i.lesions]
    ranked = sorted(blind, key=lambda i: (-max(x["area"] for x in i.lesions), i.name))
    return _first(ranked, count)


def _first(ranked: Sequence[Image], count: int) -> Chosen:
    cases: dict[str, Image] = {}
    for image in ranked:
        cases.setdefault(image.case, image)
    return Chosen(tuple(cases.values())[:count], len(ranked))
