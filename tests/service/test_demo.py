"""The demo's pair of pictures."""

from __future__ import annotations

import pytest

from mammosono.appliance.intake import read_image
from mammosono.appliance.phantoms.demo import draw_pair
from mammosono.appliance.values import Modality

pytestmark = pytest.mark.slow


def test_the_pair_is_the_same_every_time(tmp_path):
    first, second = draw_pair(tmp_path / "a"), draw_pair(tmp_path / "b")
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]


def test_the_pictures_pass_intake_in_their_size(tmp_path):
    sizes = {}
    for file, modality in zip(draw_pair(tmp_path), Modality, strict=True):
        image = read_image(file.read_bytes(), modality)
        sizes[file.name] = (image.width, image.height)
    assert sizes == {"mammogram.png": (640, 1024), "ultrasound.png": (560, 480)}


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        draw_pair(tmp_path / "file" / "demo")
