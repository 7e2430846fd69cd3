"""Noise that a display curve has bent over the grey levels, and how it is made even again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.phantoms import phantom
from mammosono.appliance.phantoms.noise import poisson_gauss
from mammosono.appliance.pipeline.denoise import denoise
from mammosono.appliance.pipeline.denoise.anscombe import forward
from mammosono.appliance.pipeline.denoise.curve import UNEVEN, Curve, curve
from mammosono.appliance.pipeline.denoise.estimate import noise_std
from mammosono.appliance.pipeline.denoise.mammogram import estimate, foreground
from mammosono.appliance.values import Modality

PEAK = 4095.0
EVERYWHERE = np.ones((256, 256), bool)


def sigmoid(grey: np.ndarray) -> np.ndarray:
    """As the display curve of a mammogram for presentation: DICOM's own name for it."""
    return PEAK / (1 + np.exp(-8 * (grey / PEAK - 0.5)))


def counted(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Clean and noisy mammogram of twelve bits as the detector counted it."""
    clean = phantom(Modality.MG, seed, None, height=512, width=320).clean * (PEAK / 255)
    return clean, np.clip(poisson_gauss(clean, 6.0, 10.0, np.random.default_rng(0)), 0, PEAK)


def shown(display: Callable[[np.ndarray], np.ndarray], seed: int = 1) -> tuple[np.ndarray, ...]:
    return tuple(display(picture).astype(np.float32) for picture in counted(seed))


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(PEAK**2 / np.mean((image - truth) ** 2)))


def uneven_noise() -> np.ndarray:
    """A ramp whose noise has std 0.5 in the dark and 2 in the bright."""
    ramp = np.repeat(np.linspace(0, 60, 256, dtype=np.float32)[None], 256, axis=0)
    noise = np.random.default_rng(0).standard_normal(ramp.shape, np.float32)
    return ramp + noise * (0.5 + ramp / 40)


def std_by_level(image: np.ndarray, parts: int = 4) -> list[float]:
    return [noise_std(part) or 0.0 for part in np.array_split(image, parts, axis=1)]


def test_noise_that_grows_with_the_level_becomes_even() -> None:
    image = uneven_noise()
    found = curve(image, EVERYWHERE)
    assert found is not None
    assert found.bends
    assert found.unevenness == pytest.approx(1.9 / 0.55, rel=0.15)
    before, after = std_by_level(image), std_by_level(found.straighten(image))
    assert max(before) / min(before) > 2.2
    assert max(after) / min(after) < 1.1


def test_the_strength_of_the_noise_on_the_whole_stays_what_it_is() -> None:
    for factor in (1.0, 3.0):  # noise left stronger than 1 on purpose, so that less is removed
        image = factor * uneven_noise()
        found = curve(image, EVERYWHERE)
        assert found is not None
        assert noise_std(found.straighten(image)) == pytest.approx(noise_std(image), rel=0.02)


def test_counts_and_read_out_noise_need_no_curve() -> None:
    _, image = (picture.astype(np.float32) for picture in counted())
    breast = foreground(image)
    noise = estimate(image, breast, PEAK)
    assert noise is not None
    found = curve(forward(image, noise), breast)
    assert found is not None
    assert not found.bends
    assert found.unevenness < 1.15
    record = denoise(image, Modality.MG, peak=PEAK)[1]
    assert record.parameters["straightened"] == 0
    assert record.parameters["unevenness"] == pytest.approx(found.unevenness)


def test_a_picture_for_presentation_is_denoised_by_two_decibels_better_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clean, image = shown(sigmoid)
    result, record = denoise(image, Modality.MG, peak=PEAK)
    assert record.parameters["straightened"] == 1
    assert record.parameters["unevenness"] > 1.5
    monkeypatch.setattr(Curve, "bends", False)
    plain, record = denoise(image, Modality.MG, peak=PEAK)
    assert record.parameters["straightened"] == 0
    assert psnr(plain, clean) > psnr(image, clean) + 3
    assert psnr(result, clean) > psnr(plain, clean) + 2


def test_the_mean_of_a_picture_for_presentation_is_kept() -> None:
    _, image = shown(sigmoid, seed=3)
    result, _ = denoise(image, Modality.MG, peak=PEAK)
    assert result.mean() == pytest.approx(image.mean(), rel=0.005)
    assert image.min() <= result.min()
    assert result.max() <= image.max()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_bending_undoes_straightening(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bent = np.cumsum(rng.uniform(0.1, 9, 14))
    straight = np.cumsum(rng.uniform(0.1, 9, 14))
    found = Curve(bent, straight, 2.0)
    levels = np.linspace(bent[0], bent[-1], 500, dtype=np.float32).reshape(20, 25)
    there = found.straighten(levels)
    assert there.dtype == np.float32
    assert (np.diff(there.ravel()) > 0).all()
    np.testing.assert_allclose(found.bend(there), levels, atol=1e-3)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.zeros((24, 24)), id="too few blocks"),
        pytest.param(np.zeros((256, 256)), id="one level"),
        pytest.param(np.kron(np.arange(1024).reshape(32, 32), np.ones((8, 8))), id="no noise"),
    ],
)
def test_where_there_is_nothing_to_measure_there_is_no_curve(image: np.ndarray) -> None:
    assert curve(image.astype(np.float32), np.ones(image.shape, bool)) is None


def test_the_bound_is_above_what_is_measured_where_nothing_is_bent() -> None:
    rng = np.random.default_rng(0)
    ramp = np.repeat(np.linspace(0, 60, 256, dtype=np.float32)[None], 256, axis=0)
    for _ in range(5):
        found = curve(ramp + rng.standard_normal(ramp.shape, np.float32), EVERYWHERE)
        assert found is not None
        assert found.unevenness < UNEVEN
