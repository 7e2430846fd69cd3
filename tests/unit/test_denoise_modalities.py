"""Denoising as the reader calls it: what it must gain, what it must keep, what it must refuse."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.phantoms import Phantom, phantom
from mammosono.appliance.phantoms.noise import loupas, poisson_gauss
from mammosono.appliance.pipeline.denoise import denoise
from mammosono.appliance.values import Label, Modality

PEAK = 255.0
Noise = Callable[[np.ndarray], np.ndarray]


def speckle(sigma: float) -> Noise:
    return lambda clean: loupas(clean, sigma, np.random.default_rng(1))


def counting(gain: float, sigma: float) -> Noise:
    return lambda clean: poisson_gauss(clean, gain, sigma, np.random.default_rng(1))


NOISE = {Modality.US: speckle(1.0), Modality.MG: counting(0.5, 1.0)}


def scene(size: int = 256) -> np.ndarray:
    """Smooth tissue with four ellipses, dark and bright."""
    y, x = np.mgrid[:size, :size].astype(np.float32) * (512 / size)
    image = 90 + 30 * np.sin(x / 60) + 20 * np.cos(y / 45)
    for cx, cy, a, b, level in (
        (150, 160, 50, 30, 40),
        (350, 200, 40, 60, 170),
        (260, 380, 90, 40, 60),
        (420, 420, 25, 25, 20),
    ):
        image = np.where(((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 < 1, level, image)
    return np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0))


def noisy(modality: Modality, clean: np.ndarray) -> np.ndarray:
    return np.clip(NOISE[modality](clean), 0, PEAK).astype(np.float32)


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(PEAK**2 / np.mean((image - truth) ** 2)))


def drawn(modality: Modality, label: Label, seed: int) -> Phantom:
    return phantom(modality, seed, label, height=320, width=256)


def lesion_dice(image: np.ndarray, picture: Phantom, modality: Modality) -> float:
    """Dice of the truth with a plain threshold half-way between the mass and its surroundings."""
    mask = picture.lesions[0].mask
    x0, y0, x1, y1 = (int(v) for v in picture.lesions[0].box)
    pad = max(x1 - x0, y1 - y0) // 3
    # Not below the mass: its shadow is as dark as it is.
    window = np.s_[max(0, y0 - pad) : y1, max(0, x0 - pad) : x1 + pad]
    cut, truth = image[window], mask[window]
    middle = (cut[truth].mean() + cut[~truth].mean()) / 2
    found = cut < middle if modality is Modality.US else cut > middle
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


@pytest.mark.parametrize("modality", Modality)
def test_the_noise_of_a_smooth_scene_falls_by_eight_decibels(modality: Modality) -> None:
    clean = scene()
    image = noisy(modality, clean)
    result, record = denoise(image, modality, peak=PEAK)
    assert psnr(result, clean) - psnr(image, clean) >= 8
    assert record.method == {"US": "obnlm", "MG": "anscombe-nlm"}[modality.value]
    assert record.noise_before is not None
    assert record.noise_after is not None
    assert record.noise_after < 0.5 * record.noise_before


def test_stronger_speckle_is_met_with_more_denoising() -> None:
    clean = scene()
    gains, sigmas = [], []
    for sigma in (0.5, 1.0, 2.0):
        image = np.clip(speckle(sigma)(clean), 0, PEAK).astype(np.float32)
        result, record = denoise(image, Modality.US, peak=PEAK)
        gains.append(psnr(result, clean) - psnr(image, clean))
        sigmas.append(record.parameters["sigma"])
    assert gains == sorted(gains)
    assert sigmas == pytest.approx([0.5, 1.0, 2.0], rel=0.12)


@pytest.mark.parametrize("modality", Modality)
def test_a_phantom_comes_closer_to_its_clean_picture(modality: Modality) -> None:
    for seed in range(3):
        picture = drawn(modality, Label.MALIGNANT, seed)
        image = picture.pixels.astype(np.float32)
        result, _ = denoise(image, modality, peak=PEAK)
        gain = psnr(result, picture.clean) - psnr(image, picture.clean)
        assert gain >= {"US": 0.5, "MG": 6.0}[modality.value]


@pytest.mark.parametrize("modality", Modality)
@pytest.mark.parametrize("label", Label)
def test_the_edge_of_a_lesion_is_found_at_least_as_well(modality: Modality, label: Label) -> None:
    pictures = [drawn(modality, label, seed) for seed in range(10)]
    # Where a threshold cannot find the mass without noise, it says nothing about the noise.
    plain = [p for p in pictures if lesion_dice(p.clean, p, modality) > 0.7]
    assert len(plain) >= 4
    gains = []
    for picture in plain:
        image = picture.pixels.astype(np.float32)
        result, _ = denoise(image, modality, peak=PEAK)
        before = lesion_dice(image, picture, modality)
        gains.append(lesion_dice(result, picture, modality) - before)
    # A single picture may lose what chance gave its noise; together they must not lose.
    assert min(gains) > -0.01
    assert np.mean(gains) > 0.005


@pytest.mark.parametrize("modality", Modality)
def test_the_mean_is_kept_within_one_percent(modality: Modality) -> None:
    for image in (noisy(modality, scene()), drawn(modality, Label.BENIGN, 0).pixels):
        result, _ = denoise(image.astype(np.float32), modality, peak=PEAK)
        assert result.mean() == pytest.approx(image.mean(), rel=0.01)


def test_counting_noise_is_averaged_without_bias_in_the_dark() -> None:
    """An image of few counts: a plain square root there and back would lose a quarter of one."""
    clean = np.linspace(8, 40, 256 * 256, dtype=np.float32).reshape(256, 256)
    image = np.clip(counting(4.0, 0.0)(clean), 0, PEAK).astype(np.float32)
    result, record = denoise(image, Modality.MG, peak=PEAK)
    assert record.method == "anscombe-nlm"
    assert abs(float((result - image)[:64].mean())) < 0.3


@pytest.mark.parametrize("modality", Modality)
def test_the_result_stays_in_the_range_of_the_input(modality: Modality) -> None:
    image = noisy(modality, scene())
    result, _ = denoise(image, modality, peak=PEAK)
    assert result.dtype == np.float32
    assert result.shape == image.shape
    assert result.min() >= image.min()
    assert result.max() <= image.max()


@pytest.mark.parametrize("modality", Modality)
def test_a_second_pass_changes_less_than_the_first(modality: Modality) -> None:
    image = noisy(modality, scene())
    once, _ = denoise(image, modality, peak=PEAK)
    twice, _ = denoise(once, modality, peak=PEAK)
    assert np.abs(twice - once).mean() < 0.5 * np.abs(once - image).mean()


@pytest.mark.parametrize("modality", Modality)
def test_the_result_does_not_depend_on_the_threads_or_the_day(modality: Modality) -> None:
    image = noisy(modality, scene())
    kept = image.copy()
    results = [denoise(image, modality, peak=PEAK, threads=t) for t in (1, 2, 2, 3)]
    assert all(np.array_equal(result, results[0][0]) for result, _ in results)
    assert all(record == results[0][1] for _, record in results)
    assert np.array_equal(image, kept)


@pytest.mark.parametrize("modality", Modality)
def test_the_bit_depth_only_scales_the_result(modality: Modality) -> None:
    image = noisy(modality, scene())
    narrow, narrow_record = denoise(image, modality, peak=255)
    wide, wide_record = denoise(image * 257, modality, peak=65535)
    assert np.allclose(wide / 257, narrow, atol=0.02)
    assert narrow_record.noise_before is not None
    assert wide_record.noise_before == pytest.approx(257 * narrow_record.noise_before, rel=1e-3)


@pytest.mark.parametrize("modality", Modality)
@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.zeros((64, 48)), id="all black"),
        pytest.param(np.full((64, 48), PEAK), id="saturated"),
        pytest.param(np.full((64, 48), 77.3), id="constant"),
        pytest.param(np.arange(200.0)[:, None], id="one pixel wide"),
        pytest.param(np.arange(200.0)[None], id="one pixel high"),
        pytest.param(np.full((1, 1), 9.0), id="one pixel"),
        pytest.param(np.kron(np.eye(8), np.full((16, 16), 200.0)), id="posterised"),
    ],
)
def test_a_picture_without_measurable_noise_comes_back_unchanged(
    modality: Modality, image: np.ndarray
) -> None:
    image = image.astype(np.float32)
    result, record = denoise(image, modality, peak=PEAK)
    assert np.array_equal(result, image)
    assert result is not image
    assert record.method == "none"
    assert record.noise_after == record.noise_before


@pytest.mark.parametrize("modality", Modality)
@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.array([[1.0, np.nan], [1, 1]]), "finite"),
        (np.array([[1.0, np.inf], [1, 1]]), "finite"),
        (np.array([[-1.0, 2.0]]), "between 0 and the peak"),
        (np.array([[256.0, 2.0]]), "between 0 and the peak"),
        (np.zeros((0, 5)), "at least one pixel"),
        (np.zeros((4, 4, 3)), "grey picture"),
    ],
)
def test_what_is_not_a_grey_picture_of_finite_pixels_is_refused(
    modality: Modality, image: np.ndarray, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        denoise(image.astype(np.float32), modality, peak=PEAK)


def test_a_rounding_error_above_the_peak_is_accepted() -> None:
    image = np.full((20, 20), np.nextafter(np.float32(255), np.float32(256)), np.float32)
    assert np.array_equal(denoise(image, Modality.MG, peak=PEAK)[0], image)


@given(
    st.sampled_from(list(Modality)),
    st.integers(1, 50),
    st.integers(1, 50),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1.0, 255.0, 4095.0, 65535.0]),
    st.integers(2, 256),
)
@settings(max_examples=40, deadline=None)
def test_any_picture_gives_finite_pixels_in_its_own_range(
    modality: Modality, height: int, width: int, seed: int, peak: float, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, levels, (height, width)) * (peak / (levels - 1))
    image = np.minimum(image, peak).astype(np.float32)
    result, record = denoise(image, modality, peak=peak)
    assert np.isfinite(result).all()
    assert result.min() >= image.min()
    assert result.max() <= image.max()
    assert all(np.isfinite(v) for v in record.parameters.values())


def test_the_black_surround_of_a_sector_is_left_exactly_black() -> None:
    pictures = (phantom(Modality.US, s, None, height=256, width=256) for s in range(20))
    sector = next(p for p in pictures if (p.clean == 0).mean() > 0.1)
    result, _ = denoise(sector.pixels.astype(np.float32), Modality.US, peak=PEAK)
    deep = cv2.erode((sector.clean == 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert (result[deep] == 0).all()
    assert result[sector.clean > 20].mean() > 20


def test_an_echo_lost_in_the_speckle_is_filled_in() -> None:
    image = noisy(Modality.US, scene())
    image[100, 100] = image[50:52, 200] = 0
    result, _ = denoise(image, Modality.US, peak=PEAK)
    assert min(result[100, 100], result[50, 200], result[51, 200]) > 0


def test_burnt_in_text_stays_readable() -> None:
    image = noisy(Modality.US, scene())
    text = np.zeros(image.shape, np.uint8)
    cv2.putText(text, "RIGHT", (20, 120), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    image[text > 0] = PEAK
    result, _ = denoise(image, Modality.US, peak=PEAK)
    assert result[text > 0].mean() > 0.95 * PEAK


def test_a_single_bright_grain_survives_in_a_mammogram() -> None:
    image = noisy(Modality.MG, scene())
    image[128, 200:204] = image[60, 60] = 220
    result, _ = denoise(image, Modality.MG, peak=PEAK)
    assert result[60, 60] > 180
    assert result[128, 200:204].min() > 180
