"""Non-local means: the fast form is the definition, whatever the shape or the threads."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.pipeline.denoise.gaussian import denoise
from mammosono.appliance.pipeline.denoise.nlm import half_square, nonlocal_means


def by_definition(
    guide: np.ndarray, values: np.ndarray, strength: float, search: int, patch: int
) -> np.ndarray:
    """Pixel by pixel, as the docstring of the module has it."""
    margin = search + patch
    g, v = (np.pad(a.astype(np.float64), margin, mode="reflect") for a in (guide, values))
    out = np.zeros(values.shape)
    shifts = [(dy, dx) for dy in range(-search, search + 1) for dx in range(-search, search + 1)]
    for y, x in np.ndindex(values.shape):
        cy, cx = y + margin, x + margin
        here = g[cy - patch : cy + patch + 1, cx - patch : cx + patch + 1]
        total = weights = 0.0
        for dy, dx in shifts:
            sy, sx = cy + dy, cx + dx
            there = g[sy - patch : sy + patch + 1, sx - patch : sx + patch + 1]
            # The pixel itself counts with the distance that noise alone would give.
            distance = ((here - there) ** 2).mean() if dy or dx else 2.0
            weight = np.exp(-distance / strength**2)
            total, weights = total + weight * v[sy, sx], weights + weight
        out[y, x] = total / weights
    return out


@pytest.mark.parametrize(
    ("shape", "strength", "search", "patch"),
    [((13, 17), 0.8, 3, 1), ((17, 9), 1.5, 2, 2), ((8, 21), 0.6, 1, 0)],
)
def test_the_fast_form_equals_the_definition(
    shape: tuple[int, int], strength: float, search: int, patch: int
) -> None:
    rng = np.random.default_rng(0)
    guide = rng.normal(0, 1, shape).astype(np.float32)
    values = rng.uniform(0, 10, shape).astype(np.float32)
    fast = nonlocal_means(
        guide, values, strength=strength, search_radius=search, patch_radius=patch, threads=2
    )
    assert fast.dtype == np.float32
    assert np.allclose(fast, by_definition(guide, values, strength, search, patch), atol=1e-4)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.3, 2.0), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_any_shape_stays_in_range_and_gives_the_same_with_any_threads(
    height: int, width: int, strength: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.uniform(-50, 3000, (height, width)).astype(np.float32)
    guide = values / np.float32(rng.uniform(1, 500))
    one, two, five = (
        nonlocal_means(
            guide, values, strength=strength, search_radius=3, patch_radius=2, threads=threads
        )
        for threads in (1, 2, 5)
    )
    assert one.shape == values.shape
    assert one.min() >= values.min()
    assert one.max() <= values.max()
    assert np.array_equal(one, two)
    assert np.array_equal(one, five)


def test_the_arguments_are_left_as_they_were() -> None:
    rng = np.random.default_rng(0)
    guide, values = (rng.normal(0, 1, (30, 30)).astype(np.float32) for _ in range(2))
    before = guide.copy(), values.copy()
    nonlocal_means(guide, values, strength=1.0, search_radius=2, patch_radius=1, threads=1)
    assert np.array_equal(guide, before[0])
    assert np.array_equal(values, before[1])


@pytest.mark.parametrize("sigma", [1.0, 7.0])
def test_gaussian_noise_of_any_strength_is_removed_and_an_edge_is_kept(sigma: float) -> None:
    rng = np.random.default_rng(0)
    clean = np.zeros((96, 96), np.float32)
    clean[:, 48:] = 12 * sigma
    noisy = clean + rng.normal(0, sigma, clean.shape).astype(np.float32)
    result = denoise(noisy, sigma)
    assert (result - clean).std() < 0.3 * sigma
    assert np.abs(result[:, 47:49].mean(axis=0) - [0, 12 * sigma]).max() < 0.5 * sigma


def test_the_search_in_steps_looks_at_every_second_pixel_of_the_square() -> None:
    assert half_square(2, 2) == [(0, 2), (2, -2), (2, 0), (2, 2)]
    for radius, step in ((3, 1), (6, 2), (6, 3)):
        half = half_square(radius, step)
        whole = {*half, (0, 0), *((-dy, -dx) for dy, dx in half)}
        across = range(-radius, radius + 1, step)
        assert whole == {(dy, dx) for dy in across for dx in across}


def test_a_longer_search_needs_no_more_memory_than_its_margin() -> None:
    """Scratch is taken once: 84 shifts may not cost more than 4 but for wider borders."""
    image = np.random.default_rng(0).normal(0, 1, (300, 300)).astype(np.float32)

    def peak(search: int) -> int:
        tracemalloc.start()
        nonlocal_means(image, image, strength=1.0, search_radius=search, patch_radius=2, threads=1)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)
    assert peak(6) - peak(1) < 1.5 * image.nbytes
