"""Which pictures must stay on one side of the split: those of a patient, and near-duplicates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from mammosono.appliance.values import Modality
from mammosono.tools.prepare.entry import Entry
from mammosono.tools.prepare.near import near_pairs

MAX_DISTANCE = {Modality.MG: 4, Modality.US: 8}
"""Differing bits of the 64 up to which two pictures count as near-duplicates. Measured: of BUSI's
251 pairs known to show one lesion 8 bits find 167, with 2 pairs of others among 230 000; mammograms
look more alike: in 1424 CBIS-DDSM films 4 bits join 2 pairs of two patients, 8 bits 192."""


def group_names(entries: Sequence[Entry]) -> list[str]:
    """For each entry the name of its group: the first by name of the cases that it joins.

    Cases of equal text are one case, whatever their source. Near-duplicates are looked for within
    a modality.
    """
    parent = {entry.case: entry.case for entry in entries}
    for modality, distance in MAX_DISTANCE.items():
        own = [entry for entry in entries if entry.modality == modality.value]
        for i, j in near_pairs([entry.phash for entry in own], distance):
            _join(parent, own[i].case, own[j].case)
    return [_root(parent, entry.case) for entry in entries]


def by_group(names: Iterable[str]) -> dict[str, list[int]]:
    """The places of each group's members."""
    groups: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        groups[name].append(place)
    return dict(groups)


def _root(parent: dict[str, str], case: str) -> str:
    while parent[case] != case:
        parent[case] = parent[parent[case]]
        case = parent[case]
    return case


def _join(parent: dict[str, str], a: str, b: str) -> None:
    first, last = sorted((_root(parent, a), _root(parent, b)))
    parent[last] = first
