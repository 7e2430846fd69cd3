"""The second way for ultrasound: it undoes itself, shrinks noise alone, keeps the same rules."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.phantoms import phantom
from mammosono.appliance.phantoms.noise import loupas
from mammosono.appliance.values import Label, Modality
from mammosono.tools.evaluation.log_shrinkage import LEVELS, shrink_logarithm, shrunk, soft

PEAK = 255.0


def way(image: np.ndarray) -> np.ndarray:
    return shrink_logarithm(image.astype(np.float32), peak=PEAK)[0]


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(PEAK**2 / np.mean((image - truth) ** 2)))


def smooth_scene() -> np.ndarray:
    y, x = np.mgrid[:192, :224].astype(np.float32)
    image = 90 + 30 * np.sin(x / 40) + 20 * np.cos(y / 30)
    image[(x - 90) ** 2 + (y - 80) ** 2 < 900] = 40
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_without_noise_to_shrink_the_wavelets_give_the_picture_back(
    height: int, width: int, levels: int, seed: int
) -> None:
    image = np.random.default_rng(seed).normal(0, 1, (height, width)).astype(np.float32)
    # A few bright pixels on a flat picture: the median of every band is 0, so nothing is shrunk.
    image[np.abs(image) < 2.5] = 0
    sparse = np.kron(image, np.eye(8, dtype=np.float32)[:, :1] @ np.eye(8, dtype=np.float32)[:1])
    assert np.allclose(shrunk(sparse, min(levels, 2)), sparse, atol=1e-5)
    assert np.array_equal(shrunk(image, 0), image)


def test_shrinking_takes_the_threshold_off_and_wipes_out_what_is_noise_alone() -> None:
    band = np.array([[-5.0, -0.5, 0.5, 5.0]], np.float32)
    signal = np.sqrt(np.mean(band**2) - 1)
    limit = 1 / signal
    assert soft(band, 1.0) == pytest.approx(
        np.sign(band) * np.maximum(np.abs(band) - limit, 0), abs=1e-6
    )
    assert not soft(band, 10.0).any()
    assert np.array_equal(soft(band, 0.0), band)


@pytest.mark.parametrize("grain", [None, (0.9, 1.3)])
def test_speckle_falls_and_the_mean_stays(grain: tuple[float, float] | None) -> None:
    clean = smooth_scene()
    noisy = loupas(clean, 1.0, np.random.default_rng(0), correlation_px=grain)
    image = np.clip(noisy, 0, PEAK).astype(np.float32)
    result, record = shrink_logarithm(image, peak=PEAK)
    assert psnr(result, clean) - psnr(image, clean) > {None: 6.0, (0.9, 1.3): 2.5}[grain]
    assert result.mean() == pytest.approx(image.mean(), rel=0.01)
    assert image.min() <= result.min()
    assert result.max() <= image.max()
    assert record.method == "log-shrinkage"
    assert record.parameters["levels"] == LEVELS
    assert record.noise_before is not None
    assert record.noise_after is not None
    assert record.noise_after < 0.8 * record.noise_before


def test_the_antilogarithm_is_not_too_dark_where_speckle_is_strong() -> None:
    clean = np.full((160, 160), 25.0, np.float32)
    image = np.clip(loupas(clean, 2.0, np.random.default_rng(0)), 0, PEAK).astype(np.float32)
    geometric = np.exp(np.log(image + 1).mean()) - 1
    assert image.mean() - geometric > 2
    assert way(image).mean() == pytest.approx(image.mean(), abs=0.75)


def test_marks_and_surround_are_left_alone() -> None:
    picture = (0.6 * phantom(Modality.US, 1, Label.BENIGN, height=200, width=240).pixels).astype(
        np.uint8
    )
    cv2.rectangle(picture, (40, 60), (42, 90), 255, -1)
    picture[:, 220:] = 0
    result = way(picture)
    assert (result[60:91, 40:43] == 255).all()
    assert not result[:, 221:].any()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 48)),
        np.full((64, 48), PEAK),
        np.full((1, 200), 9.0),
        np.kron(np.eye(8), np.full((16, 16), 200.0)),
    ],
    ids=["all black", "saturated", "one pixel high", "posterised"],
)
def test_without_measurable_speckle_the_picture_comes_back(image: np.ndarray) -> None:
    result, record = shrink_logarithm(image.astype(np.float32), peak=PEAK)
    assert np.array_equal(result, image)
    assert record.method == "none"
