"""Samples: an image and its lesions at network scale, aligned and honestly labelled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny

from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.detector.frame import frame
from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.index import LesionMark, Record
from mammosono.tools.data.sample import load_sample, phantom_sample
from mammosono.tools.data.truth import BadTruth

INPUT = (96, 64)
SIZE = (384, 256)
"""(height, width) of the stored pictures: four times the network's input."""


def store(folder: Path, name: str, pixels: np.ndarray) -> Path:
    path = folder / name
    assert cv2.imwrite(str(path), pixels)
    return path


def record(folder: Path, *discs: tuple[float, float, float], **changes: object) -> Record:
    """A stored ultrasound: noisy tissue, black on the right, with bright discs (x, y, radius)
    and one mask picture for each."""
    masks = [tiny.disc(SIZE, (x, y), r) for x, y, r in discs]
    tissue = np.random.default_rng(1).integers(70, 100, SIZE)
    tissue[:, 224:] = 0
    pixels = np.where(np.any(masks, axis=0), 220, tissue) if masks else tissue
    made = Record(
        modality=Modality.US,
        label="benign" if discs else "normal",
        name="ultrasound/a.png",
        image=store(folder, "a.png", pixels.astype(np.uint8)),
        masks=tuple(store(folder, f"a_{k}.png", m * 255) for k, m in enumerate(masks)),
        lesions=(),
        case="a",
        source="drawn",
        split="train",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def mark(label: Label, x: float, y: float, r: float, circle: bool = False) -> LesionMark:
    return LesionMark(label, (x - r, y - r, x + r, y + r), circle)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("modality", Modality)
def test_masks_lie_on_their_lesions_at_network_scale(tmp_path: Path, modality: Modality) -> None:
    discs = ((90.0, 120.0, 40.0), (180.0, 290.0, 30.0))
    sample = load_sample(record(tmp_path, *discs, modality=modality), INPUT, denoised=False)
    (view,) = sample.views
    assert view.dtype == np.uint8
    assert len(sample.lesions) == 2
    bright = view > 140
    together = np.zeros_like(bright)
    for lesion in sample.lesions:
        assert lesion.mask.shape == view.shape
        assert set(np.unique(lesion.mask)) == {0, 1}
        together |= lesion.mask > 0
    assert overlap(bright, together) > 0.95
    assert all(lesion.exact for lesion in sample.lesions)


def test_the_view_is_the_picture_the_device_would_work_on(tmp_path: Path) -> None:
    made = record(tmp_path, (90.0, 120.0, 40.0))
    sample = load_sample(made, INPUT, denoised=False)
    pixels = cv2.imread(str(made.image), cv2.IMREAD_GRAYSCALE)
    working = frame(pixels, Modality.US, INPUT).cut(pixels)
    assert np.array_equal(sample.views[0], np.rint(working).astype(np.uint8))
    assert sample.views[0].shape == INPUT
    assert (sample.modality, sample.label, sample.source) == (Modality.US, "benign", "drawn")


def test_denoising_adds_a_quieter_view_of_the_same_size(tmp_path: Path) -> None:
    sample = load_sample(record(tmp_path), (384, 256), denoised=True)
    raw, clean = sample.views
    assert raw.shape == clean.shape
    assert clean.dtype == np.uint8
    assert clean.astype(float).std() < raw.astype(float).std()


@pytest.mark.parametrize(
    ("size", "enlarge"), [((384, 256), 1.0), ((192, 128), 2.0), ((256, 160), 1.5), ((64, 64), 2.0)]
)
def test_a_small_picture_stays_as_it_is_and_says_how_much_to_enlarge(
    tmp_path: Path, size: tuple[int, int], enlarge: float
) -> None:
    grey = np.random.default_rng(2).integers(70, 100, size)
    image = store(tmp_path, "small.png", grey.astype(np.uint8))
    sample = load_sample(record(tmp_path, image=image), SIZE, denoised=False)
    assert sample.views[0].shape == size
    assert sample.enlarge == enlarge


def test_marks_give_each_mask_its_own_label(tmp_path: Path) -> None:
    discs = ((60.0, 60.0, 20.0), (180.0, 290.0, 30.0))
    marks = (mark(Label.BENIGN, *discs[0]), mark(Label.MALIGNANT, *discs[1]))
    made = record(tmp_path, *discs, lesions=marks, label="malignant")
    sample = load_sample(made, INPUT, denoised=False)
    assert [lesion.label for lesion in sample.lesions] == [Label.BENIGN, Label.MALIGNANT]


def test_masks_without_marks_take_the_images_label(tmp_path: Path) -> None:
    made = record(tmp_path, (60.0, 60.0, 20.0), (180.0, 290.0, 30.0), label="malignant")
    sample = load_sample(made, INPUT, denoised=False)
    assert [lesion.label for lesion in sample.lesions] == [Label.MALIGNANT] * 2


def test_a_circle_gives_a_disc_that_is_not_exact(tmp_path: Path) -> None:
    circle = mark(Label.BENIGN, 100, 200, 40, circle=True)
    sample = load_sample(record(tmp_path, lesions=(circle,), label="benign"), INPUT, denoised=False)
    (lesion,) = sample.lesions
    assert not lesion.exact
    assert overlap(lesion.mask > 0, tiny.disc(INPUT, (25, 50), 10) > 0) > 0.9


def test_a_box_without_a_mask_is_not_exact_either(tmp_path: Path) -> None:
    box = mark(Label.MALIGNANT, 100, 200, 40)
    made = record(tmp_path, lesions=(box,), label="malignant")
    assert not load_sample(made, INPUT, denoised=False).lesions[0].exact


def test_a_normal_image_has_no_lesion(tmp_path: Path) -> None:
    sample = load_sample(record(tmp_path), INPUT, denoised=False)
    assert sample.lesions == ()
    assert sample.label == "normal"


@pytest.mark.parametrize("damage", ["missing", "text"])
def test_an_unreadable_image_is_named_without_its_path(tmp_path: Path, damage: str) -> None:
    image = tmp_path / "broken.png"
    if damage == "text":
        image.write_text("no picture")
    with pytest.raises(BadTruth, match=r"ultrasound/a\.png: not a readable image") as caught:
        load_sample(record(tmp_path, image=image), INPUT, denoised=False)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("modality", Modality)
@pytest.mark.parametrize("label", [None, *Label])
def test_a_phantom_is_a_sample_with_a_noisy_and_a_clean_view(
    modality: Modality, label: Label | None
) -> None:
    drawn = phantom(modality, 4, label, height=240, width=160)
    sample = phantom_sample(drawn, label, INPUT)
    noisy, clean = sample.views
    assert noisy.shape == clean.shape
    assert sample.source == "phantom"
    assert sample.label == (label.value if label else "normal")
    assert len(sample.lesions) == len(drawn.lesions)
    place = frame(drawn.pixels, modality, INPUT)
    assert np.array_equal(noisy, np.rint(place.cut(drawn.pixels)).astype(np.uint8))
    for lesion, source in zip(sample.lesions, drawn.lesions, strict=True):
        assert lesion.label is label
        assert lesion.exact
        assert lesion.mask.sum() == pytest.approx(source.mask.sum() * place.scale**2, rel=0.2)


def test_a_deeper_picture_uses_the_whole_range_of_its_views(tmp_path: Path) -> None:
    """12 bits in a file of 16, as detectors store them."""
    shallow = record(tmp_path)
    grey = cv2.imread(str(shallow.image), cv2.IMREAD_GRAYSCALE)
    deep = replace(shallow, image=store(tmp_path, "deep.png", grey.astype(np.uint16) * 16))
    before, after = load_sample(deep, INPUT, denoised=True).views
    assert before.max() == 255
    (plain,) = load_sample(shallow, INPUT, denoised=False).views
    levels = before.astype(float) * plain.max() / 255
    assert np.abs(levels - plain).max() < 1.5
    assert 0.8 < after.mean() / before.mean() < 1.25
