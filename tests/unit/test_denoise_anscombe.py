"""The generalised Anscombe transform: unit noise forward, no bias back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.hermite_e import hermegauss

from mammosono.appliance.pipeline.denoise.anscombe import PoissonGauss, forward, inverse

READ_OUT = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)  # sigma / gain
COUNTS = (0.5, 1.0, 2.0, 5.0, 20.0, 100.0, 1000.0)
GAINS_AND_PEDESTALS = ((1.0, 0.0), (2.0, 10.0), (0.5, 5.0))


def moments(count: float, noise: PoissonGauss) -> tuple[float, float]:
    """Mean and std of forward(z), summed over the Poisson law and integrated over the normal."""
    spread = 12 * math.sqrt(count) + 30
    k = np.arange(max(0, int(count - spread)), int(count + spread) + 1)
    log_p = k * math.log(count) - count - np.array([math.lgamma(i + 1) for i in k])
    nodes, weights = hermegauss(80)
    z = noise.gain * k[:, None] + noise.mu + noise.sigma * nodes[None]
    p = np.exp(log_p)[:, None] * weights[None] / math.sqrt(2 * math.pi)
    f = forward(z.astype(np.float32), noise).astype(np.float64)
    mean = float((p * f).sum())
    return mean, math.sqrt(float((p * (f - mean) ** 2).sum()))


def algebraic_inverse(d: float, noise: PoissonGauss) -> float:
    count = d * d / 4 - 3 / 8 - (noise.sigma / noise.gain) ** 2
    return noise.gain * count + noise.mu


@pytest.mark.parametrize(("gain", "mu"), GAINS_AND_PEDESTALS)
@pytest.mark.parametrize("ratio", READ_OUT)
@pytest.mark.parametrize("count", COUNTS)
def test_the_inverse_of_the_mean_is_the_mean(
    count: float, ratio: float, gain: float, mu: float
) -> None:
    noise = PoissonGauss(gain, ratio * gain, mu)
    mean, _ = moments(count, noise)
    bias = float(inverse(np.array([mean], np.float32), noise)[0]) - (gain * count + mu)
    assert abs(bias) <= (0.025 if count >= 2 else 0.04) * gain


@pytest.mark.parametrize("ratio", READ_OUT)
@pytest.mark.parametrize("count", [c for c in COUNTS if c >= 2])
def test_the_stabilised_noise_has_unit_std(count: float, ratio: float) -> None:
    for gain, mu in GAINS_AND_PEDESTALS:
        _, std = moments(count, PoissonGauss(gain, ratio * gain, mu))
        assert 0.95 <= std <= 1.07


@pytest.mark.parametrize("ratio", READ_OUT)
@pytest.mark.parametrize("count", [c for c in COUNTS if c >= 5])
def test_the_algebraic_inverse_would_lose_a_quarter_of_a_count(count: float, ratio: float) -> None:
    """The control: the gate above can tell a biased inverse from an unbiased one."""
    noise = PoissonGauss(2.0, 2.0 * ratio, 10.0)
    mean, _ = moments(count, noise)
    bias = algebraic_inverse(mean, noise) - (noise.gain * count + noise.mu)
    assert -0.30 * noise.gain <= bias <= -0.22 * noise.gain


@pytest.mark.parametrize(
    ("grey", "noise", "expected"),
    [
        (0.0, PoissonGauss(1, 0, 0), 2 * math.sqrt(3 / 8)),
        (100.0, PoissonGauss(1, 0, 0), 2 * math.sqrt(100.375)),
        (50.0, PoissonGauss(2, 3, 10), math.sqrt(2 * 50 + 1.5 + 9 - 20)),
        (0.0, PoissonGauss(2, 0, 10), 0.0),  # below the pedestal there is no count
    ],
)
def test_forward_has_its_textbook_values(grey: float, noise: PoissonGauss, expected: float) -> None:
    value = forward(np.array([grey], np.float32), noise)[0]
    assert value == pytest.approx(expected, rel=1e-5)


noises = st.builds(PoissonGauss, st.floats(0.05, 20), st.floats(0, 20), st.floats(0, 50))


@given(noises)
@settings(max_examples=30)
def test_inverse_is_monotone_and_starts_at_the_pedestal(noise: PoissonGauss) -> None:
    d = np.linspace(0, 200, 2001, dtype=np.float32)
    grey = inverse(d, noise)
    assert grey.dtype == np.float32
    assert grey[0] == pytest.approx(noise.mu, abs=1e-3 * noise.gain + 1e-5)
    assert (np.diff(grey) >= -1e-3 * noise.gain).all()


@given(noises, st.floats(0.01, 300))
@settings(max_examples=30)
def test_the_unit_of_the_grey_values_does_not_matter(noise: PoissonGauss, unit: float) -> None:
    grey = np.linspace(0, 255, 64, dtype=np.float32)
    other = PoissonGauss(noise.gain * unit, noise.sigma * unit, noise.mu * unit)
    here, there = forward(grey, noise), forward(grey * np.float32(unit), other)
    # Near the root's zero a rounding error of the argument grows: compare the squares.
    assert np.allclose(here**2, there**2, rtol=1e-4, atol=1e-4 * float(np.max(here)) ** 2)
    assert np.allclose(inverse(here, noise) * unit, inverse(here, other), rtol=1e-4, atol=1e-3)


def test_scaled_multiplies_the_std_at_every_grey_value() -> None:
    noise = PoissonGauss(0.5, 2.0, 3.0)
    grey = np.array([10.0, 200.0])

    def variance(n: PoissonGauss) -> np.ndarray:
        return n.gain * (grey - n.mu) + n.sigma**2

    assert np.allclose(variance(noise.scaled(3.0)), 9 * variance(noise))
