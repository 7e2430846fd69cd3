"""The picture of an image with its findings: nothing of the image is hidden, and it says what it is
not for."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from exams import exam
from hypothesis import given, settings
from hypothesis import strategies as st
from images import coloured, mammogram, ultrasound
from numpy.typing import NDArray
from PIL import Image, ImageCms

from mammosono.appliance.intake import read_image
from mammosono.appliance.node.contexts import ObjectKind
from mammosono.appliance.node.objects.capture import LEAST_WIDTH_PX, LONGEST_SIDE_PX, fitted
from mammosono.appliance.node.objects.icc import srgb
from mammosono.appliance.pipeline.window import to_grey
from mammosono.appliance.values import Modality, Verdict

CAPTURE = frozenset({ObjectKind.CAPTURE})


def picture(folder: Path, ds, verdict: Verdict = Verdict.NEGATIVE) -> NDArray[np.uint8]:
    (written,) = exam(folder, verdict, images=(ds,), kinds=CAPTURE).write()
    return written.pixel_array


@pytest.mark.parametrize("ds", [mammogram(), ultrasound(), coloured(ultrasound())], ids="MUC")
def test_without_findings_it_shows_the_image_as_it_was_read(ds, tmp_path: Path) -> None:
    shown = picture(tmp_path, ds)
    (file,) = tmp_path.glob("*.dcm")
    source = read_image(file.read_bytes(), Modality(ds.Modality))
    grey = to_grey(source.pixels, source.window)
    assert (shown[: ds.Rows, : ds.Columns] == grey[..., None]).all()
    assert shown.shape[1] == max(ds.Columns, LEAST_WIDTH_PX)


@pytest.mark.parametrize("verdict", Verdict)
def test_the_words_stand_below_the_image(verdict: Verdict, tmp_path: Path) -> None:
    shown = picture(tmp_path, mammogram(), verdict)
    below = shown[256:].astype(int)
    yellow = (below[..., 0] > 150) & (below[..., 2] < 140)
    assert yellow.sum() > 500  # the notice
    assert (below.min(axis=2) > 150).sum() > 500  # the verdicts


@settings(max_examples=60, deadline=None)
@given(width=st.integers(64, 12_000), height=st.integers(64, 12_000), words=st.integers(1, 30))
def test_no_side_is_longer_than_a_display_s_and_none_is_lost(
    width: int, height: int, words: int
) -> None:
    said = [("Twelve words that are said of an image and of its exam.", (0, 0, 0))] * words
    (columns, rows), below = fitted(width, height, said)
    assert max(below.shape[1], rows + below.shape[0]) <= LONGEST_SIDE_PX
    assert columns <= below.shape[1]
    assert columns / width == pytest.approx(rows / height, abs=1 / min(width, height))
    if max(width, height) <= 1500:
        assert (columns, rows) == (width, height)
    else:
        assert max(columns, rows) > 1500


def test_what_is_said_is_bounded_and_goes_on_in_the_report(tmp_path: Path) -> None:
    one = exam(tmp_path, images=(mammogram(),), kinds=CAPTURE)
    one.document["images"][0]["warnings"] = ["A long sentence that is said of it. " * 5] * 60
    one.document["images"][0]["reasons"] = ["x"] * 60
    (written,) = one.write()
    assert written.Rows < 256 + 300


def test_a_name_burnt_into_the_image_is_said_to_be_there(tmp_path: Path) -> None:
    for burnt in ("YES", "NO"):
        images = (ultrasound(1, BurnedInAnnotation=burnt),)
        (written,) = exam(tmp_path, images=images, kinds=CAPTURE).write()
        assert written.BurnedInAnnotation == burnt


def test_what_was_lossy_stays_lossy(tmp_path: Path) -> None:
    lossy = {"LossyImageCompression": "01", "LossyImageCompressionRatio": 12}
    mg = mammogram(**lossy, LossyImageCompressionMethod="ISO_10918_1")
    for ds in exam(
        tmp_path, images=(mg,), kinds=frozenset({ObjectKind.CAPTURE, ObjectKind.SEGMENTATION})
    ).write():
        assert ds.LossyImageCompression == "01"
        assert ds.LossyImageCompressionMethod == "ISO_10918_1"


def test_the_colour_profile_is_one_that_others_read() -> None:
    profile = ImageCms.ImageCmsProfile(BytesIO(srgb()))
    assert profile.profile.xcolor_space.strip() == "RGB"
    to_srgb = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    levels = np.linspace(0, 255, 64).astype(np.uint8)
    ramp = np.stack([levels, levels[::-1], np.roll(levels, 20)], axis=1)[None]
    back = np.asarray(ImageCms.applyTransform(Image.fromarray(ramp), to_srgb)).astype(int)
    assert np.abs(back - ramp.astype(int)).max() <= 3
