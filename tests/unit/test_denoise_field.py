"""What an ultrasound picture holds beside tissue is found, and tissue is not taken for it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.denoise import denoise
from mammosono.appliance.pipeline.denoise.field import filled, marks, surround
from mammosono.appliance.pipeline.denoise.obnlm import root_of, speckle
from mammosono.appliance.values import Label, Modality

PEAK = 255.0
SIDE = 7


def drawn_over(picture: np.ndarray, grey: int = 255) -> tuple[np.ndarray, np.ndarray]:
    """Calipers joined by a dotted line and a word, as scanners draw them; and where they are."""
    shown, where = picture.copy(), np.zeros(picture.shape, np.uint8)
    height, width = picture.shape
    ends = np.array([[0.3 * width, 0.35 * height], [0.6 * width, 0.5 * height]])
    for canvas, value in ((shown, grey), (where, 255)):
        for x, y in ends.astype(int).tolist():
            cv2.line(canvas, (x - 6, y), (x + 6, y), value, 2)
            cv2.line(canvas, (x, y - 6), (x, y + 6), value, 2)
        for along in np.linspace(0.1, 0.9, 12):
            x, y = (ends[0] + along * (ends[1] - ends[0])).astype(int).tolist()
            canvas[y : y + 2, x : x + 2] = value
        place = int(0.05 * width), int(0.8 * height)
        cv2.putText(canvas, "RT 2", place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, value, 1)
    # Letters have soft edges: the faintest are not told from speckle.
    return shown, where >= 64


def us_phantom(seed: int, noise: float = 1.0) -> np.ndarray:
    label = (None, *Label)[seed % 3]
    return phantom(Modality.US, seed, label, height=288, width=320, noise=noise).pixels


def dim_phantom(seed: int) -> np.ndarray:
    """At a low gain, so that a mark stands out wherever it is drawn."""
    return np.asarray(0.6 * us_phantom(seed), np.uint8)


def found_marks(picture: np.ndarray) -> np.ndarray | None:
    image = picture.astype(np.float32)
    root = root_of(image, PEAK)
    sigma = speckle(root, surround(image, SIDE))
    assert sigma is not None
    return marks(image, root, sigma)


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_no_tissue_is_taken_for_a_mark(noise: float) -> None:
    for seed in range(8):
        assert found_marks(us_phantom(seed, noise)) is None


@pytest.mark.parametrize("grey", [200, 255])
def test_drawn_calipers_dots_and_words_are_found_to_the_last_pixel(grey: int) -> None:
    for seed in range(4):
        shown, where = drawn_over(dim_phantom(seed), grey)
        found = found_marks(shown)
        assert found is not None
        assert (found & where).sum() > 0.97 * where.sum()
        # And little beside them: not more than a rim.
        near = cv2.dilate(where.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert not (found & ~near).any()


def test_marks_come_back_as_they_were_and_the_speckle_beside_them_is_removed_as_without() -> None:
    for seed in range(4):
        plain = dim_phantom(seed)
        shown, where = drawn_over(plain)
        found = found_marks(shown)
        assert found is not None
        with_marks, _ = denoise(shown.astype(np.float32), Modality.US, peak=PEAK)
        without, _ = denoise(plain.astype(np.float32), Modality.US, peak=PEAK)
        assert np.array_equal(with_marks[found], shown[found])
        rim = cv2.dilate(where.astype(np.uint8), np.ones((11, 11), np.uint8)) > 0
        beside = rim & ~cv2.dilate(where.astype(np.uint8), np.ones((3, 3), np.uint8)).view(bool)
        removed = np.abs(without - plain)[beside].mean()
        assert np.abs(with_marks - without)[beside].mean() < 0.25 * removed
        assert abs(float((with_marks - without)[beside].mean())) < 0.3


def test_words_on_the_black_surround_and_the_black_itself_are_left_alone() -> None:
    picture = us_phantom(1)
    picture[:, 250:] = 0
    cv2.putText(picture, "L 3", (262, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 1, cv2.LINE_AA)
    result, record = denoise(picture.astype(np.float32), Modality.US, peak=PEAK)
    assert record.method == "obnlm"
    assert np.array_equal(result[:, 251:], picture[:, 251:])


def test_a_bright_level_line_is_fascia_and_a_broad_bright_area_is_tissue() -> None:
    picture = np.clip(np.random.default_rng(0).normal(70, 9, (200, 240)), 0, 255)
    picture[80:83, 20:200] = 240
    picture[120:160, 60:130] = 235
    assert found_marks(picture.astype(np.uint8)) is None


def test_the_surround_is_wide_and_black() -> None:
    picture = np.full((60, 60), 9.0, np.float32)
    picture[:, :20] = 0
    picture[30:33, 40:43] = 0
    black = surround(picture, SIDE)
    assert black[:, :20].all()
    assert not black[:, 20:].any()


def test_holes_are_filled_with_the_level_around_them() -> None:
    picture = np.random.default_rng(0).normal(80, 5, (60, 60)).astype(np.float32)
    holes = np.zeros(picture.shape, bool)
    holes[20:23, 10:40] = True
    picture[holes] = 255
    result = filled(picture, holes)
    assert result[holes] == pytest.approx(80, abs=2.5)
    assert np.array_equal(result[~holes], picture[~holes])
    assert np.array_equal(filled(picture, np.ones_like(holes)), picture)
