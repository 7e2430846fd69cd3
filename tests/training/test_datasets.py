"""What a run learns from and what it is watched on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from files import picture, png

from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.index import LesionMark, Record
from mammosono.tools.data.sample import Views
from mammosono.tools.data.truth import BadTruth
from mammosono.tools.training import datasets as material
from mammosono.tools.training.datasets import (
    phantom_samples,
    real_samples,
    required,
    split_material,
)

INPUT = (96, 64)
MARK = LesionMark(Label.BENIGN, (30.0, 30.0, 60.0, 60.0), is_circle=True)


@pytest.fixture(autouse=True)
def few_phantoms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(material, "PHANTOMS", 6)


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """Two sources in three splits, ultrasound; every picture has a grey level of its own."""
    made = []
    for k, (source, split) in enumerate(
        (source, split) for source in "AB" for split in ("train", "train", "val", "test")
    ):
        path = tmp_path / f"{k}.png"
        path.write_bytes(png(np.maximum(picture(64, 64), np.uint8(20 * k))))
        label = "normal" if k % 2 else "benign"
        marks = () if k % 2 else (MARK,)
        made.append(
            Record(Modality.US, label, path.name, path, (), marks, path.stem, source, split)
        )
    return made


def told_nothing(done: int, of: int) -> None:
    pass


def darkest(samples: list) -> list[int]:
    return [int(sample.views[0].min()) for sample in samples]


def test_samples_keep_the_order_of_the_records_and_every_one_is_told(records: list[Record]) -> None:
    told: list[tuple[int, int]] = []
    samples = real_samples(records, INPUT, lambda *seen: told.append(seen))
    assert darkest(samples) == sorted(darkest(samples))
    assert len(set(darkest(samples))) == 8
    assert told == [(k, 8) for k in range(1, 9)]


def test_a_sample_has_its_noisy_and_its_denoised_view(records: list[Record]) -> None:
    noisy, clean = real_samples(records[:1], INPUT, told_nothing)[0].views
    assert noisy.shape == clean.shape
    assert not np.array_equal(noisy, clean)


@pytest.mark.parametrize(("views", "which"), [("only", 1), ("off", 0)])
def test_a_sample_may_have_one_of_its_views_alone(
    records: list[Record], views: Views, which: int
) -> None:
    both = real_samples(records[:1], INPUT, told_nothing)[0].views
    (view,) = real_samples(records[:1], INPUT, told_nothing, views)[0].views
    assert np.array_equal(view, both[which])


def test_a_picture_that_is_already_denoised_is_not_denoised_again(records: list[Record]) -> None:
    stored = replace(records[0], denoised=True)
    (raw,) = real_samples(records[:1], INPUT, told_nothing, "off")[0].views
    (view,) = real_samples([stored], INPUT, told_nothing)[0].views
    assert np.array_equal(view, raw)
    with pytest.raises(ValueError, match="--denoised off needs the raw ones"):
        real_samples([stored], INPUT, told_nothing, "off")


def test_a_lesion_that_nobody_located_is_never_taught_as_background(records: list[Record]) -> None:
    lost = replace(records[0], lesions=(), label="malignant")
    samples = real_samples([lost, *records[1:]], INPUT, told_nothing)
    assert darkest(samples) == darkest(real_samples(records[1:], INPUT, told_nothing))


def test_an_image_that_cannot_be_read_is_refused_by_name(records: list[Record]) -> None:
    records[3].image.write_bytes(b"not a picture")
    with pytest.raises(BadTruth, match=r"3\.png"):
        real_samples(records, INPUT, told_nothing)


def test_a_run_learns_from_train_and_phantoms_and_is_watched_on_val(
    records: list[Record],
) -> None:
    train, val = split_material(records, ("A",), INPUT, told_nothing)
    assert [s.source for s in train] == ["A", "A"] + 6 * ["phantom"]
    assert darkest(train[:2] + val) == darkest(real_samples(records[:3], INPUT, told_nothing))


def test_the_cut_between_train_and_val_counts_the_records_left_out(records: list[Record]) -> None:
    lost = replace(records[0], lesions=(), label="malignant")
    train, val = split_material([lost, *records[1:]], ("A", "B"), INPUT, told_nothing)
    assert [s.source for s in train if s.source != "phantom"] == ["A", "B", "B"]
    assert [s.source for s in val] == ["A", "B"]


def test_nothing_of_test_is_ever_opened(records: list[Record]) -> None:
    for record in records:
        if record.split == "test":
            record.image.unlink()
    split_material(records, ("A", "B"), INPUT, told_nothing)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_run_without_a_split_is_refused(split: str, records: list[Record]) -> None:
    others = [r for r in records if r.split != split]
    with pytest.raises(ValueError, match=f"no {split} image of A or B: .*--source"):
        split_material(others, ("A", "B"), INPUT, told_nothing)
    with pytest.raises(ValueError, match=f"no {split} image of C"):
        required(records, split, ("C",))


def test_phantoms_come_in_both_modalities_and_every_label_alike() -> None:
    samples = phantom_samples(INPUT)
    kinds = [(s.modality, s.label) for s in samples]
    assert len(kinds) == len(set(kinds)) == 6
    assert all(bool(s.lesions) == (s.label != "normal") for s in samples)
    assert all(lesion.exact for s in samples for lesion in s.lesions)


def test_phantoms_are_the_same_every_time_and_others_for_another_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(material, "PHANTOMS", 1)
    first, again, other = (phantom_samples(INPUT, seed)[0].views[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert cv2.absdiff(first, np.zeros_like(first)).max() > 100  # there is something to see
