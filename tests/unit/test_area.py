"""Reduction by averaging areas: exact, of any box, and without a copy of the picture."""

from __future__ import annotations

import tracemalloc
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mammosono.appliance.pipeline.detector.area import area_mean


def picture(seed: int, height: int, width: int, dtype: Any) -> NDArray[Any]:
    greatest = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, greatest, (height, width), dtype, True)


@given(
    seed=st.integers(0, 99),
    sides=st.tuples(st.integers(2, 60), st.integers(2, 60)),
    by=st.tuples(st.floats(1, 9), st.floats(1, 9)),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)
def test_it_is_the_area_reduction_of_the_books(
    seed: int, sides: tuple[int, int], by: tuple[float, float], dtype: Any
) -> None:
    pixels = picture(seed, *sides, dtype)
    height, width = (max(int(side / b), 1) for side, b in zip(sides, by, strict=True))
    wanted = cv2.resize(pixels.astype(np.float64), (width, height), interpolation=cv2.INTER_AREA)
    ours = area_mean(pixels, (0, 0, sides[1], sides[0]), (height, width))
    np.testing.assert_allclose(ours, wanted, atol=1e-5 * np.iinfo(dtype).max)


@given(
    seed=st.integers(0, 99),
    corner=st.tuples(st.floats(0, 9), st.floats(0, 9)),
    far=st.tuples(st.floats(12, 20), st.floats(12, 30)),
)
def test_a_pixel_on_the_border_counts_by_its_share(
    seed: int, corner: tuple[float, float], far: tuple[float, float]
) -> None:
    pixels = picture(seed, 20, 30, np.uint16).astype(float)
    (y0, x0), (y1, x1) = corner, far
    rows = np.clip(np.minimum(y1, np.arange(20) + 1) - np.maximum(y0, np.arange(20)), 0, 1)
    columns = np.clip(np.minimum(x1, np.arange(30) + 1) - np.maximum(x0, np.arange(30)), 0, 1)
    wanted = rows @ pixels @ columns / (rows.sum() * columns.sum())
    ours = area_mean(pixels.astype(np.uint16), (x0, y0, x1, y1), (1, 1))
    assert ours[0, 0] == pytest.approx(wanted, rel=1e-5)


def test_what_is_averaged_may_be_a_level_of_each_value() -> None:
    pixels = picture(1, 40, 50, np.uint8)
    levels = np.arange(255, -1, -1, dtype=np.uint8)
    box = (0, 0, 50, 40)
    turned = area_mean(pixels, box, (7, 9), levels)
    np.testing.assert_allclose(turned, 255 - area_mean(pixels, box, (7, 9)), atol=1e-3)


def test_the_largest_sums_do_not_overflow() -> None:
    white = np.full((70, 12_000), 65535, np.uint16)
    assert (area_mean(white, (0, 0, 12_000, 70), (1, 3)) == 65535).all()


@pytest.mark.parametrize("levels", [None, np.zeros(65536, np.uint8)], ids=["as it is", "levels"])
def test_no_copy_of_the_picture_is_made(levels: NDArray[Any] | None) -> None:
    film = np.zeros((4096, 3328), np.uint16)
    tracemalloc.start()
    try:
        area_mean(film, (0, 0, 3328, 4096), (896, 576), levels)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.2 * film.nbytes
