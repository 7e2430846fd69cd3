"""Side and view of an image by its header, by its sender and by its file's name."""

from __future__ import annotations

from typing import Any

import pytest
from files import dicom, picture, png
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.posted import CONTRADICTED
from mammosono.appliance.values import Laterality, Modality, Origin, Posted, SourceImage

L, R = Laterality.LEFT, Laterality.RIGHT
HEADER, FORM, NAME = Origin
MG, US = Modality.MG, Modality.US
GREY = picture()


def said(image: SourceImage) -> tuple[Any, ...]:
    return image.laterality, image.laterality_from, image.view, image.view_from


def film(posted: Posted = Posted(), **elements: Any) -> SourceImage:
    return read_image(dicom(GREY, modality="MG", **elements), MG, posted=posted)


def raster(posted: Posted, modality: Modality = MG) -> SourceImage:
    return read_image(png(GREY), modality, posted=posted)


LEFT_CC = {"ImageLaterality": "L", "ViewPosition": "CC"}


def test_the_header_comes_first_then_the_form_then_the_name():
    everything = Posted("LCC.png", L, "CC")
    assert said(film(everything, **LEFT_CC)) == (L, HEADER, "CC", HEADER)
    assert said(film(everything)) == (L, FORM, "CC", FORM)
    assert said(film(Posted("LCC.png"))) == (L, NAME, "CC", NAME)
    assert said(film(Posted("LCC.png", L))) == (L, FORM, "CC", NAME)
    assert said(raster(everything)) == (L, FORM, "CC", FORM)
    assert said(raster(Posted("scan.png"))) == (None, None, None, None)


@pytest.mark.parametrize(
    ("posted", "left"),
    [
        (Posted("x.png", R), (None, None, "CC", HEADER)),
        (Posted("RCC.png"), (None, None, "CC", HEADER)),
        (Posted("x.png", L, "MLO"), (L, HEADER, None, None)),
        (Posted("RMLO.png"), (None, None, None, None)),
    ],
)
def test_where_they_do_not_agree_it_is_not_known_and_that_is_told(posted, left):
    image = film(posted, **LEFT_CC)
    assert said(image) == left
    assert image.warnings == (CONTRADICTED,)


def test_a_header_that_contradicts_itself_is_settled_by_nobody():
    image = film(Posted("LCC.png", L, "CC"), **LEFT_CC | {"Laterality": "R"})
    assert said(image) == (None, None, "CC", HEADER)
    assert image.warnings == (CONTRADICTED,)


def test_an_ultrasound_has_a_side_and_no_view_and_its_name_is_not_one_of_a_film():
    assert said(raster(Posted("LCC.png", R, "CC"), US)) == (R, FORM, None, None)
    assert said(raster(Posted("LCC.png"), US)) == (None, None, None, None)


def code(value: str, **nested: Any) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, "SCT"
    for keyword, more in nested.items():
        setattr(item, keyword, more)
    return item


def frame_anatomy(**elements: Any) -> dict[str, Any]:
    anatomy, group = Dataset(), Dataset()
    for keyword, value in elements.items():
        setattr(anatomy, keyword, value)
    group.FrameAnatomySequence = [anatomy]
    return {"PerFrameFunctionalGroupsSequence": [group]}


MAGNIFIED = code("399162004", ViewModifierCodeSequence=[code("399163009")])
LEFT_REGION = code("76752008", AnatomicRegionModifierSequence=[code("7771000")])


@pytest.mark.parametrize(
    ("elements", "side", "view"),
    [
        ({"ViewCodeSequence": [code("399162004")]}, None, "CC"),
        ({"ViewCodeSequence": [code("R-10226")]}, None, "MLO"),
        ({"ViewCodeSequence": [code("R-10226")], "ViewPosition": "MLO"}, None, "MLO"),
        ({"ViewCodeSequence": [code("R-10226")], "ViewPosition": "CC"}, None, None),
        ({"ViewCodeSequence": [MAGNIFIED]}, None, "CC magnified"),
        ({"AnatomicRegionSequence": [code("80248007")]}, L, None),
        ({"AnatomicRegionSequence": [code("T-04020")]}, R, None),
        ({"AnatomicRegionSequence": [LEFT_REGION]}, L, None),
        (frame_anatomy(FrameLaterality="R"), R, None),
        (frame_anatomy(FrameLaterality="R") | {"ImageLaterality": "L"}, None, None),
        ({"ImageLaterality": "U", "Laterality": "L"}, L, None),
        ({"Laterality": "l"}, L, None),
        ({"Laterality": "Right"}, R, None),
        ({"Laterality": "BILATERAL"}, None, None),
        ({"Laterality": "LEFT", "ImageLaterality": "R"}, None, None),
        ({"ViewCodeSequence": [Dataset()], "AnatomicRegionSequence": []}, None, None),
    ],
)
def test_side_and_view_are_found_wherever_a_header_may_say_them(elements, side, view):
    with disable_value_validation():
        image = film(**elements)
    assert (image.laterality, image.view) == (side, view)


def test_a_sequence_out_of_all_proportion_is_passed_over():
    """Each item costs the parser more than its eight bytes cost the sender."""
    for more, side in ((10, L), (3000, None)):
        items = [code("80248007"), *(Dataset() for _ in range(more))]
        assert film(AnatomicRegionSequence=items).laterality is side
