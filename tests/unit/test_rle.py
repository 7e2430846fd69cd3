"""COCO run-length encoding, against pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as coco

from mammosono.appliance.output.rle import decode, encode
from mammosono.appliance.values import Rle

masks = arrays.arrays(
    np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)
)
margins = st.integers(0, 40)


def reference(image: NDArray[np.bool_]) -> str:
    return str(coco.encode(np.asfortranarray(image.astype(np.uint8)))["counts"].decode("ascii"))


def placed(mask: NDArray[np.bool_], top: int, left: int, bottom: int, right: int) -> NDArray:
    return np.pad(mask, ((top, bottom), (left, right)))


@given(masks, margins, margins, margins, margins)
@settings(max_examples=200, deadline=None)
def test_a_crop_encodes_to_the_bytes_of_pycocotools_on_the_full_image(mask, top, left, low, right):
    image = placed(mask, top, left, low, right)
    assert encode(mask, top, left, image.shape) == Rle(image.shape, reference(image))


@given(masks, margins, margins)
@settings(max_examples=100, deadline=None)
def test_a_mask_survives_the_round_trip(mask, top, left):
    image = placed(mask, top, left, 3, 0)
    np.testing.assert_array_equal(decode(encode(mask, top, left, image.shape)), image)


@given(masks)
@settings(max_examples=100, deadline=None)
def test_what_pycocotools_wrote_is_read_back(mask):
    np.testing.assert_array_equal(decode(Rle(mask.shape, reference(mask))), mask)


@pytest.mark.parametrize("value", [False, True])
def test_an_image_of_one_value_is_one_run(value):
    mask = np.full((7, 5), value)
    assert encode(mask, 0, 0, (7, 5)).counts == reference(mask)


def test_a_full_height_crop_joins_its_runs_over_the_columns():
    mask = np.ones((6, 3), bool)
    image = placed(mask, 0, 2, 0, 2)
    assert encode(mask, 0, 2, (6, 7)).counts == reference(image)


def test_an_empty_crop_is_an_empty_mask():
    assert encode(np.zeros((0, 0), bool), 2, 1, (4, 3)).counts == reference(np.zeros((4, 3), bool))


def test_large_runs_and_large_negative_differences_need_several_digits():
    mask = np.zeros((3000, 2000), bool)
    mask[1:3, 0] = mask[2999, 1999] = True
    mask[:, 700:900] = True
    rle = encode(mask, 0, 0, (3000, 2000))
    assert rle.counts == reference(mask)
    np.testing.assert_array_equal(decode(rle), mask)


@pytest.mark.parametrize(("top", "left"), [(-1, 0), (0, -1), (3, 0), (0, 4)])
def test_a_crop_outside_the_image_is_refused(top, left):
    with pytest.raises(ValueError, match="outside"):
        encode(np.ones((2, 2), bool), top, left, (4, 5))


@pytest.mark.parametrize("counts", ["", "P", "0P", "\x10", "é", "oooooooo0", "5", "=", "O"])
def test_a_damaged_string_is_refused(counts):
    with pytest.raises(ValueError, match="run"):
        decode(Rle((4, 3), counts))
