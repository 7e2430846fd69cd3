"""Phantoms on disk: an index that reads like that of real data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from mammosono.appliance.intake import read_image
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.draw import draw_index
from mammosono.tools.data.index import LABELS, Record, read_index
from mammosono.tools.data.sample import load_sample


@pytest.fixture(scope="module")
def records(phantom_index: Path) -> tuple[Record, ...]:
    """Twelve of each modality, from seed 5."""
    return read_index(phantom_index)


def test_every_modality_label_and_split_is_there(records: tuple[Record, ...]) -> None:
    counts = Counter((r.modality, r.label, r.split) for r in records)
    assert counts == {
        (modality, label, split): count
        for modality in Modality
        for label in LABELS
        for split, count in (("train", 2), ("val", 1), ("test", 1))
    }


def test_pictures_belong_to_nobody_and_each_is_a_case_of_its_own(
    records: tuple[Record, ...],
) -> None:
    assert {r.source for r in records} == {"phantom"}
    assert len({r.case for r in records}) == len(records) == 24


def test_the_pictures_are_the_phantoms_of_their_seeds(records: tuple[Record, ...]) -> None:
    for modality, size in ((Modality.MG, (1024, 640)), (Modality.US, (480, 560))):
        second = [r for r in records if r.modality is modality][1]
        drawn = phantom(modality, 6, Label.MALIGNANT, height=size[0], width=size[1])
        image = read_image(second.image.read_bytes(), modality)
        assert second.label == "malignant"
        assert np.array_equal(image.pixels, drawn.pixels)


def test_masks_are_exact_and_boxes_enclose_them(records: tuple[Record, ...]) -> None:
    for record in records:
        assert bool(record.masks) == (record.label != "normal")
        assert len(record.masks) == len(record.lesions)
        for path, mark in zip(record.masks, record.lesions, strict=True):
            mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert set(np.unique(mask)) == {0, 255}
            x, y, w, h = cv2.boundingRect(mask)
            assert mark.box == (x, y, x + w, y + h)
            assert mark.label.value == record.label


def test_the_trainer_can_load_them(records: tuple[Record, ...]) -> None:
    for record in (records[1], records[-1]):
        sample = load_sample(record, (96, 64), denoised=False)
        assert len(sample.lesions) == len(record.masks)


def test_the_same_seed_draws_the_same_bytes(phantom_index: Path, tmp_path: Path) -> None:
    again = draw_index(tmp_path, count=2, seed=5).parent
    for file in again.glob("*.png"):
        assert file.read_bytes() == (phantom_index.parent / file.name).read_bytes()
    lines = (again / "index.csv").read_text().splitlines()
    assert len(lines) == 5
    assert set(lines) <= set(phantom_index.read_text().splitlines())


def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        draw_index(tmp_path / "file", count=1, seed=1)
    (tmp_path / "full" / "mammogram_00001.png").mkdir(parents=True)
    with pytest.raises(OSError, match="mammogram_00001") as refused:
        draw_index(tmp_path / "full", count=1, seed=1)
    assert refused.value.filename == "mammogram_00001.png"
