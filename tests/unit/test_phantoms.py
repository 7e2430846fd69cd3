"""Phantoms: reproducible pictures whose truth is known exactly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mammosono.appliance.phantoms import Phantom, phantom
from mammosono.appliance.phantoms.noise import loupas, poisson_gauss
from mammosono.appliance.phantoms.texture import power_law
from mammosono.appliance.values import Label, Modality

SEEDS = range(8)


def draw(modality: Modality, seed: int, label: Label | None, noise: float = 1.0) -> Phantom:
    return phantom(modality, seed, label, height=192, width=224, noise=noise)


def ring(mask: np.ndarray) -> np.ndarray:
    """The surroundings of a mask, about half its size wide, without its blurred edge."""
    reach = max(5, int(np.sqrt(mask.sum()) / 2)) | 1
    near = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    far = cv2.dilate(near, np.ones((reach, reach), np.uint8))
    return np.asarray((far > 0) & (near == 0))


def roundness(mask: np.ndarray) -> float:
    """4 pi area / perimeter^2: 1 for a disc, less for anything else."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=cv2.contourArea)
    return float(4 * np.pi * cv2.contourArea(outline) / cv2.arcLength(outline, True) ** 2)


@pytest.mark.parametrize("modality", Modality)
@pytest.mark.parametrize("label", [None, *Label])
def test_the_same_seed_draws_the_same_picture(modality: Modality, label: Label | None) -> None:
    one, again, other = (draw(modality, seed, label) for seed in (3, 3, 4))
    assert np.array_equal(one.pixels, again.pixels)
    assert np.array_equal(one.clean, again.clean)
    assert not np.array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("modality", Modality)
@pytest.mark.parametrize("size", [(64, 64), (97, 130), (300, 200)])
def test_pixels_and_clean_have_the_promised_shape_and_range(
    modality: Modality, size: tuple[int, int]
) -> None:
    picture = phantom(modality, 1, Label.BENIGN, height=size[0], width=size[1])
    assert picture.pixels.shape == picture.clean.shape == size
    assert picture.pixels.dtype == np.uint8
    assert picture.clean.dtype == np.float32
    assert picture.clean.min() >= 0
    assert picture.clean.max() <= 255


@pytest.mark.parametrize("modality", Modality)
def test_a_normal_picture_has_no_lesion_and_a_labelled_one_has_one_or_two(
    modality: Modality,
) -> None:
    assert all(draw(modality, seed, None).lesions == () for seed in SEEDS)
    for label in Label:
        found = [draw(modality, seed, label).lesions for seed in range(20)]
        assert {len(lesions) for lesions in found} == {1, 2}
        assert all(lesion.label is label for lesions in found for lesion in lesions)


@pytest.mark.parametrize("modality", Modality)
@pytest.mark.parametrize("label", Label)
def test_even_a_small_picture_has_its_lesion(modality: Modality, label: Label) -> None:
    for seed in range(60):
        picture = phantom(modality, seed, label, height=64, width=64)
        assert picture.lesions
        assert all(lesion.mask.any() for lesion in picture.lesions)


@pytest.mark.parametrize("modality", Modality)
@pytest.mark.parametrize("label", Label)
def test_the_box_is_the_extent_of_the_mask(modality: Modality, label: Label) -> None:
    for seed in SEEDS:
        for lesion in draw(modality, seed, label).lesions:
            x0, y0, x1, y1 = (int(v) for v in lesion.box)
            assert lesion.mask.dtype == np.bool_
            assert lesion.mask[y0:y1, x0:x1].sum() == lesion.mask.sum() > 20
            for line in (lesion.mask[y0], lesion.mask[y1 - 1]):
                assert line.any()
            for line in (lesion.mask[:, x0], lesion.mask[:, x1 - 1]):
                assert line.any()


@pytest.mark.parametrize("modality", Modality)
def test_two_lesions_do_not_overlap(modality: Modality) -> None:
    pairs = [draw(modality, s, label).lesions for s in range(30) for label in Label]
    pairs = [pair for pair in pairs if len(pair) == 2]
    assert pairs
    assert not any((a.mask & b.mask).any() for a, b in pairs)


@pytest.mark.parametrize("modality", Modality)
def test_without_noise_the_pixels_are_the_clean_picture_rounded(modality: Modality) -> None:
    picture = draw(modality, 5, Label.MALIGNANT, noise=0)
    assert np.array_equal(picture.pixels, np.rint(picture.clean).astype(np.uint8))


@pytest.mark.parametrize("modality", Modality)
def test_the_tissue_does_not_depend_on_the_strength_of_the_noise(modality: Modality) -> None:
    quiet, loud = (draw(modality, 5, Label.BENIGN, noise=n) for n in (0.5, 2.0))
    assert np.array_equal(quiet.clean, loud.clean)

    def deviation(picture: Phantom) -> float:
        inner = (picture.clean > 30) & (picture.clean < 200)
        return float((picture.pixels[inner] - picture.clean[inner]).std())

    assert deviation(loud) > 1.5 * deviation(quiet)


def test_a_breast_lies_at_one_side_of_a_dark_film() -> None:
    sides = set()
    for seed in SEEDS:
        clean = draw(Modality.MG, seed, None).clean
        left, right = clean[:, :4].mean(), clean[:, -4:].mean()
        sides.add(bool(left > right))
        assert max(left, right) > 40
        assert min(left, right) < 15
        assert (clean < 15).mean() > 0.05
    assert sides == {True, False}


@pytest.mark.parametrize("label", Label)
def test_a_mass_is_denser_than_its_surroundings_in_a_mammogram(label: Label) -> None:
    for seed in SEEDS:
        picture = draw(Modality.MG, seed, label)
        contrast = [
            picture.clean[x.mask].mean() - picture.clean[ring(x.mask)].mean()
            for x in picture.lesions
        ]
        assert max(contrast) > 5


@pytest.mark.parametrize("label", Label)
def test_a_mass_is_darker_than_its_surroundings_in_ultrasound(label: Label) -> None:
    for seed in SEEDS:
        picture = draw(Modality.US, seed, label)
        for lesion in picture.lesions:
            around = ring(lesion.mask) & (picture.clean > 0)
            assert picture.clean[lesion.mask].mean() < picture.clean[around].mean()


@pytest.mark.parametrize("modality", Modality)
def test_malignant_outlines_are_less_round_than_benign_ones(modality: Modality) -> None:
    mean = {
        label: np.mean(
            [roundness(x.mask) for seed in SEEDS for x in draw(modality, seed, label).lesions]
        )
        for label in Label
    }
    assert mean[Label.BENIGN] > mean[Label.MALIGNANT] + 0.15


def test_benign_masses_in_ultrasound_are_wider_than_tall() -> None:
    for seed in SEEDS:
        for lesion in draw(Modality.US, seed, Label.BENIGN).lesions:
            x0, y0, x1, y1 = lesion.box
            assert x1 - x0 > y1 - y0


def test_echoes_behind_a_mass_are_stronger_if_benign_and_weaker_if_malignant() -> None:
    def ratio(label: Label, seed: int) -> float:
        picture = draw(Modality.US, seed, label)
        x0, _, x1, y1 = (int(v) for v in picture.lesions[0].box)
        rows = slice(y1 + 4, y1 + 20)
        width = x1 - x0
        behind = picture.clean[rows, x0 + width // 4 : x1 - width // 4]
        beside = np.hstack(
            [picture.clean[rows, max(0, x0 - width) : x0], picture.clean[rows, x1 : x1 + width]]
        )
        return float(behind.mean() / beside.mean())

    assert np.median([ratio(Label.BENIGN, s) for s in SEEDS]) > 1.1
    assert np.median([ratio(Label.MALIGNANT, s) for s in SEEDS]) < 0.8


def test_some_ultrasound_pictures_have_a_surround_of_exactly_zero_that_noise_leaves_alone() -> None:
    sectors = [p for p in (draw(Modality.US, s, None) for s in range(16)) if (p.clean == 0).any()]
    assert 0 < len(sectors) < 16
    assert all((p.pixels[p.clean == 0] == 0).all() for p in sectors)


def test_a_picture_too_small_or_of_negative_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="64 pixels"):
        phantom(Modality.MG, 0, None, height=63, width=200)
    for noise in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="negative"):
            phantom(Modality.US, 0, None, height=64, width=64, noise=noise)


@pytest.mark.parametrize(("gain", "sigma"), [(0.5, 2.0), (3.0, 0.0), (0.0, 2.0)])
@pytest.mark.parametrize("level", [5.0, 120.0])
def test_poisson_gauss_has_the_mean_and_variance_of_its_model(
    gain: float, sigma: float, level: float
) -> None:
    clean = np.full((400, 400), level, np.float32)
    noisy = poisson_gauss(clean, gain, sigma, np.random.default_rng(0))
    assert noisy.dtype == np.float32
    assert noisy.mean() == pytest.approx(level, rel=0.01)
    assert noisy.var() == pytest.approx(gain * level + sigma**2, rel=0.03)


@pytest.mark.parametrize("correlation_px", [None, (0.8, 1.2)])
@pytest.mark.parametrize("level", [4.0, 100.0])
def test_loupas_speckle_has_a_variance_proportional_to_the_level(
    correlation_px: tuple[float, float] | None, level: float
) -> None:
    clean = np.full((400, 400), level, np.float32)
    noisy = loupas(clean, 1.5, np.random.default_rng(0), correlation_px=correlation_px)
    assert noisy.mean() == pytest.approx(level, rel=0.03)
    assert noisy.var() == pytest.approx(1.5**2 * level, rel=0.05)


def test_correlated_speckle_is_coarser_across_than_down_and_than_white() -> None:
    clean = np.full((300, 300), 100, np.float32)

    def neighbours(correlation_px: tuple[float, float] | None) -> tuple[float, float]:
        rng = np.random.default_rng(0)
        noise = loupas(clean, 1.0, rng, correlation_px=correlation_px) - 100
        down = float((noise[1:] * noise[:-1]).mean())
        across = float((noise[:, 1:] * noise[:, :-1]).mean())
        return down / float(noise.var()), across / float(noise.var())

    assert max(map(abs, neighbours(None))) < 0.02
    down, across = neighbours((0.6, 1.2))
    assert 0.3 < down < across < 0.95


@pytest.mark.parametrize("exponent", [2.0, 3.0])
def test_a_power_law_field_has_its_spectrum(exponent: float) -> None:
    field = power_law(256, 256, exponent, np.random.default_rng(0))
    assert field.mean() == pytest.approx(0, abs=1e-4)
    assert field.std() == pytest.approx(1, rel=1e-3)
    power = np.abs(np.fft.rfft2(field)) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None])
    octaves = 2.0 ** np.arange(-6, -1)
    mean = [power[(frequency > f) & (frequency < 2 * f)].mean() for f in octaves]
    slope = np.polyfit(np.log(octaves), np.log(mean), 1)[0]
    assert -slope == pytest.approx(exponent, abs=0.25)
