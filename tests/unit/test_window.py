"""Any bit depth to the eight bits of a screen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.pipeline.window import to_grey


def test_the_window_spans_black_to_white_and_all_beyond_it_is_cut():
    pixels = np.array([[0, 100, 200, 300, 65535]], np.uint16)
    assert to_grey(pixels, (100, 300)).tolist() == [[0, 0, 128, 255, 255]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_eight_bit_picture_with_the_full_window_is_unchanged(dtype):
    pixels = np.arange(256, dtype=dtype).reshape(16, 16)
    grey = to_grey(pixels, (0, 255))
    assert grey.dtype == np.uint8
    assert np.array_equal(grey, pixels)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 60000), st.floats(0.5, 60000))
def test_a_brighter_pixel_is_never_darker(low, span):
    pixels = np.arange(0, 65536, 37, dtype=np.uint16)[None]
    grey = to_grey(pixels, (low, low + span))
    assert grey.dtype == np.uint8
    assert (np.diff(grey[0].astype(int)) >= 0).all()
    assert (grey[pixels <= low] == 0).all()
    assert (grey[pixels >= low + span] == 255).all()


def test_a_window_of_fractions_is_taken_as_it_is():
    assert to_grey(np.array([[10, 11]], np.uint8), (9.5, 11.5)).tolist() == [[64, 191]]
