"""Millimetres: of what is in the patient, only where the file says them, and never by guess."""

from __future__ import annotations

from typing import Any

import pytest
from files import dicom, group, picture, said, ultrasound_region

from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.dicom import DECIMAL_COMMA
from mammosono.appliance.intake.dicom_spacing import NO_SPACING
from mammosono.appliance.values import Modality, SourceImage

GREY = picture()
IMAGER = {"ImagerPixelSpacing": [0.1, 0.1]}
MAGNIFIED = {"EstimatedRadiographicMagnificationFactor": 1.8}
IN_PATIENT = 0.1 / 1.8


def mammogram(*edit: Any, **elements: Any) -> SourceImage:
    return read_image(dicom(GREY, *edit, modality="MG", **elements), Modality.MG)


def ultrasound(*regions: Any, **elements: Any) -> SourceImage:
    data = dicom(GREY, SequenceOfUltrasoundRegions=list(regions), **elements)
    return read_image(data, Modality.US)


MEASURED: dict[str, tuple[dict[str, Any], float | None]] = {
    "at the detector, nothing said of magnification": (IMAGER, 0.1),
    "at the detector": (IMAGER | MAGNIFIED, IN_PATIENT),
    "of a scanned film": (MAGNIFIED | {"NominalScannedPixelSpacing": [0.1, 0.1]}, IN_PATIENT),
    "Pixel Spacing that repeats the detector's": (
        IMAGER | MAGNIFIED | {"PixelSpacing": [0.1, 0.1]},
        IN_PATIENT,
    ),
    "Pixel Spacing that differs": (IMAGER | MAGNIFIED | {"PixelSpacing": [0.0556, 0.0556]}, 0.0556),
    "Pixel Spacing corrected by geometry": (
        IMAGER
        | MAGNIFIED
        | {"PixelSpacing": [0.05, 0.05], "PixelSpacingCalibrationType": "GEOMETRY"},
        0.05,
    ),
    "Pixel Spacing corrected by a fiducial, alone": (
        MAGNIFIED | {"PixelSpacing": [0.05, 0.05], "PixelSpacingCalibrationType": "FIDUCIAL"},
        0.05,
    ),
    "Pixel Spacing that says corrected and is the detector's": (
        IMAGER
        | MAGNIFIED
        | {"PixelSpacing": [0.1, 0.1], "PixelSpacingCalibrationType": "GEOMETRY"},
        None,
    ),
    "Pixel Spacing alone, of a magnified view": (MAGNIFIED | {"PixelSpacing": [0.1, 0.1]}, None),
    "Pixel Spacing alone, of a contact view": (
        {"PixelSpacing": [0.1, 0.1], "EstimatedRadiographicMagnificationFactor": 1.05},
        0.1,
    ),
    "in a view that says magnified, and no factor": (IMAGER | {"ViewPosition": "MCC"}, None),
    "in a view whose meaning alone says so": (
        IMAGER | {"ViewModifierCodeSequence": group(CodeMeaning="Magnification")},
        None,
    ),
    "magnified by the distances": (
        IMAGER | {"DistanceSourceToDetector": 660, "DistanceSourceToPatient": 330},
        0.05,
    ),
    "a magnification view that says no factor": (
        IMAGER
        | {
            "ViewCodeSequence": group(
                CodeValue="R-10242", ViewModifierCodeSequence=group(CodeValue="R-102D6")
            )
        },
        None,
    ),
    "in a functional group": (
        {
            "SharedFunctionalGroupsSequence": group(
                PixelMeasuresSequence=group(PixelSpacing=[0.08, 0.08])
            )
        },
        0.08,
    ),
}


@pytest.mark.parametrize(("elements", "expected"), MEASURED.values(), ids=MEASURED.keys())
def test_a_mammogram_is_measured_in_the_patient(
    elements: dict[str, Any], expected: float | None
) -> None:
    image = mammogram(**elements)
    assert image.spacing_mm == (expected and pytest.approx((expected, expected)))
    assert (NO_SPACING in image.warnings) == (expected is None)


@pytest.mark.parametrize("factor", ["0", "-1.8", "0.5", "900", "1e300", "nan", "1,8,0", "much"])
def test_a_magnification_that_cannot_be_meant_leaves_no_millimetres(factor: str) -> None:
    image = mammogram(said(EstimatedRadiographicMagnificationFactor=factor), **IMAGER)
    assert image.spacing_mm is None
    assert NO_SPACING in image.warnings


@pytest.mark.parametrize(
    ("said_so", "expected"),
    [
        ({"ImagerPixelSpacing": "0,07\\0,07"}, 0.07),
        ({"PixelSpacing": "0,07\\0,07"}, 0.07),
        (
            {"ImagerPixelSpacing": "0,1\\0.1", "EstimatedRadiographicMagnificationFactor": "1,8"},
            IN_PATIENT,
        ),
        (
            {
                "ImagerPixelSpacing": "0.1\\0.1",
                "DistanceSourceToDetector": "650,0",
                "DistanceSourceToPatient": "325,0",
            },
            0.05,
        ),
    ],
)
def test_a_decimal_comma_is_a_decimal_point_and_told(
    said_so: dict[str, str], expected: float
) -> None:
    image = mammogram(said(**said_so))
    assert image.spacing_mm == pytest.approx((expected, expected))
    assert DECIMAL_COMMA in image.warnings
    assert NO_SPACING not in image.warnings


def test_a_comma_that_is_none_of_a_number_is_not_told() -> None:
    image = mammogram(said(ImagerPixelSpacing="0.07\\0.07", VOILUTFunction="A,B"))
    assert DECIMAL_COMMA not in image.warnings


BAD = ["0,07,0,07", "0.07 mm\\0.07 mm", "0.07", "0.07\\", "nan\\nan", "1e300\\1e300", "a\\b"]
BAD += ["-0.07\\-0.07", "0\\0", "70\\70", "0.07;0.07", "inf\\inf", "1e-300\\1e-300"]


@pytest.mark.parametrize("text", BAD)
@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagerPixelSpacing"])
def test_a_spacing_that_is_none_costs_the_millimetres_and_not_the_picture(
    keyword: str, text: str
) -> None:
    image = mammogram(said(**{keyword: text}))
    assert image.pixels.shape == GREY.shape
    assert image.spacing_mm is None
    assert NO_SPACING in image.warnings


@pytest.mark.parametrize("text", BAD)
def test_neither_does_it_of_an_ultrasound(text: str) -> None:
    image = read_image(dicom(GREY, said(PixelSpacing=text)), Modality.US)
    assert image.spacing_mm is None
    assert NO_SPACING in image.warnings


# Regions of an ultrasound

LEFT = ultrasound_region(box=(0, 0, 60, 96))
RIGHT = ultrasound_region(box=(60, 0, 128, 96))
COARSE = ultrasound_region(box=(60, 0, 128, 96), delta_cm=0.03)
BARE = ultrasound_region(box=(60, 0, 128, 96), units=0)
IN_LEFT, IN_RIGHT, ACROSS = (10, 10, 30, 30), (70, 10, 90, 30), (50, 10, 70, 30)


def test_millimetres_are_given_inside_the_calibrated_regions_alone() -> None:
    image = ultrasound(LEFT)
    assert image.spacing_mm == pytest.approx((0.2, 0.2))
    assert image.spacing_within(IN_LEFT) == pytest.approx((0.2, 0.2))
    assert image.spacing_within(IN_RIGHT) is None
    assert image.spacing_within(ACROSS) is None
    assert image.spacing_within((0, 0, 60, 96)) == pytest.approx((0.2, 0.2))
    assert image.spacing_within((0, 0, 61, 96)) is None


def test_each_region_has_its_own_scale() -> None:
    image = ultrasound(LEFT, COARSE)
    assert image.spacing_mm is None
    assert image.spacing_within(IN_LEFT) == pytest.approx((0.2, 0.2))
    assert image.spacing_within(IN_RIGHT) == pytest.approx((0.3, 0.3))
    assert image.spacing_within(ACROSS) is None
    assert image.warnings == ()


def test_a_region_without_units_has_no_millimetres_and_the_picture_no_scale() -> None:
    image = ultrasound(LEFT, BARE, PixelSpacing=[0.2, 0.2])
    assert image.spacing_mm is None
    assert image.spacing_within(IN_LEFT) == pytest.approx((0.2, 0.2))
    assert image.spacing_within(IN_RIGHT) is None


def test_an_inset_of_another_scale_takes_its_place_out_of_the_picture_s() -> None:
    image = ultrasound(ultrasound_region(), ultrasound_region(box=(80, 0, 128, 40), delta_cm=0.05))
    assert image.spacing_within(IN_LEFT) == pytest.approx((0.2, 0.2))
    assert image.spacing_within((90, 5, 100, 15)) is None


@pytest.mark.parametrize(
    "region",
    [
        ultrasound_region(data_type=3),
        ultrasound_region(units=4),
        ultrasound_region(delta_cm=0.0),
        ultrasound_region(delta_cm=1e300),
        ultrasound_region(delta_cm=float("nan")),
        ultrasound_region(box=(100, 0, 50, 96)),
    ],
    ids=["not tissue", "seconds", "zero", "1e300", "NaN", "a box inside out"],
)
def test_regions_that_are_not_calibrated_tissue_leave_no_millimetres(region: Any) -> None:
    image = ultrasound(region, PixelSpacing=[0.2, 0.2])
    assert image.spacing_mm is None
    assert image.spacing_within(IN_LEFT) is None
    assert NO_SPACING in image.warnings


def test_deltas_are_negative_where_the_axis_points_up_or_left() -> None:
    region = ultrasound_region()
    region.PhysicalDeltaX, region.PhysicalDeltaY = -0.02, -0.03
    assert ultrasound(region).spacing_mm == pytest.approx((0.3, 0.2))
