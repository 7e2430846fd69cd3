"""Timing of a run, and what is seen of it at a terminal of 80 columns."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

torch = pytest.importorskip("torch", reason="a run is timed on a torch device")

from mammosono.tools.training import display  # noqa: E402
from mammosono.tools.training.display import (  # noqa: E402
    Progress,
    StepTimer,
    Throughput,
    show_epoch,
    step_bar,
)
from mammosono.tools.training.validate import Validation  # noqa: E402


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(display, "monotonic", made)
    return made


def test_waiting_is_the_time_between_steps_and_never_that_of_a_step(clock: Clock) -> None:
    def made() -> Iterator[int]:
        for k in range(3):
            clock.now += 1.0  # an image is being made
            yield k

    watch = StepTimer(torch.device("cpu"))
    paces = []
    for _ in watch.waiting_for(made()):
        clock.now += 3.0  # the network learns
        paces.append(watch.add(8))
    assert [seen.wait_share for seen in paces] == pytest.approx([0.25] * 3)
    assert [seen.images_per_second for seen in paces] == pytest.approx([2.0] * 3)
    assert {seen.gpu_memory_gib for seen in paces} == {None}


def test_data_that_is_there_is_not_waited_for(clock: Clock) -> None:
    watch = StepTimer(torch.device("cpu"))
    for _ in watch.waiting_for(iter([1, 2])):
        clock.now += 1.0
    assert watch.add(2).wait_share == 0


def shown(seen: Progress) -> str:
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=True, color_system=None)
    with step_bar(console) as on_step:
        on_step(seen)
    return text.getvalue()


@pytest.mark.parametrize("left", [30.0, 3600.0, 90 * 3600.0])
def test_speed_waiting_memory_and_time_left_are_in_sight(left: float) -> None:
    parts = {"rpn_class": 0.25, "mask": 1.0, "image": 12.0}
    throughput = Throughput(123.4, 0.071, 71.25)
    line = shown(Progress(39, 40, 1299, 1300, parts, 0.5, throughput, left))
    for said in ("epoch 39/40", "1299/1300", "loss 13.25", "123.4 img/s", "wait 7%", "71.2 GiB"):
        assert said in line
    assert {30.0: "0 min left", 3600.0: "60 min left", 90 * 3600.0: "90 h left"}[left] in line


def test_without_a_gpu_there_is_no_memory_to_show() -> None:
    line = shown(Progress(1, 2, 3, 4, {"mask": 1.0}, 0.5, Throughput(9.0, 0.5, None), 60.0))
    assert "GiB" not in line
    assert "9.0 img/s wait 50% 1 min left" in line


def test_an_epochs_line_stays_with_what_validation_showed() -> None:
    text = io.StringIO()
    means = {"mask": 0.5, "box": 0.25, "accuracy": 0.875}
    seen = Validation({"MG": 0.75}, {"MG": 0.5})
    show_epoch(Console(file=text, width=120), 3, means, seen)
    assert text.getvalue() == (
        "epoch 3: loss 0.750, accuracy 0.875; val AUC MG 0.750, Dice MG 0.500\n"
    )
