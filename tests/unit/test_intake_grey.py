"""DICOM grey scale: bright is dense, whichever way a file's greys run, and shown as it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from files import coloured, dicom, group, lut, picture, said
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from mammosono.appliance.errors import CorruptDicom, UnsupportedDicom
from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.dicom import DECIMAL_COMMA
from mammosono.appliance.intake.dicom_grey import VOI_LUT_IGNORED, WINDOW_IGNORED
from mammosono.appliance.pipeline.window import to_grey
from mammosono.appliance.values import Modality, SourceImage

GREY = picture(levels=4096)
LEVELS = np.arange(4096)
BACKWARDS = 4095 - GREY
NEGATIVE_SLOPE = {"RescaleSlope": -1, "RescaleIntercept": 4095}


def read(pixels: NDArray[Any], *edit: Any, **elements: Any) -> SourceImage:
    bits = {"BitsStored": 12, "HighBit": 11} if pixels.dtype.itemsize == 2 else {}
    return read_image(dicom(pixels, *edit, modality="MG", **bits, **elements), Modality.MG)


def shown(image: SourceImage) -> NDArray[Any]:
    return to_grey(image.pixels, image.window).astype(float)


TURNED: dict[str, dict[str, Any]] = {
    "a negative slope": NEGATIVE_SLOPE,
    "a slope of -10": {"RescaleSlope": -10, "RescaleIntercept": 40950},
    "a slope that is negative and nothing else": {"RescaleSlope": "-1e-45"},
    "a modality table": {"ModalityLUTSequence": [lut(4095 - LEVELS, bits=12)]},
    "a VOI table": {"VOILUTSequence": [lut(4095 - LEVELS, bits=12)]},
    "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1"},
    "MONOCHROME1 and INVERSE": {
        "PhotometricInterpretation": "MONOCHROME1",
        "PresentationLUTShape": "INVERSE",
    },
    "a group shared by all frames": {
        "SharedFunctionalGroupsSequence": group(
            PixelValueTransformationSequence=group(**NEGATIVE_SLOPE)
        )
    },
    "a group of the frame": {
        "PerFrameFunctionalGroupsSequence": group(
            PixelValueTransformationSequence=group(**NEGATIVE_SLOPE)
        )
    },
    "a table in a group of the frame": {
        "PerFrameFunctionalGroupsSequence": group(
            FrameVOILUTSequence=group(VOILUTSequence=[lut(4095 - LEVELS, bits=12)])
        )
    },
}


@pytest.mark.filterwarnings("ignore:Value length:UserWarning")
@pytest.mark.parametrize("elements", TURNED.values(), ids=TURNED.keys())
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
def test_greys_that_run_backwards_are_turned_round(
    elements: dict[str, Any], syntax: str | None
) -> None:
    given = elements | ({"syntax": syntax} if syntax else {})
    assert np.array_equal(read(BACKWARDS, **given).pixels, GREY)


def test_a_table_of_a_big_endian_file_is_read_in_its_order() -> None:
    table = [lut(4095 - LEVELS, bits=12, order=">")]
    image = read(BACKWARDS, syntax=ExplicitVRBigEndian, VOILUTSequence=table)
    assert np.array_equal(image.pixels, GREY)


def test_what_is_turned_twice_stands_as_it_was() -> None:
    image = read(GREY, PhotometricInterpretation="MONOCHROME1", **NEGATIVE_SLOPE)
    assert np.array_equal(image.pixels, GREY)


def test_the_window_is_turned_with_the_greys() -> None:
    window = {"WindowCenter": 2000, "WindowWidth": 2000}
    assert read(BACKWARDS, **NEGATIVE_SLOPE, **window).window == (1000, 2999)
    table = [lut(4095 - LEVELS, bits=12)]
    assert read(BACKWARDS, ModalityLUTSequence=table, **window).window == (1000, 2999)


CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "MONOCHROME2 and INVERSE": {"PresentationLUTShape": "INVERSE"},
    "MONOCHROME1 and IDENTITY": {
        "PhotometricInterpretation": "MONOCHROME1",
        "PresentationLUTShape": "IDENTITY",
    },
    "MONOCHROME2 and a presentation table that falls": {
        "PresentationLUTSequence": [lut(4095 - LEVELS, bits=12)]
    },
    "MONOCHROME1 and a presentation table": {
        "PhotometricInterpretation": "MONOCHROME1",
        "PresentationLUTSequence": [lut(LEVELS, bits=12)],
    },
    "INVERSE in a group": {"SharedFunctionalGroupsSequence": group(PresentationLUTShape="INVERSE")},
    "a slope that a group contradicts": {
        "RescaleSlope": 1,
        "SharedFunctionalGroupsSequence": group(
            PixelValueTransformationSequence=group(**NEGATIVE_SLOPE)
        ),
    },
}


@pytest.mark.parametrize("elements", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_a_file_that_says_both_ways_is_refused(elements: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedDicom):
        read(GREY, **elements)


@pytest.mark.parametrize("written", ["-1", "-1.0", "-1,0", "-1E0 "])
def test_one_number_written_in_two_ways_is_no_contradiction(written: str) -> None:
    inner = group(**NEGATIVE_SLOPE)
    shared = group(PixelValueTransformationSequence=inner)
    stated = said(RescaleSlope=written, RescaleIntercept="4095.00")
    image = read(BACKWARDS, stated, SharedFunctionalGroupsSequence=shared)
    assert np.array_equal(image.pixels, GREY)


@pytest.mark.parametrize("elements", [{"PresentationLUTShape": "INVERSE"}, {"RescaleSlope": -1}])
def test_colours_cannot_be_inverse(elements: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedDicom):
        read(coloured(picture()), **elements)


@pytest.mark.parametrize("slope", ["1,0,0", "1 0", "steep", "nan"])
def test_a_slope_that_is_no_number_is_refused_for_its_sign_is_not_known(slope: str) -> None:
    with pytest.raises(CorruptDicom, match="Rescale Slope"):
        read(GREY, said(RescaleSlope=slope))


@pytest.mark.parametrize(
    ("slope", "intercept", "stored"), [("1,0", "0", GREY), ("-1,0", "4095,0", BACKWARDS)]
)
def test_a_decimal_comma_says_which_way_greys_run_and_what_is_white(
    slope: str, intercept: str, stored: NDArray[Any]
) -> None:
    said_so = {"RescaleSlope": slope, "RescaleIntercept": intercept, "WindowCenter": "2000,0"}
    image = read(stored, said(**said_so, WindowWidth="2000,0"))
    assert np.array_equal(image.pixels, GREY)
    assert image.window == (1000, 2999)
    assert image.warnings == (DECIMAL_COMMA,)


# What bends


CURVE = 4095 / (1 + np.exp(-12 * (LEVELS / 4095 - 0.45)))


@pytest.mark.parametrize("table", [CURVE, CURVE // 16], ids=["12 bits", "8 bits"])
@pytest.mark.parametrize("stated_bits", [8, 12, 16])
def test_a_voi_table_is_applied_and_its_own_white_is_white(table, stated_bits: int) -> None:
    image = read(GREY, VOILUTSequence=[lut(table, bits=stated_bits)])
    white = 4095 if table.max() > 255 else 255
    assert np.abs(shown(image) - 255 * table[GREY] / white).max() < 1.5
    assert image.warnings == ()


def test_a_table_that_ends_below_white_stays_below_white() -> None:
    image = read(GREY, VOILUTSequence=[lut(LEVELS // 2, bits=12)])
    assert np.abs(shown(image) - 255.0 * (GREY // 2) / 4095).max() < 1


def test_of_several_tables_the_first_is_meant_and_a_table_goes_before_a_window() -> None:
    tables = [lut(LEVELS, bits=12), lut(4095 - LEVELS, bits=12)]
    image = read(GREY, VOILUTSequence=tables, WindowCenter=10, WindowWidth=10)
    assert np.array_equal(image.pixels, GREY)
    assert image.window == (0, 4095)


def test_a_table_begins_at_its_first_level_which_may_be_negative() -> None:
    signed = GREY.astype(np.int16) - 2048
    table = [lut(LEVELS[500:], first=500 - 2048, bits=12)]
    assert np.array_equal(read(signed, VOILUTSequence=table).pixels, np.maximum(GREY, 500))


def test_a_damaged_voi_table_is_told_and_a_damaged_modality_table_refused() -> None:
    short = lut(LEVELS, bits=12)
    short.LUTDescriptor = [60000, 0, 12]
    image = read(GREY, VOILUTSequence=[short])
    assert np.array_equal(image.pixels, GREY)
    assert image.warnings == (VOI_LUT_IGNORED,)
    with pytest.raises(CorruptDicom):
        read(GREY, ModalityLUTSequence=[short])


@pytest.mark.parametrize("inverted", [False, True])
def test_a_sigmoid_window_is_a_sigmoid(inverted: bool) -> None:
    turned = {"PhotometricInterpretation": "MONOCHROME1"} if inverted else {}
    image = read(GREY, WindowCenter=1500, WindowWidth=900, VOILUTFunction="SIGMOID", **turned)
    expected = 255 / (1 + np.exp(-4 * (GREY - 1500.0) / 900))
    assert np.abs(shown(image) - (255 - expected if inverted else expected)).max() < 1


def test_a_presentation_table_that_rises_is_applied_behind_the_window() -> None:
    table = np.rint(4095 * (np.arange(4096) / 4095) ** 2)
    window = {"WindowCenter": 2000, "WindowWidth": 2000, "VOILUTFunction": "LINEAR_EXACT"}
    image = read(GREY, PresentationLUTSequence=[lut(table, bits=12)], **window)
    expected = 255 * np.clip((GREY - 1000.0) / 2000, 0, 1) ** 2
    assert np.abs(shown(image) - expected).max() < 1.5


def test_the_window_may_be_in_a_group_of_the_frame() -> None:
    groups = group(FrameVOILUTSequence=group(WindowCenter=2000, WindowWidth=2000))
    assert read(GREY, PerFrameFunctionalGroupsSequence=groups).window == (1000, 2999)


# Windows that cannot be meant


@pytest.mark.parametrize(
    "text", ["15,00,5", "wide", "nan", "1e300", "1e-300", "inf", "-inf", "1 0"]
)
@pytest.mark.parametrize("keyword", ["WindowCenter", "WindowWidth", "RescaleIntercept"])
def test_a_number_that_cannot_be_meant_costs_the_window_and_is_told(
    keyword: str, text: str
) -> None:
    image = read(GREY, said(**{"WindowCenter": "2000", "WindowWidth": "2000", keyword: text}))
    assert np.array_equal(image.pixels, GREY)
    assert 0 <= image.window[0] < image.window[1] <= 4095
    assert image.window[1] - image.window[0] > 1000
    assert image.warnings == (WINDOW_IGNORED,)


@pytest.mark.parametrize("width", ["0.5", "1", "1e-9", "0", "-2000"])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT"])
def test_a_window_that_would_leave_two_greys_is_not_used(width: str, function: str) -> None:
    image = read(GREY, said(WindowCenter="2000", WindowWidth=width), VOILUTFunction=function)
    assert image.window[1] - image.window[0] > 1000
    assert image.warnings == (WINDOW_IGNORED,)


def test_a_width_below_one_is_meant_where_the_slope_makes_it_wide() -> None:
    scaled = {"RescaleSlope": "0.0001", "RescaleIntercept": "0"}
    image = read(GREY, said(WindowCenter="0.2", WindowWidth="0.2", **scaled))
    assert image.window == pytest.approx((1000, 3000))


def test_of_several_windows_the_first_that_can_be_meant_is_used() -> None:
    image = read(GREY, said(WindowCenter="abc\\2000", WindowWidth="0\\2000"))
    assert image.window == (1000, 2999)


# Depths


@pytest.mark.parametrize("signed", [False, True])
def test_the_white_of_seven_bits_is_127(signed: bool) -> None:
    grey = picture(levels=128)
    stored = (grey.astype(int) - 64).astype(np.int8) if signed else grey
    image = read(stored, BitsStored=7, HighBit=6)
    assert np.array_equal(image.pixels, grey)
    assert image.window == (0, 127)


@pytest.mark.parametrize("syntax", [None, ExplicitVRBigEndian])
@pytest.mark.parametrize("signed", [False, True])
def test_pixels_may_lie_high_in_their_words_with_overlays_around_them(
    signed: bool, syntax: str | None
) -> None:
    stored = ((GREY << 2) | 0x8001).astype(np.uint16)
    if signed:
        stored = (stored ^ 0x2000).view(np.int16)
    elements = {"HighBit": 13} | ({"syntax": syntax} if syntax else {})
    image = read_image(dicom(stored, modality="MG", BitsStored=12, **elements), Modality.MG)
    assert np.array_equal(image.pixels, GREY)


def test_a_high_bit_that_the_pixels_contradict_is_not_believed() -> None:
    data = dicom(GREY, modality="MG", BitsStored=12, HighBit=15)
    assert np.array_equal(read_image(data, Modality.MG).pixels, GREY)
