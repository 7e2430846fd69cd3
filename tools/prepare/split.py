"""Split, 8:1:1 by whole groups: near-duplicates found by perceptual hash, groups, shares.

A group is the pictures of a patient and their near-duplicates; every kind of picture comes in its
share as far as the groups allow. Perceptual hash: which of 64 low frequencies of the discrete
cosine transform lie above their median, as in Zauner, "Implementation and benchmarking of
perceptual image hash functions" (2010): 32 x 32 by area, rows and columns 1 to 8 of the transform,
so that brightness plays no part.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.values import Modality
from mammosono.tools.data.index import SPLITS
from mammosono.tools.prepare.item import Entry

_SIDE, _FREQUENCIES = 32, slice(1, 9)


def phash(pixels: NDArray[Any]) -> int:
    """64-bit perceptual hash: pictures that look alike differ in few bits.

    pixels: grey [height, width], any depth. An even picture hashes to 0.
    """
    small = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    spectrum = cv2.dct(small)[_FREQUENCIES, _FREQUENCIES].ravel()
    # What rounding leaves of an even picture must not become a random hash.
    spectrum[np.abs(spectrum) <= 1e-5 * max(float(small.max()), 1e-30) * _SIDE] = 0
    bits = spectrum > np.median(spectrum)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


_BITS = 64
_BLOCK = 2048
"""Rows compared at once inside a band's bucket: bounds the memory, 32 MB of differences."""
_Hashes = NDArray[np.uint64]
_Places = NDArray[np.int64]


def near_pairs(hashes: Sequence[int], distance: int) -> Iterator[tuple[int, int]]:
    """Links (i, j) of which the transitive closure joins all hashes within Hamming `distance`.

    Multi-index hashing (Norouzi, Punjani, Fleet 2012): cut into distance + 1 bands, two hashes
    that near agree in one band at least, so only hashes that share a band are compared. Equal
    hashes are linked in a chain and compared once.
    """
    values, first, of = np.unique(
        np.array(hashes, np.uint64), return_index=True, return_inverse=True
    )
    yield from ((int(first[k]), i) for i, k in enumerate(of.ravel()) if first[k] != i)
    edges = np.linspace(0, _BITS, distance + 2).round().astype(int)
    for low, high in pairwise(edges.tolist()):
        band = (values >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        for bucket in _buckets(band):
            for i, j in _near(values, bucket, distance):
                yield int(first[i]), int(first[j])


def hamming(a: _Hashes, b: _Hashes) -> NDArray[np.uint8]:
    """Differing bits of each of `a` [n] and each of `b` [m]: [n, m]."""
    words = (a[:, np.newaxis] ^ b)[..., np.newaxis].view(np.uint16)
    return np.asarray(_POPCOUNT[words].sum(axis=-1, dtype=np.uint8))


_POPCOUNT = np.array([bin(k).count("1") for k in range(1 << 16)], np.uint8)


def _buckets(band: _Hashes) -> Iterator[_Places]:
    """Places of equal values, where there are two or more."""
    order = np.argsort(band, kind="stable")
    ends = np.flatnonzero(np.diff(band[order])) + 1
    yield from (part for part in np.split(order, ends) if part.size > 1)


def _near(values: _Hashes, bucket: _Places, distance: int) -> Iterator[tuple[int, int]]:
    for top in range(0, bucket.size, _BLOCK):
        rows = bucket[top : top + _BLOCK]
        for left in range(top, bucket.size, _BLOCK):
            columns = bucket[left : left + _BLOCK]
            close = hamming(values[rows], values[columns]) <= distance
            for i, j in np.argwhere(close).tolist():
                if rows[i] < columns[j] or left > top:
                    yield int(rows[i]), int(columns[j])


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
