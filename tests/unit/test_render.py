"""PNG pictures of a reading."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import readings
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.output import rle
from mammosono.appliance.output.render import COLOURS, grey_png, mask_png, overlay_png, place_label
from mammosono.appliance.values import Label, Modality, Verdict

FLAGS = cv2.IMREAD_UNCHANGED


def decoded(png: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), FLAGS)
    return picture if picture.ndim == 2 else picture[..., ::-1]


def one_finding(label=Label.MALIGNANT, centre=(150.0, 200.0), radius=60.0, size=(400, 300)):
    finding = readings.finding(label, 0.9, centre=centre, radius=radius, size=size)
    return readings.image(0, Modality.MG, Verdict.POSITIVE, (finding,), size=size)


def test_a_grey_picture_is_kept_pixel_by_pixel():
    picture = readings.pictures((40, 60)).original
    np.testing.assert_array_equal(decoded(grey_png(picture)), picture)


def test_without_findings_the_overlay_is_the_original():
    plain = readings.image(0, Modality.US, Verdict.NEGATIVE, size=(50, 70))
    pictures = readings.pictures((50, 70))
    overlay = decoded(overlay_png(pictures, plain))
    np.testing.assert_array_equal(overlay, np.repeat(pictures.original[..., None], 3, axis=2))


@pytest.mark.parametrize("label", list(Label))
def test_the_outline_has_the_colour_of_the_label(label):
    image = one_finding(label)
    overlay = decoded(overlay_png(readings.pictures((400, 300)), image))
    x, y = image.findings[0].contour[0]
    np.testing.assert_allclose(overlay[int(y), int(x)], COLOURS[label], atol=40)


def test_the_fill_is_translucent_and_ends_at_the_mask():
    image = one_finding()
    pictures = readings.pictures((400, 300))
    overlay = decoded(overlay_png(pictures, image)).astype(int)
    before = pictures.original[200, 150]
    assert overlay[200, 150, 0] > before
    assert abs(overlay[200, 150] - int(before)).max() < 80
    mask = rle.decode(image.findings[0].mask).astype(np.uint8)
    far = cv2.dilate(mask, np.ones((99, 99))) == 0
    np.testing.assert_array_equal(overlay[far][:, 0], pictures.original[far])


def test_an_empty_mask_still_gets_its_label():
    image = one_finding(centre=(150.0, 200.0), radius=0.1)
    assert image.findings[0].area_px == 0
    pictures = readings.pictures((400, 300))
    overlay = decoded(overlay_png(pictures, image))
    assert (overlay != pictures.original[..., None]).any()


def test_the_mask_picture_tells_benign_from_malignant_and_malignant_wins():
    size = (80, 90)
    grave = readings.finding(Label.MALIGNANT, 0.8, centre=(30, 40), radius=10, size=size)
    mild = readings.finding(Label.BENIGN, 0.2, centre=(45, 40), radius=20, size=size)
    image = readings.image(0, Modality.MG, Verdict.POSITIVE, (grave, mild), size=size)
    picture = decoded(mask_png(image))
    malignant, benign = rle.decode(grave.mask), rle.decode(mild.mask)
    assert (malignant & benign).any()
    np.testing.assert_array_equal(picture == 255, malignant)
    np.testing.assert_array_equal(picture == 128, benign & ~malignant)


@given(
    st.tuples(st.integers(1, 60), st.integers(1, 30)),
    st.tuples(*[st.floats(-20, 220)] * 4),
    st.tuples(st.integers(64, 200), st.integers(64, 200)),
    st.integers(0, 3),
)
@settings(max_examples=100, deadline=None)
def test_a_label_is_never_outside_the_picture(label, box, size, others):
    taken = []
    for _ in range(others + 1):
        x0, y0, x1, y1 = place_label(label, box, size, taken)
        assert 0 <= x0 < x1 <= size[1]
        assert 0 <= y0 < y1 <= size[0]
        assert (x1 - x0, y1 - y0) == label
        taken.append((x0, y0, x1, y1))


def test_two_labels_of_one_box_do_not_cover_each_other():
    box, size = (50.0, 50.0, 90.0, 120.0), (200, 200)
    first = place_label((60, 14), box, size, [])
    second = place_label((60, 14), box, size, [first])
    assert first[1] == 36
    assert second[1] == 120


@pytest.mark.parametrize("size", [(64, 64), (64, 2000), (3000, 300)])
def test_pictures_of_odd_shapes_are_drawn(size):
    image = one_finding(centre=(size[1] - 4, 4), radius=9, size=size)
    assert decoded(overlay_png(readings.pictures(size), image)).shape == (*size, 3)
