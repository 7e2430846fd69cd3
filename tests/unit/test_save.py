"""The folder that a reading is saved to."""

from __future__ import annotations

import json
import weakref
from dataclasses import replace

import cv2
import numpy as np
import pytest
import readings

from mammosono.appliance.output import rle
from mammosono.appliance.output.document import Result
from mammosono.appliance.output.save import save_reading


def test_it_holds_result_report_and_four_pictures_an_image(tmp_path):
    reading = readings.pair()
    folder = tmp_path / "deep" / "out"
    save_reading(folder, "feed", reading)
    kinds = ("original", "denoised", "overlay", "mask")
    pictures = {f"{kind}_{index}.png" for kind in kinds for index in (0, 1)}
    assert {file.name for file in folder.iterdir()} == pictures | {"result.json", "report.html"}
    assert json.loads((folder / "result.json").read_text()) == Result.of("feed", reading).document()
    assert "<!doctype html>" in (folder / "report.html").read_text("utf-8")


def test_every_picture_is_that_of_its_image(tmp_path):
    reading = readings.pair()
    save_reading(tmp_path, "feed", reading)
    for image, pictures in zip(reading.images, reading.pictures, strict=True):

        def stored(kind, index=image.index):
            return cv2.imread(str(tmp_path / f"{kind}_{index}.png"), cv2.IMREAD_UNCHANGED)

        np.testing.assert_array_equal(stored("original"), pictures.original)
        np.testing.assert_array_equal(stored("denoised"), pictures.denoised)
        np.testing.assert_array_equal(stored("mask") > 0, rle.decode(image.findings[0].mask))
        assert stored("overlay").shape == (image.height, image.width, 3)


def test_pictures_that_are_not_in_the_reading_are_taken_one_at_a_time(tmp_path):
    reading = readings.pair()
    alive = []

    def drawn():
        for image in reading.images:
            # The one before may be the last in the caller's hands, none before that.
            assert sum(each() is not None for each in alive) <= 1
            pictures = readings.pictures((image.height, image.width))
            alive.append(weakref.ref(pictures.original))
            yield pictures
            del pictures

    twice = replace(reading, images=(*reading.images, replace(reading.images[1], index=2)))
    reading = replace(twice, pictures=())
    save_reading(tmp_path, "feed", reading, drawn())
    assert len(list(tmp_path.glob("*_2.png"))) == 4
    with pytest.raises(ValueError, match="zip"):
        save_reading(tmp_path, "feed", reading)


def test_saving_again_overwrites(tmp_path):
    save_reading(tmp_path, "first", readings.pair())
    save_reading(tmp_path, "second", readings.pair())
    assert json.loads((tmp_path / "result.json").read_text())["id"] == "second"


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        save_reading(tmp_path / "file" / "out", "feed", readings.pair())
