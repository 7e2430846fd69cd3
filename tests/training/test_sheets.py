"""Contact sheets: which images, how small, and what is drawn where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelled_world import World, busi, finding
from typer.testing import CliRunner

from mammosono.tools.cli import app
from mammosono.tools.data.index import read_index
from mammosono.tools.evaluation.evaluate import Terms
from mammosono.tools.evaluation.files import write_evaluation
from mammosono.tools.evaluation.roles import Roles
from mammosono.tools.report.evaluation_folder import StoredEvaluation, read_evaluation
from mammosono.tools.report.pictures import best, worst
from mammosono.tools.report.sheets import (
    CAPTION_PX,
    COLUMNS,
    GAP_PX,
    LARGEST_BYTES,
    ROWS,
    TILE_PX,
    sheet,
    write_sheets,
)


def hospitals() -> World:
    world = busi()
    found = finding((20, 20, 20, 20), 0.1)
    world.add("malignant", 0.1, found, source="One Kind & co.", lesions=[(20, 20, 20, 20)])
    world.add("malignant", 0.1, source="One Kind & co.", lesions=[(20, 20, 20, 20)])
    return world


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sheets")
    world = hospitals()
    world.write(out)
    trained = frozenset({"BUSI", "One Kind & co."})
    roles = Roles(trained, frozenset({"One Kind & co."}))
    write_evaluation(world.search(Terms(roles)), out / "evaluation")
    return out


@pytest.fixture(scope="module")
def stored(folder: Path) -> StoredEvaluation:
    return read_evaluation(folder / "evaluation")


def test_each_hospital_has_its_best_worst_missed_and_false_and_no_empty_sheet(
    folder: Path, stored: StoredEvaluation, tmp_path: Path
) -> None:
    records = {r.name: r for r in read_index(folder / "index.csv")}
    written = write_sheets(stored, records, tmp_path)
    shown = {file.name: [i.name for i in choice.images] for file, choice in written.items()}
    assert shown == {
        "busi-best.webp": ["1.png", "4.png", "0.png", "2.png", "3.png"],
        "busi-worst.webp": ["0.png", "1.png", "4.png"],
        "busi-missed.webp": ["2.png"],
        "busi-missed-lesions.webp": ["2.png", "3.png"],
        "busi-false-alarms.webp": ["3.png"],
        # Of a source of lesions alone no image is missed or false by its kind.
        "one-kind-co-best.webp": ["6.png", "7.png"],
        "one-kind-co-worst.webp": ["6.png"],
        "one-kind-co-missed-lesions.webp": ["7.png"],
    }
    for file in written:
        assert file.stat().st_size < LARGEST_BYTES
        height = cv2.imread(str(file)).shape[0]
        lines = -(-len(shown[file.name]) // COLUMNS)
        assert height == lines * (TILE_PX + CAPTION_PX + GAP_PX) + GAP_PX


def test_a_case_is_on_a_sheet_once(stored: StoredEvaluation) -> None:
    images = [replace(image, case="one") for image in stored.images]
    assert len(best(images, 12).images) == len(worst(images, 12).images) == 1
    assert best(stored.images, 12).images[0].dice == 1
    assert worst(stored.images, 12).images[0].dice == pytest.approx(0.5)


def test_truth_and_findings_are_drawn_in_the_one_tile(
    folder: Path, stored: StoredEvaluation
) -> None:
    records = {r.name: r for r in read_index(folder / "index.csv")}
    image = next(i for i in stored.images if i.name == "3.png")  # lesion at 20, finding at 200
    marked = sheet([(records["3.png"], image)]).astype(int)
    plain = sheet([(records["3.png"], replace(image, lesions=(), findings=()))]).astype(int)
    assert marked.shape[1] == COLUMNS * (TILE_PX + GAP_PX) + GAP_PX
    changed = np.abs(marked - plain).max(axis=2)[GAP_PX:, GAP_PX:][:TILE_PX, :TILE_PX] > 90
    scale = TILE_PX / 256
    near = changed[: round(48 * scale), : round(48 * scale)]
    far = changed[round(190 * scale) :, round(190 * scale) :]
    assert near.any()
    assert far.any()
    assert changed.sum() == near.sum() + far.sum()


def test_the_largest_sheet_of_noise_is_small_enough(
    folder: Path, stored: StoredEvaluation, tmp_path: Path
) -> None:
    records = {r.name: r for r in read_index(folder / "index.csv")}
    noise = np.random.default_rng(1).integers(0, 256, (500, 500), np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    record = replace(records["3.png"], image=tmp_path / "noise.png")
    image = next(i for i in stored.images if i.name == "3.png")
    many = [replace(image, name=f"{k}", case=f"{k}") for k in range(COLUMNS * ROWS)]
    written = write_sheets(
        replace(stored, images=tuple(many)), dict.fromkeys((i.name for i in many), record), tmp_path
    )
    assert max(file.stat().st_size for file in written) < LARGEST_BYTES


def test_the_command_names_what_it_drew(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app,
        ["contact-sheets", str(folder / "evaluation"), "--data", str(folder / "index.csv"),
         "--out", str(tmp_path)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "busi-missed.webp: 1 of 1" in done.output
