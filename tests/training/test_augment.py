"""Augmentation: whatever is done to the picture is done to what is true of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.pipeline.detector.frame import Frame, normalise
from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.augment import IGNORE, Example, augment, plain
from mammosono.tools.data.sample import Sample, without_classes
from mammosono.tools.losses import LESION

INPUT = (96, 64)
ALL_GREYS = (0.0, 100.0)
SEEDS = range(120)


def view(sample: Sample, seed: int, percentiles: tuple[float, float] = ALL_GREYS) -> Example:
    return augment(sample, INPUT, percentiles, np.random.default_rng(seed))


def bright(example: Example) -> np.ndarray:
    """The discs, by the grey halfway between them and the tissue."""
    inside = example.masks.any(axis=0)
    levels = example.image[inside].mean(), np.median(example.image[~inside])
    return np.asarray(example.image > np.mean(levels))


def centroid(mask: np.ndarray) -> np.ndarray:
    return np.array(np.nonzero(mask)).mean(axis=1)


# Alignment


@pytest.mark.parametrize("modality", Modality)
@pytest.mark.parametrize("enlarge", [1.0, 2.0])
def test_the_mask_lies_on_the_lesion_and_the_box_around_the_mask(
    modality: Modality, enlarge: float
) -> None:
    size = (int(96 / enlarge), int(64 / enlarge))
    lesion = (26 / enlarge, 40 / enlarge, 13 / enlarge)
    sample = tiny.disc_sample(lesion, size=size, modality=modality, enlarge=enlarge)
    shifts, overlaps = [], []
    for seed in SEEDS:
        example = view(sample, seed)
        for mask, box in zip(example.masks, example.boxes, strict=True):
            ys, xs = np.nonzero(mask)
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            seen = bright(example)
            overlaps.append((seen & (mask > 0)).sum() / (seen | (mask > 0)).sum())
            shifts.append(centroid(seen) - centroid(mask))
    assert len(overlaps) > 100
    assert min(overlaps) > 0.85
    assert np.mean(overlaps) > 0.95
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.1  # no systematic half pixel


@given(seed=st.integers(0, 10_000), radius=st.floats(2, 20), count=st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_an_example_keeps_its_promises(seed: int, radius: float, count: int) -> None:
    discs = [(12 + 18 * k, 20 + 25 * k, radius) for k in range(count)]
    sample = tiny.disc_sample(*discs, label=Label.BENIGN if count else None)
    example = view(sample, seed)
    n = len(example.boxes)
    assert example.image.shape == INPUT
    assert example.image.dtype == np.float32
    assert 0 <= example.image.min() <= example.image.max() <= 1
    assert n <= count
    assert example.boxes.shape == (n, 4)
    assert example.boxes.dtype == np.float32
    assert example.masks.shape == (n, *INPUT)
    assert example.masks.dtype == np.uint8
    assert example.labels.shape == example.exact.shape == (n,)
    assert (example.labels == 1).all()
    assert example.exact.all()
    assert (example.boxes[:, :2] >= 0).all()
    assert (example.boxes[:, 2:] <= (64, 96)).all()
    assert (example.boxes[:, 2:] > example.boxes[:, :2]).all()


def test_labels_say_which_lesion_is_which() -> None:
    small_benign = tiny.disc_sample((16, 20, 6), label=Label.BENIGN).lesions
    large_malignant = tiny.disc_sample((44, 70, 14), label=Label.MALIGNANT).lesions
    both = replace(tiny.disc_sample((16, 20, 6)), lesions=(*large_malignant, *small_benign))
    whole = [example for example in (view(both, seed) for seed in SEEDS) if len(example.boxes) == 2]
    assert len(whole) > 30
    for example in whole:
        large, small = example.masks.sum(axis=(1, 2))
        assert large > small
        assert example.labels.tolist() == [2, 1]


def test_a_circle_never_trains_a_mask() -> None:
    sample = tiny.disc_sample((26, 40, 13), exact=False)
    assert not any(view(sample, seed).exact.any() for seed in SEEDS)


def test_views_are_drawn_from_all_there_are() -> None:
    sample = tiny.disc_sample()
    dark, light = np.zeros(INPUT, np.uint8), np.zeros(INPUT, np.uint8)
    light[:, ::2] = 255
    drawn = [view(replace(sample, views=(dark, light)), seed).image.max() for seed in range(40)]
    assert 8 < np.count_nonzero(drawn) < 32


# Patches


def patch(sample: Sample, seed: int) -> Example:
    return augment(sample, INPUT, ALL_GREYS, np.random.default_rng(seed), None, (64, 64))


def test_the_mask_of_a_patch_lies_on_the_lesion_and_most_patches_show_one() -> None:
    sample = tiny.disc_sample((130, 210, 14), size=(384, 256))
    shown = [e for e in (patch(sample, seed) for seed in SEEDS) if len(e.boxes)]
    assert 0.6 * len(SEEDS) < len(shown) < 0.9 * len(SEEDS)
    for example in shown:
        assert example.image.shape == (64, 64)
        assert np.abs(centroid(bright(example)) - centroid(example.masks[0])).max() < 1.5


def test_a_patch_is_at_the_scale_of_the_canvas() -> None:
    sample = tiny.disc_sample((65, 105, 7), size=(192, 128), enlarge=2.0)
    areas = [m.sum() for seed in SEEDS for m in patch(sample, seed).masks if m.sum() > 300]
    assert np.median(areas) == pytest.approx(np.pi * 14**2, rel=0.2)


def test_a_patch_is_called_by_the_lesions_that_it_shows() -> None:
    malignant = tiny.disc_sample((40, 60, 8), (220, 330, 8), size=(384, 256))
    benign = replace(malignant.lesions[1], label=Label.BENIGN)
    sample = replace(malignant, lesions=(malignant.lesions[0], benign))
    examples = [patch(sample, seed) for seed in range(3 * len(SEEDS))]
    named = {k: [e for e in examples if e.image_class == k] for k in (0, 1, 2)}
    assert all(len(part) > 20 for part in named.values())
    assert all(len(e.boxes) == 0 for e in named[0])
    assert all(set(e.labels) == {k} for k in (1, 2) for e in named[k])
    # Nothing bright shows on a normal one: a lesion that is cut leaves a patch without a class.
    assert all((e.image > 0.8).sum() < 10 for e in named[0] if e.image.max() > np.median(e.image))


def test_a_patch_of_an_image_without_classes_has_none() -> None:
    sample = without_classes(tiny.disc_sample((130, 210, 14), size=(384, 256)))
    assert {patch(sample, seed).image_class for seed in SEEDS} == {IGNORE}


# What the whole image is called


def test_a_whole_lesion_names_the_image() -> None:
    for label, number in ((Label.BENIGN, 1), (Label.MALIGNANT, 2)):
        examples = [view(tiny.disc_sample((30, 45, 8), label=label), seed) for seed in SEEDS]
        whole = [e for e in examples if len(e.boxes)]
        assert len(whole) > 100
        assert {e.image_class for e in whole} == {number}


def test_a_lesion_that_was_cropped_away_names_the_image_normal_only_if_nothing_of_it_shows() -> (
    None
):
    sample = tiny.disc_sample((58, 90, 8))
    seen = {0: 0, 2: 0, IGNORE: 0}
    for seed in range(600):
        example = view(sample, seed, (0.0, 99.0))
        seen[example.image_class] += 1
        assert (example.image_class == 2) == (len(example.boxes) == 1)
        if example.image_class == 0:
            # Noise may lift single pixels; a disc of radius 6 or more would have over 100.
            assert (example.image > 0.75).sum() < 10
    assert min(seen.values()) >= 5


def test_one_of_two_lesions_cropped_away_leaves_the_image_without_a_class() -> None:
    sample = tiny.disc_sample((10, 10, 7), (58, 90, 7))
    partial = [e for e in (view(sample, seed) for seed in range(300)) if len(e.boxes) == 1]
    assert partial
    assert {e.image_class for e in partial} == {IGNORE}


def test_a_lesion_too_small_for_this_scale_never_makes_the_image_normal() -> None:
    sample = tiny.disc_sample((30, 45, 0.1), label=Label.MALIGNANT)
    assert not sample.lesions[0].mask.any()
    examples = [view(sample, seed) for seed in range(40)]
    assert {e.image_class for e in examples} == {IGNORE}
    assert not any(len(e.boxes) for e in examples)


def test_a_normal_image_is_normal_and_has_no_box() -> None:
    examples = [view(tiny.disc_sample(label=None), seed) for seed in SEEDS]
    assert {e.image_class for e in examples} == {0}
    assert all(e.boxes.shape == (0, 4) and e.masks.shape == (0, *INPUT) for e in examples)


def test_an_abnormal_image_without_a_known_lesion_has_no_class() -> None:
    sample = replace(tiny.disc_sample(), label="malignant", lesions=())
    assert {view(sample, seed).image_class for seed in range(20)} == {IGNORE}


# Reproducible, and varied


def test_the_seed_decides_everything() -> None:
    sample = tiny.disc_sample((26, 40, 13))
    one, same, other = view(sample, 7), view(sample, 7), view(sample, 8)
    assert np.array_equal(one.image, same.image)
    assert np.array_equal(one.masks, same.masks)
    assert not np.array_equal(one.image, other.image)


def test_the_sample_is_left_as_it_was() -> None:
    sample = tiny.disc_sample((26, 40, 13))
    before = sample.views[0].copy(), sample.lesions[0].mask.copy()
    for seed in range(10):
        view(sample, seed)
    assert np.array_equal(sample.views[0], before[0])
    assert np.array_equal(sample.lesions[0].mask, before[1])


def test_mammograms_are_turned_upside_down_and_ultrasound_never() -> None:
    """Down is depth in an ultrasound, with shadows below; in a film it is only a side."""

    def upside_down(modality: Modality) -> float:
        sample = tiny.disc_sample((32, 36, 6), (32, 62, 10), modality=modality)
        pairs = [e.masks for e in (view(sample, seed) for seed in SEEDS) if len(e.masks) == 2]
        return float(np.mean([centroid(small)[0] > centroid(large)[0] for small, large in pairs]))

    assert upside_down(Modality.US) == 0
    assert 0.3 < upside_down(Modality.MG) < 0.7


# The plain view


@pytest.mark.parametrize("enlarge", [1.0, 1.5, 2.0])
def test_the_plain_view_is_what_the_device_puts_on_its_canvas(enlarge: float) -> None:
    size = (int(90 / enlarge), int(60 / enlarge))
    sample = tiny.disc_sample((14, 20, 8), size=size, enlarge=enlarge)
    image, union = plain(sample, INPUT, ALL_GREYS)
    working = normalise(sample.views[-1].astype(np.float32), ALL_GREYS)
    canvas = Frame((0, 0, size[1], size[0]), enlarge, INPUT).place(working)
    inner = np.s_[2:88, 2:58]  # resizing repeats the border, warping ends there
    assert image.dtype == np.float32
    assert np.abs(image[inner] - canvas[inner]).max() < 0.05
    assert not image[92:].any()
    assert not image[:, 62:].any()
    seen = canvas > 0.6
    assert (seen & union).sum() / (seen | union).sum() > (0.99 if enlarge == 1 else 0.9)


def test_the_plain_view_is_the_last_one_and_joins_all_lesions() -> None:
    sample = tiny.disc_sample((16, 20, 8), (44, 70, 8))
    last = np.full(INPUT, 9, np.uint8)
    last[0] = 0
    image, union = plain(replace(sample, views=(*sample.views, last)), INPUT, ALL_GREYS)
    assert (image[1:] == 1).all()
    assert np.array_equal(union, (sample.lesions[0].mask | sample.lesions[1].mask) > 0)


# Kinds that are not taught, and other scanners


def test_a_sample_without_classes_teaches_places_alone() -> None:
    sample = without_classes(tiny.disc_sample((26, 40, 13)))
    examples = [view(sample, seed) for seed in range(20)]
    assert {example.image_class for example in examples} == {IGNORE}
    assert {int(label) for example in examples for label in example.labels} == {LESION}


@pytest.mark.parametrize("modality", Modality)
def test_another_scanner_changes_the_picture_and_nothing_that_is_true_of_it(
    modality: Modality,
) -> None:
    sample = tiny.disc_sample((26, 40, 13), modality=modality)
    donor = tiny.disc_sample(modality=modality)
    changed = 0
    for seed in range(40):
        here = view(sample, seed)
        there = augment(sample, INPUT, ALL_GREYS, np.random.default_rng(seed), donor)
        np.testing.assert_array_equal(here.boxes, there.boxes)
        np.testing.assert_array_equal(here.masks, there.masks)
        assert here.image_class == there.image_class
        assert np.isfinite(there.image).all()
        assert 0 <= there.image.min() <= there.image.max() <= 1
        changed += bool((here.image != there.image).any())
    assert changed == 40  # at the least the draws that follow are others
