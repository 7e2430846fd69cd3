"""What is seen of a training run at a terminal of 80 columns."""

from __future__ import annotations

import io

import pytest

pytest.importorskip("torch", reason="training needs torch")

from rich.console import Console

from mammosono.tools.training.pace import Pace
from mammosono.tools.training.progress import Progress
from mammosono.tools.training.report import show_epoch, step_bar
from mammosono.tools.training.validate import Glance


def shown(seen: Progress) -> str:
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=True, color_system=None)
    with step_bar(console) as on_step:
        on_step(seen)
    return text.getvalue()


@pytest.mark.parametrize("left", [30.0, 3600.0, 90 * 3600.0])
def test_speed_waiting_memory_and_time_left_are_in_sight(left: float) -> None:
    parts = {"rpn_class": 0.25, "mask": 1.0, "image": 12.0}
    pace = Pace(123.4, 0.071, 71.25)
    line = shown(Progress(39, 40, 1299, 1300, parts, 0.5, pace, left))
    for said in ("epoch 39/40", "1299/1300", "loss 13.25", "123.4 img/s", "wait 7%", "71.2 GiB"):
        assert said in line
    assert {30.0: "0 min left", 3600.0: "60 min left", 90 * 3600.0: "90 h left"}[left] in line


def test_without_a_gpu_there_is_no_memory_to_show() -> None:
    line = shown(Progress(1, 2, 3, 4, {"mask": 1.0}, 0.5, Pace(9.0, 0.5, None), 60.0))
    assert "GiB" not in line
    assert "9.0 img/s wait 50% 1 min left" in line


def test_an_epochs_line_stays_with_what_validation_showed() -> None:
    text = io.StringIO()
    means = {"mask": 0.5, "box": 0.25, "accuracy": 0.875}
    seen = Glance({"MG": 0.75}, {"MG": 0.5})
    show_epoch(Console(file=text, width=120), 3, means, seen)
    assert text.getvalue() == (
        "epoch 3: loss 0.750, accuracy 0.875; val AUC MG 0.750, Dice MG 0.500\n"
    )
