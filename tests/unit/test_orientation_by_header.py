"""Which way a DICOM picture lies by its header, and what that says of its side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from files import dicom, picture, said

from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.dicom import LIES_UNUSUALLY
from mammosono.appliance.intake.posted import CONTRADICTED
from mammosono.appliance.values import Laterality, Modality, SourceImage

GREY = picture()
L, R = Laterality.LEFT, Laterality.RIGHT


def film(side: str, view: str | None, *orientation: str, **elements: Any) -> SourceImage:
    stated = {"ImageLaterality": side, "PatientOrientation": list(orientation), **elements}
    return read_image(dicom(GREY, modality="MG", ViewPosition=view, **stated), Modality.MG)


@pytest.mark.parametrize("flip", ["YES", "NO"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_field_of_view_has_been_turned_already(flip: str, rotation: int) -> None:
    turned = {"FieldOfViewHorizontalFlip": flip, "FieldOfViewRotation": rotation}
    image = film("R", "MLO", "P", "FL", **turned)
    assert np.array_equal(image.pixels, GREY)
    assert (image.laterality, image.view, image.warnings) == (R, "MLO", ())


@pytest.mark.parametrize(
    ("side", "orientation"),
    [("L", ("A", "FR")), ("R", ("P", "FL")), ("L", ("P", "HL")), ("R", ("A", "HR")),
     ("L", ("A", "RF")), ("L", ("A", "F")), ("R", ("A", "F")), ("L", ("P", "FR"))],
)  # fmt: skip
def test_an_oblique_view_may_be_turned_and_is_of_its_side(
    side: str, orientation: tuple[str, str]
) -> None:
    image = film(side, "MLO", *orientation)
    assert (image.laterality, image.warnings) == (Laterality(side), ())


@pytest.mark.parametrize(
    ("side", "orientation"),
    [("R", ("A", "FR")), ("L", ("P", "FL")), ("R", ("P", "HL")), ("L", ("A", "HR"))],
)
def test_an_oblique_view_may_contradict_its_side(side: str, orientation: tuple[str, str]) -> None:
    image = film(side, "MLO", *orientation)
    assert image.laterality is None
    assert image.warnings == (CONTRADICTED,)


def test_an_orientation_names_no_side_by_itself() -> None:
    image = film("", "MLO", "A", "FR")
    assert (image.laterality, image.warnings) == (None, ())


@pytest.mark.parametrize("view", ["CC", None])
@pytest.mark.parametrize("along", ["A", "P"])
@pytest.mark.parametrize("side", ["L", "R"])
def test_a_cranio_caudal_view_with_its_outer_half_below_is_told(
    side: str, along: str, view: str | None
) -> None:
    other = {"L": "R", "R": "L"}[side]
    assert film(side, view, along, other).warnings == ()
    upside_down = film(side, view, along, side)
    assert upside_down.laterality is Laterality(side)
    assert upside_down.warnings == (LIES_UNUSUALLY,)


@pytest.mark.parametrize(
    "orientation", [(), ("R",), ("A", "R", "F"), ("X", "R"), ("LEFT", "RIGHT"), ("", "R")]
)
def test_what_is_no_orientation_says_nothing(orientation: tuple[str, ...]) -> None:
    assert film("R", "CC", *orientation).warnings == ()


def test_a_view_may_stand_where_the_orientation_belongs() -> None:
    assert film("L", None, "MLO").view == "MLO"
    contradicted = film("L", "CC", "MLO")
    assert (contradicted.view, contradicted.warnings) == (None, (CONTRADICTED,))


@pytest.mark.parametrize("written", ["YES", "yes", "Y", "Yes "])
def test_text_in_the_picture_is_told_however_that_is_written(written: str) -> None:
    data = dicom(GREY, said(BurnedInAnnotation=written))
    assert [each.code for each in read_image(data, Modality.US).warnings] == ["burned_in_text"]
