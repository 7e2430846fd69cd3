"""Near-duplicates, groups, and a split that no group straddles."""

from __future__ import annotations

import random
import time
from collections import Counter

import cv2
import numpy as np
import prepare_layouts as layouts
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.tools.data.index import SPLITS
from mammosono.tools.prepare.item import Entry
from mammosono.tools.prepare.split import (
    MAX_DISTANCE,
    assign,
    by_group,
    group_names,
    near_pairs,
    phash,
)


def entry(name: str, case: str = "", phash: int = 0, modality: str = "US") -> Entry:
    return Entry(
        name=name, stamp="", image=f"{name}.png", sizes=(1,), width=9, height=9, sha256=name,
        phash=phash, modality=modality, label="benign", case=case or name, source="S",
        licence="", split=None, denoised=False, lesions=(), remarks=(),
    )  # fmt: skip


def distance(a: int, b: int) -> int:
    return bin(a ^ b).count("1")


# The hash


def test_a_picture_stored_otherwise_hashes_nearly_the_same_and_another_does_not() -> None:
    picture = layouts.scene(1, 240, 320)
    _, jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, 60))
    again = cv2.resize(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE), (200, 150))
    brighter = (picture.astype(np.uint16) * 180 + 4000).astype(np.uint16)
    assert distance(phash(picture), phash(again)) <= 4
    assert distance(phash(picture), phash(brighter)) <= 4
    others = [distance(phash(picture), phash(layouts.scene(k, 240, 320))) for k in range(2, 12)]
    assert min(others) > max(MAX_DISTANCE.values())


@pytest.mark.parametrize("level", [0, 1, 77, 255])
def test_even_pictures_share_one_hash(level: int) -> None:
    assert phash(np.full((299, 299), level, np.uint8)) == 0
    assert phash(np.full((100, 80), level * 257, np.uint16)) == 0


# Pairs


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8),
    st.integers(0, 12),
    st.integers(0, 2**32),
)
def test_the_pairs_join_exactly_what_lies_within_the_distance(
    seeds: list[int], limit: int, seed: int
) -> None:
    rng = random.Random(seed)
    hashes = list(seeds)
    for _ in range(40):  # copies with some bits flipped, so that there is something to find
        flips = sum(1 << bit for bit in rng.sample(range(64), rng.randrange(0, 16)))
        hashes.append(rng.choice(hashes) ^ flips)
    expected = components(
        len(hashes),
        [
            (i, j)
            for i in range(len(hashes))
            for j in range(i)
            if distance(hashes[i], hashes[j]) <= limit
        ],
    )
    assert components(len(hashes), list(near_pairs(hashes, limit))) == expected


def components(count: int, links: list[tuple[int, int]]) -> set[frozenset[int]]:
    """By flooding, unlike what is tested."""
    neighbours: dict[int, set[int]] = {k: {k} for k in range(count)}
    for i, j in links:
        neighbours[i].add(j)
        neighbours[j].add(i)
    found = set()
    for start in range(count):
        reached, front = {start}, {start}
        while front:
            front = set().union(*(neighbours[k] for k in front)) - reached
            reached |= front
        found.add(frozenset(reached))
    return found


def test_sixty_thousand_tiles_take_seconds() -> None:
    rng = np.random.default_rng(1)
    base = rng.choice(rng.integers(0, 2**63, 50_000, dtype=np.uint64), 60_000)
    flip = np.uint64(1) << rng.integers(0, 64, 60_000).astype(np.uint64)
    hashes = (base ^ flip).tolist()
    begin = time.process_time()
    links = sum(1 for _ in near_pairs(hashes, 4))
    assert links > 20_000
    assert time.process_time() - begin < 15


# Groups


def test_a_group_holds_a_patients_pictures_and_their_near_duplicates() -> None:
    base = phash(layouts.scene(1))
    far = phash(layouts.scene(2))
    assert distance(base, far) > 8
    entries = [
        entry("a", "P2", base),
        entry("b", "P2", far),
        entry("c", "P1", far ^ 0b101),
        entry("d", "P9", base ^ ((1 << 40) - 1)),
        entry("e", "P8", base, modality="MG"),
    ]
    assert group_names(entries) == ["P1", "P1", "P1", "P9", "P8"]


def test_mammograms_are_joined_at_fewer_bits_than_ultrasound() -> None:
    six_bits = 0b111111
    for modality, expected in (("US", ["a", "a"]), ("MG", ["a", "b"])):
        pair = [
            entry("a", phash=0, modality=modality),
            entry("b", phash=six_bits, modality=modality),
        ]
        assert group_names(pair) == expected


# The split

SETS = st.lists(
    st.tuples(
        st.sampled_from(["US/benign", "US/malignant", "MG/benign", "MG/normal"]),
        st.integers(0, 30).map(str),
        st.sampled_from([None, "train", "val", "test"]),
    ),
    min_size=1,
    max_size=120,
)


@settings(max_examples=120, deadline=None)
@given(SETS, st.integers(0, 5), st.booleans())
def test_no_group_straddles_and_every_picture_has_a_split(
    rows: list[tuple[str, str, str | None]], seed: int, keep: bool
) -> None:
    strata, groups, given_splits = map(list, zip(*rows, strict=True))
    splits = assign(strata, groups, seed, given_splits if keep else ())
    assert set(splits) <= set(SPLITS)
    for places in by_group(groups).values():
        assert len({splits[k] for k in places}) == 1


@settings(max_examples=60, deadline=None)
@given(SETS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_split_depends_on_the_seed_and_not_on_the_order(
    rows: list[tuple[str, str, str | None]], seed: int, shuffler: random.Random
) -> None:
    def split(ordered: list[tuple[str, str, str | None]]) -> dict[str, str]:
        strata, groups, _ = map(list, zip(*ordered, strict=True))
        return dict(zip(groups, assign(strata, groups, seed), strict=True))

    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    assert split(rows) == split(shuffled)


def test_every_stratum_is_split_eight_to_one_to_one() -> None:
    strata = ["US/benign"] * 400 + ["US/malignant"] * 100 + ["MG/benign"] * 50
    groups = [f"g{k // 2}" for k in range(550)]
    splits = assign(strata, groups, seed=3)
    for stratum, count in Counter(strata).items():
        for split, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
            held = sum(a == stratum and b == split for a, b in zip(strata, splits, strict=True))
            assert abs(held - share * count) <= 2
    assert assign(strata, groups, seed=4) != splits


def test_a_large_group_does_not_take_a_small_split_with_it() -> None:
    strata = ["MG/normal"] * 1000
    groups = ["giant"] * 300 + [f"g{k}" for k in range(700)]
    counts = Counter(assign(strata, groups, seed=0))
    assert (counts["train"], counts["val"], counts["test"]) == (800, 100, 100)


def test_a_kept_test_set_stays_and_val_is_taken_from_its_train() -> None:
    kept: list[str | None] = ["train"] * 90 + ["test"] * 30
    splits = assign(["MG/benign"] * 120, [f"g{k}" for k in range(120)], 0, kept)
    assert splits[90:] == ["test"] * 30
    assert Counter(splits[:90]) == {"train": 80, "val": 10}


def test_a_group_on_both_sides_of_a_kept_split_goes_whole_to_test() -> None:
    kept = ["train", "test", "val", "train", "train"]
    groups = ["a", "a", "b", "b", "c"]
    assert assign(["x"] * 5, groups, 0, kept) == ["test", "test", "val", "val", "train"]


def test_pictures_without_a_kept_split_are_dealt_out_beside_the_kept() -> None:
    kept: list[str | None] = ["test", "val", "train", *[None] * 100]
    splits = assign(["x"] * 103, [f"g{k}" for k in range(103)], 0, kept)
    assert splits[:3] == ["test", "val", "train"]
    assert Counter(splits[3:]) == {"train": 80, "val": 10, "test": 10}
