"""Where the network looks: all of the breast, little else, and the way back to the pixel."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.phantoms import Phantom, phantom
from mammosono.appliance.pipeline.detector.boxes import clip
from mammosono.appliance.pipeline.detector.frame import (
    MAX_ENLARGE,
    Frame,
    breast_box,
    frame,
    normalise,
)
from mammosono.appliance.values import Label, Modality

INPUT = (640, 448)
MG, US = Modality.MG, Modality.US
SEEDS = range(16)


@cache
def film(seed: int, label: Label | None) -> Phantom:
    return phantom(MG, seed, label, height=320, width=240)


def box_of(pixels: np.ndarray) -> tuple[int, int, int, int]:
    box = breast_box(pixels)
    assert box is not None
    return box


def labelled(picture: Phantom) -> np.ndarray | None:
    """The film with a burnt-in label in an empty corner; None where no corner is empty."""
    for y in (6, 320 - 24):
        for x in (6, 240 - 42):
            around = picture.clean[max(y - 12, 0) : y + 30, max(x - 12, 0) : x + 48]
            if around.max() < 15:
                pixels = picture.pixels.copy()
                pixels[y : y + 18, x : x + 36] = 235
                font = cv2.FONT_HERSHEY_SIMPLEX
                cv2.putText(pixels, "RCC", (x + 2, y + 13), font, 0.45, 10, 1)
                return pixels
    return None


@pytest.mark.parametrize("label", Label)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_breast_box_holds_every_lesion(seed, label):
    picture = film(seed, label)
    x0, y0, x1, y1 = box_of(picture.pixels)
    for lesion in picture.lesions:
        assert lesion.mask[y0:y1, x0:x1].sum() == lesion.mask.sum()


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_the_breasts_extent_and_a_rim(seed):
    picture = film(seed, None)
    breast = picture.clean > 30
    x0, y0, x1, y1 = box_of(picture.pixels)
    columns, rows = np.flatnonzero(breast.any(axis=0)), np.flatnonzero(breast.any(axis=1))
    tight = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    # The opening rounds thin ends off; the rim is 2 % of the long side and of the film's edge.
    assert np.abs(np.subtract((x0, y0, x1, y1), tight)).max() <= 0.06 * 320
    assert breast[y0:y1, x0:x1].sum() >= 0.99 * breast.sum()


def test_a_label_in_the_background_does_not_enlarge_it():
    films = [(film(seed, None).pixels, labelled(film(seed, None))) for seed in SEEDS]
    pairs = [(plain, other) for plain, other in films if other is not None]
    assert len(pairs) >= 6
    for plain, other in pairs:
        assert np.abs(np.subtract(box_of(plain), box_of(other))).max() <= 4


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_thin_bright_line_from_the_breast_across_the_film_does_not_enlarge_it(seed):
    picture = film(seed, None)
    lined = picture.pixels.copy()
    lined[160:163] = np.maximum(lined[160:163], 200)
    assert np.abs(np.subtract(box_of(picture.pixels), box_of(lined))).max() <= 8


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_white_rims_of_the_film_do_not_enlarge_it(seed):
    picture = film(seed, None)
    rimmed = picture.pixels.copy()
    rimmed[:2], rimmed[-2:], rimmed[:, :2], rimmed[:, -2:] = 255, 255, 255, 255
    assert np.abs(np.subtract(box_of(picture.pixels), box_of(rimmed))).max() <= 4


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_bit_depth_and_exposure_do_not_move_it(seed):
    pixels = film(seed, None).pixels
    deep = pixels.astype(np.uint16) * 16 + 300
    assert np.abs(np.subtract(box_of(pixels), box_of(deep))).max() <= 2


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_it_is_the_same_share_of_a_larger_film(seed):
    pixels = film(seed, None).pixels
    large = cv2.resize(pixels, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    assert np.abs(np.subtract(np.multiply(box_of(pixels), 4), box_of(large))).max() <= 16


def noise(kind: str, size: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(3)
    drawn = {
        "counts": rng.poisson(2, size),
        "grey": rng.normal(100, 20, size),
        "dim": rng.normal(6, 1.5, size),
        "any level": rng.integers(0, 256, size),
        "specks": 255 * (rng.random(size) < 0.01),
    }[kind]
    return np.clip(drawn, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["counts", "grey", "dim", "any level", "specks"])
@pytest.mark.parametrize("size", [(64, 64), (300, 200), (1400, 1000)])
def test_a_film_of_noise_has_no_breast(kind, size):
    place = frame(noise(kind, size), MG, INPUT)
    assert not place.found
    assert place.crop == (0, 0, size[1], size[0])


@pytest.mark.parametrize("level", [0, 3, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_even_film_has_no_breast(level, dtype):
    assert not frame(np.full((300, 200), level, dtype), MG, INPUT).found


def test_a_dark_film_with_nothing_but_a_label_has_no_breast():
    dark = noise("dim", (400, 300))
    dark[20:50, 220:280] = 240
    assert not frame(dark, MG, INPUT).found


def test_ultrasound_is_never_cropped():
    place = frame(np.zeros((300, 400), np.uint8), US, INPUT)
    assert (place.crop, place.found) == ((0, 0, 400, 300), True)


sides = st.integers(1, 3000)
ratios = st.tuples(sides, sides)


@settings(max_examples=40, deadline=None)
@given(ratios, st.sampled_from([INPUT, (96, 128)]))
def test_what_is_cut_and_placed_fits_the_canvas_whatever_the_aspect(size, input_size):
    pixels = np.full(size, 200, np.uint8)
    place = frame(pixels, US, input_size)
    working = place.cut(pixels)
    assert working.dtype == np.float32
    assert working.shape == place.working_size
    assert working.shape[0] <= min(size[0], input_size[0])
    assert working.shape[1] <= min(size[1], input_size[1])
    canvas = place.place(working)
    assert (canvas.shape, canvas.dtype) == (input_size, np.float32)
    filled = canvas > 0
    height, width = filled.any(axis=1).sum(), filled.any(axis=0).sum()
    assert filled[:height, :width].all()
    assert abs(height - size[0] * place.scale) <= 1
    assert abs(width - size[1] * place.scale) <= 1
    assert place.scale <= MAX_ENLARGE


def test_the_picture_fills_one_side_of_the_canvas():
    for size in ((2000, 1000), (1000, 2000)):
        scale = frame(np.zeros(size, np.uint8), US, INPUT).scale
        assert max(size[0] * scale / INPUT[0], size[1] * scale / INPUT[1]) == pytest.approx(1)


def test_a_small_picture_is_enlarged_at_most_twice_and_denoised_at_its_own_size():
    pixels = film(0, None).pixels[:100, :80]
    place = frame(pixels, US, INPUT)
    assert place.scale == MAX_ENLARGE
    assert np.array_equal(place.cut(pixels), pixels)


def test_area_reduction_keeps_the_mean_grey():
    pixels = np.random.default_rng(0).integers(0, 4096, (1280, 896)).astype(np.uint16)
    place = frame(pixels, US, INPUT)
    blocks = pixels.reshape(640, 2, 448, 2).mean(axis=(1, 3))
    assert np.allclose(place.cut(pixels), blocks, atol=1e-2)


frames = st.builds(
    lambda x, y, w, h, scale: Frame((x, y, x + w, y + h), scale, INPUT),
    st.integers(0, 500), st.integers(0, 500), st.integers(20, 300), st.integers(20, 300),
    st.floats(0.1, 1.4),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(frames, st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4))
def test_boxes_go_to_the_input_and_back(place, corners):
    x0, y0, x1, y1 = place.crop
    (xa, ya, xb, yb) = corners
    low = np.array([min(xa, xb), min(ya, yb)]) * [x1 - x0, y1 - y0] + [x0, y0]
    high = np.array([max(xa, xb), max(ya, yb)]) * [x1 - x0, y1 - y0] + [x0, y0]
    box = np.concatenate([low, high])[None].astype(np.float32)
    there = place.to_input(box)
    assert np.array_equal(there, clip(there, INPUT))
    assert np.allclose(place.to_image(there, (900, 900)), box, atol=1e-2)


def test_the_crops_corner_is_the_inputs_corner():
    place = Frame((100, 50, 300, 450), 1.6, INPUT)
    corners = np.array([[100, 50, 300, 450]], np.float32)
    assert np.allclose(place.to_input(corners), [[0, 0, 320, 640]])
    assert np.allclose(place.to_image(np.float32([[0, 0, 320, 640]]), (500, 400)), corners)


def test_boxes_are_cut_to_the_image():
    place = Frame((100, 50, 300, 450), 1.6, INPUT)
    outside = np.array([[-400, -400, 4000, 4000]], np.float32)
    assert place.to_image(outside, (500, 400)).tolist() == [[0, 0, 400, 500]]


def test_a_bright_pixel_lands_in_the_box_that_is_mapped():
    """The frame's arithmetic and its resampling agree, for large films and small ones."""
    for size in ((900, 700), (200, 150)):
        pixels = np.zeros(size, np.uint8)
        y, x = size[0] // 3, size[1] // 2
        pixels[y : y + 4, x : x + 4] = 255
        place = frame(pixels, US, INPUT)
        canvas = place.place(place.cut(pixels))
        rows, columns = np.mgrid[: INPUT[0], : INPUT[1]] + 0.5
        middle = [(columns * canvas).sum() / canvas.sum(), (rows * canvas).sum() / canvas.sum()]
        box = place.to_input(np.array([[x, y, x + 4, y + 4]], np.float32))[0]
        assert middle == pytest.approx([box[[0, 2]].mean(), box[[1, 3]].mean()], abs=0.3)


@pytest.mark.parametrize(("dtype", "peak"), [(np.uint8, 255), (np.uint16, 65535)])
def test_restoring_replaces_the_crop_and_leaves_the_rest(dtype, peak):
    pixels = np.random.default_rng(0).integers(0, peak + 1, (300, 200)).astype(dtype)
    place = Frame((40, 60, 140, 260), 0.5, INPUT)
    working = np.full(place.working_size, peak, np.float32)
    restored = place.restore(working, pixels)
    inside = np.zeros(pixels.shape, bool)
    inside[60:260, 40:140] = True
    assert (restored.dtype, restored.shape) == (dtype, pixels.shape)
    assert (restored[inside] == peak).all()
    assert np.array_equal(restored[~inside], pixels[~inside])
    assert not np.shares_memory(restored, pixels)


def test_restoring_what_was_cut_at_full_size_changes_nothing():
    pixels = film(1, None).pixels
    place = frame(pixels, MG, INPUT)
    assert np.array_equal(place.restore(place.cut(pixels), pixels), pixels)


def test_grey_levels_are_between_two_percentiles_whatever_the_gain_and_pedestal():
    working = film(2, None).pixels.astype(np.float32)
    levels = normalise(working, (1.0, 99.0))
    low, high = np.percentile(working, (1.0, 99.0))
    assert levels.dtype == np.float32
    assert (levels[working <= low] == 0).all()
    assert (levels[working >= high] == 1).all()
    assert np.allclose(levels, normalise(working * 16 + 300, (1.0, 99.0)), atol=1e-4)


def test_an_even_picture_becomes_black():
    assert not normalise(np.full((5, 5), 77, np.float32), (1.0, 99.0)).any()
