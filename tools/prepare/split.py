"""8:1:1 by whole groups, every kind of picture in its share as far as the groups allow."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from mammosono.tools.data.index import SPLITS
from mammosono.tools.prepare.groups import by_group

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
_STRICTEST = ("test", "val", "train")


def assign(
    strata: Sequence[str], groups: Sequence[str], seed: int, kept: Sequence[str | None] = ()
) -> list[str]:
    """train, val or test for each picture; the pictures of a group get the same.

    strata: what should be spread evenly, such as modality and label. kept: a split that stays as
    given, None where there is none; a group of which it says different things goes whole to the
    strictest (test, then val). Where kept knows no val, it is taken from the kept train.

    Groups are dealt out from large to small, by a hash of seed and name among equals, each to
    the split that lacks most of what it holds. The same groups get the same, in whatever order.
    """
    members = by_group(groups)
    given = kept or [None] * len(strata)
    chosen = {name: _strictest([given[k] for k in places]) for name, places in members.items()}
    pools: list[tuple[str | None, tuple[str, ...]]] = [(None, SPLITS)]
    if any(chosen.values()) and "val" not in chosen.values():
        pools.append(("train", ("train", "val")))
    for was, splits in pools:
        names = [name for name, split in chosen.items() if split == was]
        contents = {name: Counter(strata[k] for k in members[name]) for name in names}
        chosen.update(_deal(contents, splits, seed))
    return [chosen[name] or "" for name in groups]


def _strictest(splits: Sequence[str | None]) -> str | None:
    return next((split for split in _STRICTEST if split in splits), None)


def _deal(contents: dict[str, Counter[str]], splits: tuple[str, ...], seed: int) -> dict[str, str]:
    """contents: how many pictures of each stratum a group holds. Returns each group's split."""
    total = sum(contents.values(), Counter())
    part = sum(SHARES[split] for split in splits)
    want = {
        (split, stratum): count * SHARES[split] / part
        for split in splits
        for stratum, count in total.items()
    }
    lack = dict(want)
    chosen = {}
    for name in sorted(contents, key=lambda n: (-contents[n].total(), _draw(seed, n), n)):
        held = contents[name]
        needs = {
            split: sum(n * lack[split, k] / want[split, k] for k, n in held.items())
            for split in splits
        }
        chosen[name] = max(splits, key=needs.__getitem__)
        for stratum, count in held.items():
            lack[chosen[name], stratum] -= count
    return chosen


def _draw(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}\t{name}".encode()).hexdigest()
