"""Perturbations: each does what its name says, moves nothing, and leaves black black."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mammosono.appliance.values import FloatImage
from mammosono.tools.data import perturb

IMAGES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(24, 40), st.integers(24, 40)),
    elements=st.floats(0, 1, width=32),
)
CURVE = np.linspace(0.1, 0.9, 9, dtype=np.float32)
EVERY: dict[str, Callable[[FloatImage, np.random.Generator], FloatImage]] = {
    "contrast": lambda image, _: perturb.contrast(image, 1.4),
    "dynamic range": lambda image, _: perturb.dynamic_range(image, 45),
    "depth gain": lambda image, _: perturb.depth_gain(image, (-4, 2, 6)),
    "resample": lambda image, _: perturb.resample(image, 0.5),
    "jpeg": lambda image, _: perturb.jpeg(image, 40),
    "speckle": lambda image, rng: perturb.speckle(image, 0.1, 1.0, rng),
    "match greys": lambda image, _: perturb.match_greys(
        image, np.linspace(0.1, 0.9, 9, dtype="f4")
    ),
}


@pytest.mark.parametrize("name", EVERY)
@given(image=IMAGES, seed=st.integers(0, 9))
def test_it_stays_a_picture_and_black_stays_black(name: str, image: FloatImage, seed: int) -> None:
    before = image.copy()
    changed = EVERY[name](image, np.random.default_rng(seed))
    assert changed.shape == image.shape
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not changed[image == 0].any()
    np.testing.assert_array_equal(image, before)


@given(image=IMAGES)
def test_nothing_is_done_by_a_perturbation_of_nothing(image: FloatImage) -> None:
    for same in (
        perturb.contrast(image, 1),
        perturb.dynamic_range(image, 60),
        perturb.depth_gain(image, (0, 0)),
        perturb.resample(image, 1),
        perturb.blur(image, 0),
    ):
        np.testing.assert_allclose(same, image, atol=1e-6)


def ramp() -> FloatImage:
    return np.tile(np.linspace(0.05, 0.95, 64, dtype=np.float32), (48, 1))


def test_less_dynamic_range_keeps_white_and_darkens_the_rest() -> None:
    narrow = perturb.dynamic_range(ramp(), 40)
    assert (narrow <= ramp() + 1e-6).all()
    white = np.ones((4, 4), np.float32)
    np.testing.assert_array_equal(perturb.dynamic_range(white, 40), white)


def test_depth_gain_changes_with_depth_alone() -> None:
    grey = np.full((60, 30), 0.5, np.float32)
    curve = perturb.depth_gain(grey, (0, 6))
    assert np.ptp(curve, axis=1).max() == 0
    assert (np.diff(curve[:, 0]) > 0).all()
    assert curve[-1, 0] == pytest.approx(0.6, abs=1e-6)


def test_a_picture_takes_the_grey_curve_of_another() -> None:
    other = ramp() ** 3
    curve = perturb.grey_curve(other)
    np.testing.assert_allclose(
        perturb.grey_curve(perturb.match_greys(ramp(), curve)), curve, atol=0.02
    )


def test_marks_that_are_drawn_are_painted_out_again() -> None:
    rng = np.random.default_rng(3)
    tissue = perturb.blur(rng.uniform(0.2, 0.5, (120, 140)).astype(np.float32), 2)
    marked = perturb.calipers(tissue, (40, 40, 90, 80), rng)
    assert (marked != tissue).sum() > 20
    cleaned = perturb.without_marks(marked)
    assert np.abs(cleaned - tissue).max() < 0.15
    assert np.abs(perturb.without_marks(tissue) - tissue).max() == 0


def test_letters_stand_near_a_border() -> None:
    marked = perturb.label_text(np.full((200, 200), 0.3, np.float32), np.random.default_rng(1))
    rows = np.flatnonzero((marked != np.float32(0.3)).any(axis=1))
    assert rows.size
    assert rows.min() < 60 or rows.max() > 140
