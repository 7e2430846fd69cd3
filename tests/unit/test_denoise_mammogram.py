"""The noise of a mammogram, estimated from the picture: physical, rescaled, capped."""

from __future__ import annotations

import numpy as np
import pytest

from mammosono.appliance.phantoms.noise import poisson_gauss
from mammosono.appliance.pipeline.denoise import denoise
from mammosono.appliance.pipeline.denoise.anscombe import PoissonGauss, forward
from mammosono.appliance.pipeline.denoise.estimate import noise_std
from mammosono.appliance.pipeline.denoise.mammogram import estimate
from mammosono.appliance.values import Modality

EVERYWHERE = np.ones((256, 256), bool)


def ramp(low: float, high: float) -> np.ndarray:
    return np.repeat(np.linspace(low, high, 256, dtype=np.float32)[None], 256, axis=0)


def estimated(image: np.ndarray, peak: float = 255.0) -> PoissonGauss:
    noise = estimate(image.astype(np.float32), EVERYWHERE, peak)
    assert noise is not None
    return noise


def std_at(noise: PoissonGauss, grey: float) -> float:
    return float(np.sqrt(noise.gain * (grey - noise.mu) + noise.sigma**2))


@pytest.mark.parametrize(("gain", "sigma"), [(0.5, 1.0), (1.0, 0.0), (0.1, 3.0)])
def test_the_parameters_of_known_noise_are_found(gain: float, sigma: float) -> None:
    image = poisson_gauss(ramp(30, 200), gain, sigma, np.random.default_rng(0))
    noise = estimated(image)
    for grey in (50.0, 120.0, 190.0):
        assert std_at(noise, grey) == pytest.approx(np.sqrt(gain * grey + sigma**2), rel=0.08)


def test_a_pedestal_is_told_from_read_out_noise() -> None:
    image = poisson_gauss(ramp(5, 160), 0.8, 0.0, np.random.default_rng(0)) + 40
    noise = estimated(image)
    assert noise.sigma == pytest.approx(0, abs=1.0)
    assert std_at(noise, 160.0) == pytest.approx(np.sqrt(0.8 * 120), rel=0.08)
    assert noise.mu <= image.min()


def test_the_stabilised_noise_is_one_even_where_structure_misleads_the_line() -> None:
    image = poisson_gauss(ramp(30, 150), 0.5, 1.0, np.random.default_rng(0))
    image[::8, ::8] += 60  # a bright grain in every block
    measured = noise_std(forward(image.astype(np.float32), estimated(image)))
    assert measured == pytest.approx(1.0, rel=0.05)


def test_noise_that_falls_with_the_grey_value_is_taken_as_gaussian_and_still_removed() -> None:
    rng = np.random.default_rng(0)
    clean = ramp(30, 200)
    image = clean + (6 - clean / 50) * rng.standard_normal(clean.shape, np.float32)
    noise = estimated(image)
    assert noise.gain > 0
    assert std_at(noise, 50.0) == pytest.approx(std_at(noise, 180.0), rel=0.03)
    result, _ = denoise(np.clip(image, 0, 255), Modality.MG, peak=255)
    assert np.mean((result - clean) ** 2) < 0.2 * np.mean((image - clean) ** 2)


def test_a_variance_that_does_not_depend_on_the_grey_value_is_no_division_by_zero() -> None:
    steps = np.repeat(np.arange(32) * 6.0 + 30, 8)[None] * np.ones((256, 1))
    checks = 4.0 * (np.indices((256, 256)).sum(axis=0) % 2)
    noise = estimated(steps + checks)
    assert 0 < noise.gain < 0.1 * noise.sigma**2
    assert np.isfinite(forward(steps.astype(np.float32), noise)).all()


def test_more_noise_than_a_mammogram_has_is_removed_only_up_to_the_cap() -> None:
    rng = np.random.default_rng(0)
    image = np.clip(ramp(100, 150) + rng.normal(0, 60, (256, 256)), 0, 255)
    noise = estimated(image)
    assert std_at(noise, 125.0) == pytest.approx(0.06 * 255, rel=0.05)


def test_a_black_background_is_neither_measured_nor_changed() -> None:
    image = poisson_gauss(ramp(60, 200), 0.5, 1.0, np.random.default_rng(0))
    image[:, 90:] = 0
    image = np.clip(image, 0, 255)
    result, record = denoise(image, Modality.MG, peak=255)
    assert record.parameters["gain"] == pytest.approx(0.5, rel=0.25)
    # The search window reaches 4 pixels and the patch 3: farther out nothing can bleed in.
    assert np.abs(result[:, 98:]).max() < 0.3
