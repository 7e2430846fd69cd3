"""The sweep: its cells, its measures, what it does again and what it prints."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the sweep trains with torch")
pytest.importorskip("pycocotools", reason="boxes are judged by pycocotools")

import tiny  # noqa: E402
from test_tools_cli import refused, run  # noqa: E402
from tiny_bundle import drawn_network  # noqa: E402

from mammosono.appliance.pipeline.detector.detector import Detections  # noqa: E402
from mammosono.appliance.values import Label, Modality  # noqa: E402
from mammosono.tools.commands.sweep import CellName  # noqa: E402
from mammosono.tools.data.index import Record  # noqa: E402
from mammosono.tools.data.sample import Sample  # noqa: E402
from mammosono.tools.evaluation.coco import box_average_precision  # noqa: E402
from mammosono.tools.network.config import preset  # noqa: E402
from mammosono.tools.network.model import RefinedMaskRcnn  # noqa: E402
from mammosono.tools.sweep import run as sweeping  # noqa: E402
from mammosono.tools.sweep.cells import (  # noqa: E402
    CELLS,
    balanced,
    cell_config,
)
from mammosono.tools.sweep.measure import boundary_f, measure  # noqa: E402
from mammosono.tools.sweep.run import FIGURES, Task, as_markdown, finished, rows, write  # noqa: E402
from mammosono.tools.training import datasets as material  # noqa: E402
from mammosono.tools.training.display import CurveFiles, Progress  # noqa: E402
from mammosono.tools.training.targets import mask_target  # noqa: E402

SIZE = (320, 224)
TINY = (96, 64)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CurveFiles, "_draw", lambda *_: None)


# The cells


def test_every_cell_is_the_base_with_one_thing_changed() -> None:
    base = asdict(cell_config(CELLS[0], 1, 2, SIZE))
    changed = {
        cell.name: differences(base, asdict(cell_config(cell, 1, 2, SIZE))) for cell in CELLS[1:]
    }
    assert changed == {
        "alpha-1": {"loss.box_alpha"},
        "denoise-off": {"views"},
        "fused": {"network.geometry.roi_levels"},
        "dilated": {
            "network.geometry.pyramid_strides",
            "network.geometry.rpn_strides",
            "network.stage_strides",
        },
        "alpha-0.5": {"loss.box_alpha"},
        "alpha-1.5": {"loss.box_alpha"},
        "gaussian": {"loss.box_kernel"},
        "denoise-only": {"views"},
    }
    assert {cell.name for cell in CELLS} == {name.value for name in CellName}


def differences(a: dict[str, Any], b: dict[str, Any], inside: str = "") -> set[str]:
    found: set[str] = set()
    for name in a:
        if isinstance(a[name], dict):
            found |= differences(a[name], b[name], f"{inside}{name}.")
        elif a[name] != b[name]:
            found.add(inside + name)
    return found


def test_the_base_is_the_preset_at_half_its_scale() -> None:
    geometry = cell_config(CELLS[0], 1, 2, SIZE).network.geometry
    full = preset("compact").network.geometry
    assert geometry.input_size == SIZE
    assert np.allclose(np.array(geometry.anchor_sizes) * 2, full.anchor_sizes)
    assert np.allclose(np.array(geometry.roi_level_sizes) * 2, full.roi_level_sizes)
    # The table chose this of the preset; a base that followed would not be comparable with it.
    assert (geometry.roi_levels, full.roi_levels) == ("by_size", "fused")


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_every_cell_can_be_built(cell) -> None:
    config = replace(cell_config(cell, 1, 2, SIZE), pretrained=False)
    with torch.device("meta"):
        RefinedMaskRcnn(config.network)


# The measures


def square(left: int, top: int, side: int) -> np.ndarray:
    mask = np.zeros((60, 60), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_an_outline_is_followed_within_the_tolerance_or_not() -> None:
    truth = square(10, 10, 30)
    assert boundary_f(truth, truth, 0) == 1
    assert boundary_f(truth, square(12, 10, 30), 2) == 1
    assert boundary_f(truth, square(13, 13, 30), 2) < 0.2
    assert boundary_f(truth, np.zeros_like(truth), 2) == 0
    assert math.isnan(boundary_f(np.zeros_like(truth), np.zeros_like(truth), 2))


def test_the_outline_score_is_the_harmonic_mean_of_both_directions() -> None:
    """Two squares share a corner: of either outline the 31 common pixels are near, and two more
    at each end, which is most of the small one's 60 and few of the large one's 120."""
    small, large = square(10, 10, 16), square(10, 10, 31)
    precision, recall = 35 / 60, 35 / 120
    expected = 2 * precision * recall / (precision + recall)
    assert boundary_f(large, small, 2) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_outline_score_is_symmetric_and_grows_with_the_tolerance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (
        cv2.GaussianBlur(rng.random((40, 40)).astype(np.float32), (0, 0), 4) > 0.5 for _ in "ab"
    )
    scores = [boundary_f(a, b, tolerance) for tolerance in (0.0, 1.0, 2.0, 100.0)]
    assert scores == sorted(scores)
    assert boundary_f(b, a, 2.0) == pytest.approx(boundary_f(a, b, 2.0))
    assert all(0 <= score <= 1 for score in scores)


def boxes(*corners: tuple[float, ...]) -> np.ndarray:
    return np.array(corners, np.float32).reshape(-1, 4)


def test_average_precision_of_boxes_that_are_right_wrong_and_half_right() -> None:
    truth = [boxes((10, 10, 30, 30)), boxes((5, 5, 25, 25), (40, 40, 60, 60)), boxes()]
    sure = [np.full(len(t), 0.9, np.float32) for t in truth]
    assert box_average_precision(truth, truth, sure) == (1.0, 1.0)
    assert box_average_precision(truth, [boxes()] * 3, [s[:0] for s in sure]) == (0.0, 0.0)
    # IoU 0.6: right at 0.5, 0.55 and 0.6, wrong at the seven thresholds above.
    half = [t + np.array([5, 0, 5, 0], np.float32) for t in truth]
    ap50, ap = box_average_precision(truth, half, sure)
    assert ap50 == pytest.approx(1.0)
    assert ap == pytest.approx(0.3)
    # A false box above all true ones halves what is precise.
    false = [*truth[:2], boxes((0, 0, 9, 9))]
    scores = [*sure[:2], np.array([0.99], np.float32)]
    assert box_average_precision(truth, false, scores)[0] == pytest.approx(0.75, abs=0.01)
    assert all(map(math.isnan, box_average_precision([boxes()], [boxes()], [sure[2]])))


def answers(*lesions: tuple[Sample, float, float]) -> Any:
    """A detector that says of each sample in turn: its lesions, how likely each is one at all,
    and how likely it and the image are malignant."""
    queue = list(lesions)

    class Told:
        def __init__(self, *_: object) -> None:
            pass

        def detect(self, _canvas: np.ndarray, _threshold: float) -> Detections:
            sample, lesion, malignant = queue.pop(0)
            found = [cv2.boundingRect(one.mask) for one in sample.lesions]
            places = boxes(*((x, y, x + w, y + h) for x, y, w, h in found))
            masks = [
                mask_target(one.mask, box, 56)
                for one, box in zip(sample.lesions, places, strict=True)
            ]
            share = np.full(len(places), malignant, np.float32)
            image = np.array([0, 1 - malignant, malignant], np.float32)
            shape = np.array(masks, np.float32).reshape(-1, 56, 56)
            return Detections(image, places, np.float32(lesion) - share, share, shape)

    return Told


def test_a_network_is_measured_by_modality(monkeypatch: pytest.MonkeyPatch) -> None:
    lesion, other = (30.0, 45.0, 14.0), (25.0, 30.0, 10.0)
    benign, malignant, normal = (
        tiny.disc_sample(*discs, label=label, modality=modality)
        for discs, label, modality in (
            ((lesion,), Label.BENIGN, Modality.MG),
            ((lesion,), Label.MALIGNANT, Modality.MG),
            ((), None, Modality.MG),
        )
    )
    blind = replace(tiny.disc_sample(other, modality=Modality.US), lesions=())
    missed = tiny.disc_sample(other, modality=Modality.US)
    said = answers((benign, 0.9, 0.3), (malignant, 0.9, 0.6), (normal, 0.0, 0.1), (blind, 0.0, 0.0))
    monkeypatch.setattr("mammosono.tools.sweep.measure.Detector", said)
    shown = [benign, malignant, normal, missed]
    figures = measure(drawn_network(), shown, tiny.TRAIN)
    films, scans = figures["MG"], figures["US"]
    assert (films.n, scans.n) == (3, 1)
    assert films.dice > 0.97
    assert films.boundary_f > 0.99
    assert films.threshold <= 0.9
    assert (films.ap50, films.ap, films.auc) == (pytest.approx(1), pytest.approx(1), 1.0)
    assert (scans.dice, scans.boundary_f, scans.ap50, scans.ap) == (0, 0, 0, 0)
    assert math.isnan(scans.auc)


# The images


def test_a_balanced_part_takes_as_many_of_each_source_and_label(tmp_path: Path) -> None:
    kinds = [("A", "benign")] * 10 + [("A", "malignant")] * 3 + [("B", "benign")] * 5
    made = [
        Record(Modality.US, label, f"{k}.png", tmp_path, (), (), str(k), source, "train")
        for k, (source, label) in enumerate(kinds)
    ]
    chosen = balanced(made, 4)
    assert [r.name for r in chosen] == [
        f"{k}.png" for k in (0, 2, 5, 7, 10, 11, 12, 13, 14, 15, 16)
    ]
    assert balanced(made, 100) == made


# The runs


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    """Four pictures and the tiny network in place of compact."""
    monkeypatch.setattr(
        "mammosono.tools.sweep.cells.preset", lambda _: replace(tiny.TRAIN, epochs=1)
    )
    views = [
        replace(s, views=(s.views[0], s.views[0] // 2))
        for s in (
            tiny.disc_sample((30, 45, 14), label=label, modality=modality)
            for modality in Modality
            for label in (Label.BENIGN, Label.MALIGNANT)
        )
    ]
    return Task(1, TINY, views * 2, views)


CHOSEN = [cell for cell in CELLS if cell.name in ("base", "alpha-1")]


def nothing(*_: object) -> None:
    pass


def test_the_first_seed_of_every_cell_comes_first_and_what_is_done_is_kept(
    task: Task, tmp_path: Path
) -> None:
    done: list[str] = []
    assert sweeping.sweep(tmp_path, CHOSEN, 2, task, nothing, lambda name, _: done.append(name))
    assert done == ["base-1", "alpha-1-1", "base-2", "alpha-1-2"]
    for name in done:
        assert {"config.json", "best.pt", FIGURES} <= {f.name for f in (tmp_path / name).iterdir()}
        assert not (tmp_path / name / "last.pt").exists()
    result = json.loads((tmp_path / "base-2" / FIGURES).read_text())
    assert set(result["figures"]) == {"denoised", "raw"}
    assert (result["seed"], result["images"]) == (2, 8)
    (tmp_path / "alpha-1-1" / FIGURES).unlink()
    again: list[str] = []
    assert sweeping.sweep(tmp_path, CHOSEN, 2, task, nothing, lambda name, _: again.append(name))
    assert again == ["alpha-1-1"]


def test_a_sweep_that_dies_in_a_cell_goes_on_in_that_cell(task: Task, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def die(seen: Progress) -> None:
        if seen.epoch == 2:
            raise Killed

    longer, seen, done = replace(task, epochs=2), [], []
    with pytest.raises(Killed):
        sweeping.sweep(tmp_path, CHOSEN[:1], 1, longer, die, nothing)
    assert not (tmp_path / "base-1" / FIGURES).exists()
    assert sweeping.sweep(
        tmp_path, CHOSEN[:1], 1, longer, seen.append, lambda name, _: done.append(name)
    )
    assert done == ["base-1"]
    assert {progress.epoch for progress in seen} == {2}


# The table


def result(cell: str, seed: int, dice: float) -> dict[str, Any]:
    figures = {"n": 9, "dice": dice, "boundary_f": 0.3, "ap50": 0.2, "ap": 0.1, "auc": 0.75}
    return {
        "cell": cell, "what": f"what {cell} is", "seed": seed, "epochs": 2, "images": 100,
        "input_size": [320, 224], "seconds": 60.0, "figures": {"denoised": {"MG": figures}},
    }  # fmt: skip


def test_the_table_gives_mean_and_spread_over_seeds(tmp_path: Path) -> None:
    for cell, seed, dice in (
        ("fused", 1, 0.5), ("base", 2, 0.4), ("base", 1, 0.2), ("base", 3, 0.3),
    ):  # fmt: skip
        folder = tmp_path / f"{cell}-{seed}"
        folder.mkdir()
        (folder / FIGURES).write_text(json.dumps(result(cell, seed, dice)))
    found = rows(finished(tmp_path))
    assert [(row["cell"], row["seeds"]) for row in found] == [("base", 3), ("fused", 1)]
    assert found[0]["mean"]["dice"] == pytest.approx(0.3)
    assert found[0]["spread"]["dice"] == pytest.approx(0.1)
    assert math.isnan(found[1]["spread"]["dice"])
    text = write(tmp_path)
    assert "| base | what base is | denoised | 3 | 0.300 ± 0.100 | 0.300 ± 0.000 |" in text
    assert "| fused | what fused is | denoised | 1 | 0.500 | 0.300 |" in text
    assert "boundary F (2 px)" in text
    assert "n = 9" in text
    assert (tmp_path / "table.md").read_text() == text
    entries = json.loads((tmp_path / "table.json").read_text())
    assert entries[1]["spread"]["dice"] is None
    shown = run("sweep", "--out", tmp_path, "--show")
    assert (shown.exit_code, shown.stdout) == (0, text)


def test_nothing_done_is_said(tmp_path: Path) -> None:
    assert as_markdown([]) == "No cell is done yet.\n"
    assert "no sweep" in refused("sweep", "--out", tmp_path / "none", "--show")
    assert "--data" in refused("sweep", "--out", tmp_path)
    (tmp_path / "base-1").mkdir()
    (tmp_path / "base-1" / FIGURES).write_text("{")
    assert "damaged" in refused("sweep", "--out", tmp_path, "--show")


def test_the_command_goes_from_an_index_to_a_table(
    phantom_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mammosono.tools.sweep.cells.preset", lambda _: tiny.TRAIN)
    monkeypatch.setattr(material, "PHANTOMS", 2)
    command = (
        "sweep", "--data", phantom_index, "--source", "phantom", "--out", tmp_path / "sweep",
        "--seeds", 1, "--cells", "base", "--epochs", 1, "--size", "96x64", "--most", 2,
    )  # fmt: skip
    made = run(*command)
    assert made.exit_code == 0, made.output
    assert "base-1: " in made.stdout
    assert "### MG" in made.stdout
    assert (tmp_path / "sweep" / "table.md").exists()
    again = run(*command)
    assert again.exit_code == 0
    assert "base-1: " not in again.stdout
