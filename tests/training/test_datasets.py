"""Data of a run: samples, reproducible draws balanced over source and label, dealt to the ranks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from files import picture, png
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="draws and batches are torch's")

import tiny  # noqa: E402

from mammosono.appliance.values import Label, Modality  # noqa: E402
from mammosono.tools.data.index import LesionMark, Record  # noqa: E402
from mammosono.tools.data.sample import Sample, Views, load_sample  # noqa: E402
from mammosono.tools.data.sample_store import SampleStore  # noqa: E402
from mammosono.tools.data.truth import BadTruth  # noqa: E402
from mammosono.tools.training import datasets as material  # noqa: E402
from mammosono.tools.training.datasets import (  # noqa: E402
    Draws,
    Plan,
    draw_weights,
    phantom_samples,
    real_samples,
    required,
    split_material,
    stack_images,
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


def asked_again(*_: object, **__: object) -> Sample:
    raise AssertionError("the sample was kept")


def test_a_kept_sample_is_the_one_that_was_made(
    records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SampleStore(tmp_path / "kept", "this canvas")
    made = real_samples(records, INPUT, told_nothing, store=store)
    with monkeypatch.context() as patch:
        patch.setattr(material, "load_sample", asked_again)
        kept = real_samples(records, INPUT, told_nothing, store=store)
    for one, other in zip(made, kept, strict=True):
        assert (one.source, one.label, one.enlarge) == (other.source, other.label, other.enlarge)
        assert one.modality is other.modality
        assert all(map(np.array_equal, one.views, other.views))
        assert [(x.label, x.exact) for x in one.lesions] == [
            (x.label, x.exact) for x in other.lesions
        ]
        assert all(
            np.array_equal(x.mask, y.mask) for x, y in zip(one.lesions, other.lesions, strict=True)
        )


def test_a_sample_is_made_anew_when_anything_it_is_made_of_has_changed(
    records: list[Record], tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    asked: list[Record] = []

    def made(record: Record, what: str = "canvas") -> bool:
        before = len(asked)

        def make(record: Record) -> Sample:
            asked.append(record)
            return load_sample(record, INPUT, denoised=False)

        SampleStore(folder, what).sample(record, make)
        return len(asked) > before

    mask = tmp_path / "mask.png"
    shape = np.zeros((64, 64), np.uint8)
    shape[20:40, 20:40] = 255
    mask.write_bytes(png(shape))
    record = replace(records[0], masks=(mask,))
    assert made(record)
    assert not made(record)
    assert made(record, "another canvas")
    assert made(replace(record, denoised=not record.denoised))
    for kept in folder.iterdir():
        kept.write_bytes(kept.read_bytes()[:100])
    assert made(record)
    mask.write_bytes(png(np.roll(shape, 3, axis=0)))
    assert made(record)
    record.image.write_bytes(png(picture(64, 64) // 2))
    assert made(record)


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
    assert [s.source for s in train] == ["A", "A"] + 3 * ["phantom"]  # of its modality alone
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


INPUT = tiny.GEOMETRY.input_size


def crowd(**counts: int) -> list[Sample]:
    """`source_label=n` samples of that source and label."""
    samples = []
    for key, count in counts.items():
        source, _, label = key.partition("_")
        lesion = None if label == "normal" else Label(label)
        discs = ((30, 45, 10),) if lesion else ()
        samples += [tiny.disc_sample(*discs, label=lesion, source=source)] * count
    return samples


def share(samples: list[Sample], weights: np.ndarray, source: str, label: str = "") -> float:
    return float(
        sum(
            w
            for s, w in zip(samples, weights, strict=True)
            if s.source == source and label in ("", s.label)
        )
    )


def draws(seed: int = 1, length: int = 40, epoch: int = 0) -> Draws:
    samples = crowd(films_benign=3, films_malignant=3, phantom_normal=2)
    made = Draws(samples, INPUT, (1.0, 99.0), 0.2, seed, length)
    made.epoch = epoch
    return made


def test_a_group_is_drawn_by_the_square_root_of_its_size() -> None:
    samples = crowd(films_benign=64, films_malignant=16, scans_benign=4)
    weights = draw_weights(samples, 0.1)
    assert weights.sum() == pytest.approx(1)
    assert share(samples, weights, "films", "benign") == pytest.approx(8 / 14)
    assert share(samples, weights, "films", "malignant") == pytest.approx(4 / 14)
    assert share(samples, weights, "scans") == pytest.approx(2 / 14)


@pytest.mark.parametrize("phantom_share", [0.0, 0.08, 0.5])
def test_phantoms_take_their_share_however_many_there_are(phantom_share: float) -> None:
    samples = crowd(films_benign=9, phantom_normal=100, phantom_benign=25)
    weights = draw_weights(samples, phantom_share)
    assert weights.sum() == pytest.approx(1)
    assert share(samples, weights, "phantom") == pytest.approx(phantom_share)
    expected = phantom_share * 2 / 3
    assert share(samples, weights, "phantom", "normal") == pytest.approx(expected)


def test_phantoms_alone_are_drawn_whatever_their_share() -> None:
    weights = draw_weights(crowd(phantom_normal=4, phantom_benign=1), 0.08)
    assert weights.tolist() == pytest.approx([1 / 6] * 4 + [1 / 3])


def test_a_draw_depends_on_seed_epoch_and_number_alone() -> None:
    one, other = draws(), draws()
    backwards = {k: other[k] for k in reversed(range(10))}
    for k in range(10):
        assert np.array_equal(one[k].image, backwards[k].image)
        assert np.array_equal(one[k].boxes, backwards[k].boxes)


@pytest.mark.parametrize("changed", [draws(seed=2)[3], draws(epoch=1)[3], draws()[4]])
def test_another_seed_epoch_or_number_draws_something_else(changed) -> None:
    assert not np.array_equal(draws()[3].image, changed.image)


def test_what_is_drawn_follows_the_weights() -> None:
    made = draws(length=400)
    normal = np.mean([made[k].image_class == 0 for k in range(400)])
    assert len(made) == 400
    assert 0.12 < normal < 0.29  # the phantoms' 0.2


def test_images_are_stacked_and_standardised() -> None:
    made = draws()
    images = stack_images([made[0], made[1]], mean=0.4, std=0.2)
    assert images.shape == (2, 1, *INPUT)
    assert images.dtype == torch.float32
    assert np.allclose(images[1, 0].numpy(), (made[1].image - 0.4) / 0.2, atol=1e-6)


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
