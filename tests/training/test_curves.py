"""Training curves: one row an epoch, redrawn each time, through stops and resumes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the curves belong to training")
pytest.importorskip("matplotlib", reason="the curves are drawn with matplotlib")

from mammosono.tools.training.display import CurveFiles, Throughput
from mammosono.tools.training.validate import Validation


def means(loss: float, accuracy: float = 0.5) -> dict[str, float]:
    return {"rpn_class": loss, "mask": loss / 2, "accuracy": accuracy}


SEEN = Validation({"MG": 0.6, "US": 0.9}, {"MG": 0.25, "US": 0.75})


def test_every_epoch_is_a_row_and_the_picture_is_redrawn(tmp_path: Path) -> None:
    curves = CurveFiles(tmp_path)
    curves.add(1, means(2.0), None)
    first = (tmp_path / "curves.png").read_bytes()
    curves.add(2, means(1.5, 0.625), SEEN)
    second = (tmp_path / "curves.png").read_bytes()
    assert [row["epoch"] for row in curves.rows()] == ["1", "2"]
    assert curves.rows()[1] == {
        "epoch": "2",
        "rpn_class": "1.50000",
        "mask": "0.75000",
        "accuracy": "0.62500",
        "val_auc_MG": "0.6000",
        "val_auc_US": "0.9000",
        "val_dice_MG": "0.2500",
        "val_dice_US": "0.7500",
    }
    assert curves.rows()[0]["val_auc_MG"] == ""
    assert first.startswith(b"\x89PNG")
    assert second.startswith(b"\x89PNG")
    assert first != second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.csv", "curves.png"]


def test_the_pace_is_kept_beside_the_losses_and_not_drawn_as_one(tmp_path: Path) -> None:
    curves = CurveFiles(tmp_path)
    curves.add(1, means(2.0), None, Throughput(12.5, 0.0625, None))
    curves.add(2, means(1.0), None, Throughput(25.0, 0.5, 10.5))
    first, second = curves.rows()
    assert (first["images_per_second"], first["wait_share"]) == ("12.5000", "0.0625")
    assert (first["gpu_memory_gib"], second["gpu_memory_gib"]) == ("", "10.5000")


def test_a_resumed_run_goes_on_and_replaces_what_it_repeats(tmp_path: Path) -> None:
    for epoch in (1, 2):
        CurveFiles(tmp_path).add(epoch, means(3.0), SEEN)
    CurveFiles(tmp_path).add(2, means(1.0), None)
    rows = CurveFiles(tmp_path).rows()
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["rpn_class"] for row in rows] == ["3.00000", "1.00000"]
    assert [row["val_auc_MG"] for row in rows] == ["0.6000", ""]


def test_a_part_that_is_never_trained_can_be_drawn(tmp_path: Path) -> None:
    """Without a lesion the mask loss is 0, on an axis of logarithms."""
    curves = CurveFiles(tmp_path)
    curves.add(1, {"rpn_class": 1.0, "mask": 0.0, "accuracy": 0.0}, None)
    curves.add(
        2, {"rpn_class": 0.0, "mask": 0.0, "accuracy": 0.0}, Validation({"MG": math.nan}, {})
    )
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_validation_that_begins_later_gets_its_columns_then(tmp_path: Path) -> None:
    curves = CurveFiles(tmp_path)
    for epoch, seen in ((1, None), (2, Validation({"US": 0.8}, {})), (3, SEEN)):
        curves.add(epoch, means(1.0), seen)
    assert [row["val_auc_US"] for row in curves.rows()] == ["", "0.8000", "0.9000"]
    assert [row["val_dice_MG"] for row in curves.rows()] == ["", "", "0.2500"]


def test_a_folder_without_curves_has_no_rows(tmp_path: Path) -> None:
    assert CurveFiles(tmp_path).rows() == []


@pytest.mark.parametrize(
    ("validation", "score"),
    [
        (SEEN, (0.6 + 0.9 + 0.25 + 0.75) / 4),
        (Validation({"MG": math.nan, "US": 0.8}, {"US": 0.4}), 0.6),
        (Validation({"MG": math.nan}, {}), 0.0),
    ],
)
def test_the_best_epoch_is_chosen_by_the_mean_of_all_defined_figures(
    validation: Validation, score: float
) -> None:
    assert validation.score == pytest.approx(score)
