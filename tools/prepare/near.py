"""All pairs of 64-bit hashes that differ in few bits, without comparing every pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

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
