"""Ground truth: one rule for what a mask pixel is, one decoder, nothing silently made up."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny
from test_sample import INPUT, SIZE, mark, record, store

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline import denoise
from mammosono.appliance.pipeline.detector.frame import frame
from mammosono.appliance.values import Label, Modality
from mammosono.tools.data import sample as samples
from mammosono.tools.data.augment import IGNORE, augment
from mammosono.tools.data.sample import load_sample
from mammosono.tools.data.truth import (
    BadTruth,
    mask_labels,
    read_masks,
    read_record,
    set_pixels,
    union_mask,
)

DISC = (90.0, 120.0, 40.0)


@pytest.mark.parametrize("white", [1, 100, 255])
def test_training_sees_the_lesion_that_evaluation_sees_whatever_is_white(
    tmp_path: Path, white: int
) -> None:
    made = record(tmp_path, DISC)
    store(tmp_path, made.masks[0].name, tiny.disc(SIZE, DISC[:2], DISC[2]) * np.uint8(white))
    union = union_mask(made, SIZE)
    assert union is not None
    assert np.array_equal(union, tiny.disc(SIZE, DISC[:2], DISC[2]) > 0)
    (lesion,) = load_sample(made, INPUT, denoised=False).lesions
    place = frame(read_record(made).pixels, Modality.US, INPUT)
    assert np.array_equal(lesion.mask, place.cut(union.astype(np.uint8)) >= 0.5)
    assert lesion.mask.any()


def test_a_pixel_is_set_above_half_of_the_masks_own_maximum() -> None:
    assert set_pixels(np.array([[0, 1]], np.uint8)).tolist() == [[False, True]]
    assert set_pixels(np.array([[0, 127, 128, 255]], np.uint8)).tolist() == [
        [False, False, True, True]
    ]
    assert set_pixels(np.array([[3, 40_000, 65_535]], np.uint16)).tolist() == [[False, True, True]]
    assert not set_pixels(np.zeros((1, 3), np.uint8)).any()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_an_image_is_decoded_by_the_devices_intake(tmp_path: Path, suffix: str) -> None:
    """Grey of 8 bits: also the pixels that OpenCV alone gives."""
    grey = np.random.default_rng(3).integers(0, 256, SIZE).astype(np.uint8)
    made = record(tmp_path, image=store(tmp_path, f"grey.{suffix}", grey))
    image = read_record(made)
    assert np.array_equal(image.pixels, read_image(made.image.read_bytes(), made.modality).pixels)
    assert np.array_equal(image.pixels, cv2.imread(str(made.image), cv2.IMREAD_GRAYSCALE))


def test_denoising_in_training_has_the_peak_of_the_significant_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks = []

    def remove(*arguments: object, peak: float, **rest: object) -> object:
        peaks.append(peak)
        return denoise.denoise(*arguments, peak=peak, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(samples, "denoise", remove)
    made = record(tmp_path)
    grey = cv2.imread(str(made.image), cv2.IMREAD_GRAYSCALE).astype(np.float64)
    grey = grey / grey.max() * 4095
    for pixels in (grey.astype(np.uint16), (grey // 16).astype(np.uint8)):
        image = store(tmp_path, "peak.png", pixels)
        load_sample(replace(made, image=image), INPUT, denoised=True)
    assert peaks == [4095, 255]


def test_an_empty_mask_is_named_and_trains_neither_mask_nor_class(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = record(tmp_path, DISC, (180.0, 290.0, 30.0))
    store(tmp_path, made.masks[1].name, np.zeros(SIZE, np.uint8))
    with caplog.at_level(logging.WARNING):
        sample = load_sample(made, INPUT, denoised=False)
    assert caplog.messages == ["'ultrasound/a.png': mask 2 is empty: it shows no lesion"]
    assert [bool(lesion.mask.any()) for lesion in sample.lesions] == [True, False]
    example = augment(sample, INPUT, (1.0, 99.7), np.random.default_rng(0))
    assert len(example.masks) <= 1
    assert example.image_class == IGNORE


def test_a_mask_without_an_annotation_of_its_own_is_refused(tmp_path: Path) -> None:
    made = record(tmp_path, DISC, (180.0, 290.0, 30.0), lesions=(mark(Label.BENIGN, *DISC),))
    with pytest.raises(BadTruth, match=r"ultrasound/a\.png: 2 masks and 1 annotations"):
        load_sample(made, INPUT, denoised=False)
    with pytest.raises(BadTruth, match="2 masks and 1 annotations"):
        union_mask(made, SIZE)  # and nothing is judged by it


def test_an_annotation_without_a_mask_among_masks_is_refused(tmp_path: Path) -> None:
    """Its lesion would be taught as background."""
    marks = (mark(Label.BENIGN, *DISC), mark(Label.MALIGNANT, 180, 290, 30))
    with pytest.raises(BadTruth, match="1 masks and 2 annotations"):
        mask_labels(record(tmp_path, DISC, lesions=marks))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("missing", "is missing"),
        ("text", "is damaged"),
        ("empty file", "is damaged"),
        ("size", "is of another size than the picture"),
    ],
)
def test_a_mask_that_cannot_be_read_is_named(tmp_path: Path, damage: str, complaint: str) -> None:
    mask = tmp_path / "mask.png"
    if damage == "size":
        store(tmp_path, "mask.png", np.zeros((384, 255), np.uint8))
    elif damage != "missing":
        mask.write_text("no picture" if damage == "text" else "")
    made = record(tmp_path, DISC)
    made = replace(made, masks=(*made.masks, mask))
    for read in (
        lambda: read_masks(made, SIZE),
        lambda: union_mask(made, SIZE),
        lambda: load_sample(made, INPUT, denoised=False),
    ):
        with pytest.raises(BadTruth, match=rf"^ultrasound/a\.png: mask 2 {complaint}$"):
            read()


def test_a_record_without_masks_has_no_union(tmp_path: Path) -> None:
    assert union_mask(record(tmp_path), SIZE) is None
    assert read_masks(record(tmp_path), SIZE) == ()
