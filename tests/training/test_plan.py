"""Who works on which draw: every draw once, in the same steps whatever the number of ranks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.tools.training.plan import Plan


@settings(max_examples=100, deadline=None)
@given(
    images=st.integers(1, 300),
    micro=st.integers(1, 5),
    world=st.integers(1, 6),
    passes=st.integers(1, 4),
)
def test_the_ranks_share_each_step_and_nothing_is_left_or_done_twice(
    images: int, micro: int, world: int, passes: int
) -> None:
    batch = micro * world * passes
    ranks = [Plan.of(images, batch, micro, rank, world) for rank in range(world)]
    alone = Plan.of(images, batch, micro)
    assert len({(plan.length, plan.steps) for plan in (*ranks, alone)}) == 1
    for step in range(alone.steps):
        dealt = [draws for plan in ranks for draws in plan.batches(step)]
        assert sorted(d for draws in dealt for d in draws) == [
            d for draws in alone.batches(step) for d in draws
        ]
        assert sorted(map(tuple, dealt)) == sorted(map(tuple, alone.batches(step)))
        if images >= batch:
            assert all(len(plan.batches(step)) == passes for plan in ranks)
    every = [d for s in range(alone.steps) for draws in alone.batches(s) for d in draws]
    assert every == list(range(alone.length))
    assert alone.length == (images - images % batch or images)


def test_a_rank_takes_its_whole_share_at_once_if_nothing_is_said() -> None:
    assert Plan.of(100, 20, None).batches(0) == [range(20)]
    assert Plan.of(100, 20, None, 3, 4).batches(1) == [range(35, 40)]


def test_a_short_epoch_is_one_small_step_that_may_not_reach_every_rank() -> None:
    plans = [Plan.of(3, 8, 2, rank, 4) for rank in range(4)]
    assert [plan.batches(0) for plan in plans] == [[range(2)], [range(2, 3)], [], []]


@pytest.mark.parametrize(("batch", "micro", "world"), [(100, 8, 1), (100, 4, 3), (6, None, 4)])
def test_a_step_that_cannot_be_dealt_out_is_refused(
    batch: int, micro: int | None, world: int
) -> None:
    with pytest.raises(ValueError, match=rf"{batch} images is not a multiple of .* {world} dev"):
        Plan.of(1000, batch, micro, 0, world)


def test_the_papers_batch_fits_one_five_and_twenty_five_devices_and_others_by_micro_batch() -> None:
    for world in (1, 5, 25):
        assert len(Plan.of(1000, 100, 4, 0, world).batches(0)) == 25 // world
    assert len(Plan.of(1000, 100, 5, 0, 4).batches(0)) == 5
    assert len(Plan.of(1000, 100, 25, 0, 2).batches(0)) == 2
