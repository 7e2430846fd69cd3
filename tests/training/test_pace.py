"""The pace of training: how much of the time went by waiting for data."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch", reason="the pace is that of a torch device")

from mammosono.tools.training import pace  # noqa: E402
from mammosono.tools.training.pace import Stopwatch  # noqa: E402


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pace, "monotonic", made)
    return made


def test_waiting_is_the_time_between_steps_and_never_that_of_a_step(clock: Clock) -> None:
    def made() -> Iterator[int]:
        for k in range(3):
            clock.now += 1.0  # an image is being made
            yield k

    watch = Stopwatch(torch.device("cpu"))
    paces = []
    for _ in watch.waiting_for(made()):
        clock.now += 3.0  # the network learns
        paces.append(watch.add(8))
    assert [seen.wait_share for seen in paces] == pytest.approx([0.25] * 3)
    assert [seen.images_per_second for seen in paces] == pytest.approx([2.0] * 3)
    assert {seen.gpu_memory_gib for seen in paces} == {None}


def test_data_that_is_there_is_not_waited_for(clock: Clock) -> None:
    watch = Stopwatch(torch.device("cpu"))
    for _ in watch.waiting_for(iter([1, 2])):
        clock.now += 1.0
    assert watch.add(2).wait_share == 0
