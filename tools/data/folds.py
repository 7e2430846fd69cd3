"""Folds of a run's images by whole case, alike in sources and labels.

What trained nothing can be judged on: a network trained on all folds but one reads that one, and so
every image is read by a network that has not seen its case. Kohavi, "A study of cross-validation
and bootstrap for accuracy estimation and model selection", IJCAI 1995.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from mammosono.tools.data.index import LABELS, Record

SPLITS = ("train", "val")
"""What is divided anew; test stays as it is."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Fold `number` (from 1) of `count`. Raises ValueError if there is no such fold."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count or self.count < 2:
            raise ValueError("--fold is K/N, for example 1/5: of at least 2 folds one")

    @classmethod
    def parse(cls, text: str) -> Fold:
        """Of `K/N`. Raises ValueError."""
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise ValueError("--fold is K/N, for example 1/5")
        return cls(int(number), int(count))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def refold(records: Sequence[Record], sources: Collection[str], fold: Fold) -> tuple[Record, ...]:
    """The records, those of train and val of the sources divided anew: the fold is val, all else
    train. Whatever else there is stays as it is.

    A case is in one fold. Cases are dealt out by source and their gravest label, in an order that
    hangs on their names alone.
    """
    divided = [r for r in records if r.source in sources and r.split in SPLITS]
    of_case = _fold_of_cases(divided, fold.count)
    names = {record.name for record in divided}
    return tuple(
        replace(record, split="val" if of_case[record.case] == fold.number else "train")
        if record.name in names
        else record
        for record in records
    )


def _fold_of_cases(records: Sequence[Record], count: int) -> dict[str, int]:
    images: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        images[record.case].append(record)
    strata: defaultdict[tuple[str, str, int], list[str]] = defaultdict(list)
    for case, own in images.items():
        gravest = max(LABELS.index(record.label) for record in own)
        strata[own[0].modality.value, own[0].source, gravest].append(case)
    out: dict[str, int] = {}
    dealt = 0
    for _, cases in sorted(strata.items()):
        for case in sorted(cases, key=_order):
            # Dealt on from stratum to stratum: else all that is over goes to the first folds.
            out[case] = dealt % count + 1
            dealt += 1
    return out


def _order(case: str) -> str:
    return hashlib.sha256(case.encode()).hexdigest()
