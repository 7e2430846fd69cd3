"""Noise estimates: right on pure noise, hardly moved by structure, None where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest

from mammosono.appliance.pipeline.denoise.estimate import (
    block_statistics,
    block_std,
    noise_std,
    residual,
)


def white(sigma: float, size: int = 256, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, sigma, (size, size)).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.5, 4.0, 60.0])
def test_white_noise_is_measured_within_three_percent(sigma: float) -> None:
    assert noise_std(white(sigma)) == pytest.approx(sigma, rel=0.03)


def test_edges_and_slopes_hardly_move_the_estimate() -> None:
    y, x = np.mgrid[:256, :256].astype(np.float32)
    scene = 0.5 * x + 80 * ((x - 120) ** 2 + (y - 90) ** 2 < 2500)
    assert noise_std((white(4.0) + scene).astype(np.float32)) == pytest.approx(4.0, rel=0.06)


def test_a_plane_has_no_residual() -> None:
    y, x = np.mgrid[:40, :50].astype(np.float32)
    assert np.abs(residual(3 * x - 2 * y + 7)[1:-1, 1:-1]).max() < 1e-3


def test_the_residual_of_white_noise_keeps_its_variance() -> None:
    assert residual(white(5.0)).std() == pytest.approx(5.0, rel=0.02)


def test_only_the_chosen_pixels_count() -> None:
    image = white(2.0)
    image[:, 128:] = white(20.0)[:, 128:]
    left = np.zeros(image.shape, bool)
    left[:, :126] = True
    assert noise_std(image, left) == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("shape", [(1, 50), (50, 2), (1, 1)])
def test_a_picture_narrower_than_the_filter_has_no_estimate(shape: tuple[int, int]) -> None:
    assert noise_std(np.ones(shape, np.float32)) is None


def test_nothing_chosen_gives_no_estimate() -> None:
    assert noise_std(white(1.0), np.zeros((256, 256), bool)) is None


def test_block_std_is_the_std_of_each_block_whose_middle_is_chosen() -> None:
    image = 1000 + white(3.0, 30)
    deviation = block_std(image, 7, np.ones((30, 30), bool))
    expected = [image[y : y + 7, x : x + 7].std() for y in range(0, 28, 7) for x in range(0, 28, 7)]
    assert deviation == pytest.approx(expected, rel=1e-3)
    left = np.zeros((30, 30), bool)
    left[:, :15] = True
    assert np.array_equal(block_std(image, 7, left), deviation.reshape(4, 4)[:, :2].ravel())
    assert block_std(np.full((20, 20), 65535, np.float32), 7, np.ones((20, 20), bool)).max() == 0
    assert block_std(image, 31, np.ones((30, 30), bool)).size == 0


def test_blocks_report_their_mean_and_noise_variance() -> None:
    image = white(4.0, 260)
    image[:, 130:] += 50
    inside = np.ones(image.shape, bool)
    inside[:, 120:140] = False
    means, variances = block_statistics(image, 8, inside)
    columns_inside = 120 // 8 + (256 - 144) // 8
    assert means.shape == variances.shape == (32 * columns_inside,)
    assert set(np.rint(means / 50)) == {2.0, 3.0}
    assert variances.mean() == pytest.approx(16.0, rel=0.05)


def test_a_picture_smaller_than_a_block_has_no_blocks() -> None:
    means, variances = block_statistics(white(1.0, 7), 8, np.ones((7, 7), bool))
    assert means.size == variances.size == 0
