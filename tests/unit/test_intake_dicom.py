"""DICOM: what comes out for good files, and the refusal of bad ones."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from files import (
    coloured,
    dicom,
    group,
    picture,
    ultrasound_region,
    with_nested_sequences,
    with_transfer_syntax,
)
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from mammosono.appliance.errors import (
    CorruptDicom,
    ImageTooLarge,
    IntakeError,
    ModalityMismatch,
    MultiFrame,
    NoContent,
    UnsupportedDicom,
    UnsupportedTransferSyntax,
)
from mammosono.appliance.intake import dicom_pixels, read_image
from mammosono.appliance.intake.colour import COLOURED
from mammosono.appliance.intake.dicom_grey import WINDOW_IGNORED
from mammosono.appliance.intake.dicom_header import BURNED_IN, FOR_PROCESSING, UNNAMED_MODALITY
from mammosono.appliance.intake.transfer_syntax import READABLE, require_readable_transfer_syntax
from mammosono.appliance.pipeline.window import to_grey
from mammosono.appliance.values import Laterality, Modality, SourceImage

GREY8 = picture()
GREY12 = picture(levels=4096)
GREY16 = picture(levels=65536)


def read(pixels: NDArray[Any], *edit: Callable[[FileDataset], object], **elements: Any):
    modality = Modality(elements.get("modality", "US"))
    return read_image(dicom(pixels, *edit, **elements), modality)


# Pixels


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGBaseline8Bit])
@pytest.mark.parametrize("more", [-8, 8], ids=["smaller", "larger"])
def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch, syntax: str, more: int
) -> None:
    def decode(_: object) -> None:
        pytest.fail("it was decoded")

    def state_another_size(ds: FileDataset) -> None:
        ds.Rows += more

    read(GREY8, syntax=syntax)
    monkeypatch.setattr(dicom_pixels, "get_decoder", decode)
    with pytest.raises(CorruptDicom, match="stated size"):
        read(GREY8, state_another_size, syntax=syntax)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("grey", [GREY8, GREY16], ids=["8 bits", "16 bits"])
def test_grey_comes_out_as_it_went_in(syntax: str, grey: NDArray[Any]) -> None:
    image = read(grey, syntax=syntax)
    assert np.array_equal(image.pixels, grey)
    assert (image.pixels.dtype, image.bits) == (grey.dtype, grey.dtype.itemsize * 8)
    assert image.warnings == ()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_implicit_vr_and_big_endian_are_read(syntax: str) -> None:
    image = read(GREY12, syntax=syntax, BitsStored=12, HighBit=11)
    assert np.array_equal(image.pixels, GREY12)


def test_jpeg_baseline_is_read() -> None:
    image = read(GREY8, syntax=JPEGBaseline8Bit)
    assert np.abs(image.pixels.astype(int) - GREY8).max() < 10


def test_12_bits_stored_in_16_ignore_what_stands_above_them() -> None:
    overlay = GREY12 | np.uint16(0x8000)
    image = read(overlay, BitsStored=12, HighBit=11)
    assert np.array_equal(image.pixels, GREY12)
    assert image.bits == 12


def test_8_bits_stored_in_16_come_out_in_8() -> None:
    image = read(GREY8.astype(np.uint16), BitsStored=8, HighBit=7)
    assert np.array_equal(image.pixels, GREY8)
    assert (image.pixels.dtype, image.bits) == (np.uint8, 8)


def test_monochrome1_is_inverted_within_its_bits() -> None:
    image = read(4095 - GREY12, BitsStored=12, HighBit=11, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(image.pixels, GREY12)


def test_signed_pixels_are_shifted_to_unsigned() -> None:
    signed = GREY12.astype(np.int16) - 2048
    image = read(signed, BitsStored=12, HighBit=11)
    assert np.array_equal(image.pixels, GREY12)
    assert image.pixels.dtype == np.uint16


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_becomes_background(photometric: str) -> None:
    padded = GREY12.copy()
    padded[:, :40] = 4000
    image = read(
        padded,
        BitsStored=12,
        HighBit=11,
        PhotometricInterpretation=photometric,
        PixelPaddingValue=4000,
    )
    assert (image.pixels[:, :40] == image.pixels[:, 40:].min()).all()


def test_padding_may_be_a_range_of_signed_values() -> None:
    signed = GREY12.astype(np.int16) - 2048
    signed[:10], signed[10:20] = 2000, 2047
    image = read(
        signed,
        BitsStored=12,
        HighBit=11,
        PixelPaddingValue=2047,
        PixelPaddingRangeLimit=2000,
    )
    assert (image.pixels[:20] == image.pixels[20:].min()).all()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_rgb_becomes_luma_and_strong_colour_is_told(syntax: str) -> None:
    rgb = coloured(GREY8)
    image = read(rgb, syntax=syntax)
    assert np.array_equal(image.pixels[60:], GREY8[60:])
    luma = np.dot([230, 30, 10], [0.299, 0.587, 0.114])
    assert image.pixels[40, 50] == pytest.approx(luma, abs=1)
    assert image.warnings == (COLOURED,)


def test_ybr_is_converted_through_rgb() -> None:
    ybr = np.dstack([GREY8, np.full_like(GREY8, 128), np.full_like(GREY8, 128)])
    image = read(ybr, PhotometricInterpretation="YBR_FULL")
    assert np.abs(image.pixels.astype(int) - GREY8).max() <= 1
    assert image.warnings == ()


def palette(ds: FileDataset, table: bytes, entries: int = 256, bits: int = 16, **more: Any) -> None:
    ds.PhotometricInterpretation = "PALETTE COLOR"
    for channel in ("Red", "Green", "Blue"):
        ds.add_new(f"{channel}PaletteColorLookupTableDescriptor", "US", [entries, 0, bits])
        segmented = "Segmented" if more.get("segmented") else ""
        ds.add_new(f"{segmented}{channel}PaletteColorLookupTableData", "OW", table)


NEGATIVE = np.arange(255, -1, -1)


@pytest.mark.parametrize(
    "describe",
    [
        lambda ds: palette(ds, (NEGATIVE * 257).astype("<u2").tobytes()),
        lambda ds: palette(ds, NEGATIVE.astype("u1").tobytes(), bits=8),
        lambda ds: palette(ds, NEGATIVE.astype("<u2").tobytes(), bits=8),
        lambda ds: palette(ds, struct.pack("<6H", 0, 1, 65535, 1, 255, 0), bits=16, segmented=True),
    ],
    ids=["16 bits", "8 bits", "8 bits in 16", "segments"],
)
def test_a_palette_is_looked_up(describe: Callable[[FileDataset], None]) -> None:
    image = read(GREY8, describe)
    assert np.abs(image.pixels.astype(int) - (255 - GREY8)).max() <= 1
    assert (image.bits, image.window) == (8, (0.0, 255.0))


# Window


def test_without_a_window_8_bits_use_their_whole_range() -> None:
    assert read(GREY8).window == (0.0, 255.0)


def test_without_a_window_deeper_pixels_use_robust_percentiles() -> None:
    low, high = read(GREY12, BitsStored=12, HighBit=11).window
    assert GREY12.min() <= low < high <= GREY12.max()


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, (1000, 2999)),
        ({"VOILUTFunction": "LINEAR_EXACT"}, (1000, 3000)),
        ({"WindowCenter": [2000, 5], "WindowWidth": [2000, 5]}, (1000, 2999)),
        ({"WindowCenter": 1000, "RescaleSlope": 2, "RescaleIntercept": -3000}, (1500, 2499.5)),
        ({"PhotometricInterpretation": "MONOCHROME1"}, (1096, 3095)),
    ],
    ids=["linear", "exact", "first of two", "rescaled", "inverted"],
)
def test_the_files_window_is_used(elements: dict[str, Any], expected: tuple[float, float]) -> None:
    given = {"WindowCenter": 2000, "WindowWidth": 2000, **elements}
    assert read(GREY12, BitsStored=12, HighBit=11, **given).window == pytest.approx(expected)


def test_the_window_of_signed_pixels_is_shifted_with_them() -> None:
    signed = GREY12.astype(np.int16) - 2048
    image = read(signed, BitsStored=12, HighBit=11, WindowCenter=-48, WindowWidth=2000)
    assert image.window == pytest.approx((1000, 2999))


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS:UserWarning")  # pydicom's
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(
    "numbers",
    [
        {"WindowWidth": "1e-300"},
        {"WindowWidth": "1e-12"},
        {"WindowWidth": "1e300"},
        {"WindowWidth": "1e308", "WindowCenter": "-1e308"},
        {"WindowWidth": "-5"},
        {"WindowWidth": "inf"},
        {"WindowCenter": "nan"},
        {"WindowCenter": "1e300"},
        {"RescaleSlope": "1e-320"},
        {"RescaleSlope": "-1e-320"},
        {"RescaleSlope": "1e-320", "WindowCenter": "1000"},
        {"RescaleSlope": "1e300"},
        {"RescaleSlope": "0"},
        {"RescaleIntercept": "1e308", "RescaleSlope": "1e-10"},
    ],
)
def test_a_window_that_nobody_can_mean_is_not_used(numbers: dict[str, str], inverted: bool) -> None:
    given = {"WindowCenter": "2000", "WindowWidth": "2000", "VOILUTFunction": "LINEAR_EXACT"}
    elements = given | numbers | ({"PhotometricInterpretation": "MONOCHROME1"} if inverted else {})

    def write(ds: FileDataset) -> None:
        for keyword, value in elements.items():
            if keyword in given | numbers and keyword != "VOILUTFunction":
                ds.add_new(keyword, "UN", value.encode() + b" " * (len(value) % 2))
            else:
                setattr(ds, keyword, value)

    image = read(GREY12, write, BitsStored=12, HighBit=11)
    low, high = image.window
    assert 0 <= low < high <= 4095
    assert to_grey(image.pixels, image.window).max() == 255


def test_a_window_beside_the_grey_levels_is_not_used() -> None:
    image = read(GREY12, BitsStored=12, HighBit=11, WindowCenter=60000, WindowWidth=100)
    assert image.window[1] <= GREY12.max()
    assert image.warnings == (WINDOW_IGNORED,)


# Spacing


def test_pixel_spacing_goes_before_the_spacing_at_the_detector() -> None:
    both = {"PixelSpacing": [0.06, 0.07], "ImagerPixelSpacing": [0.08, 0.09]}
    assert read(GREY8, modality="MG", **both).spacing_mm == (0.06, 0.07)
    both["PixelSpacing"] = None
    assert read(GREY8, modality="MG", **both).spacing_mm == (0.08, 0.09)


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"ImageLaterality": "L", "ViewPosition": "CC"}, (Laterality.LEFT, "CC")),
        ({"Laterality": "R", "ViewPosition": "MLO"}, (Laterality.RIGHT, "MLO")),
        ({"ImageLaterality": "R", "Laterality": "R"}, (Laterality.RIGHT, None)),
        ({"ImageLaterality": "L", "Laterality": "R", "ViewPosition": "CC"}, (None, "CC")),
        ({"ImageLaterality": "B"}, (None, None)),
        ({"ImageLaterality": "", "ViewPosition": ""}, (None, None)),
        ({"ImageLaterality": "LEFT", "ViewPosition": "CC VIEW"}, (Laterality.LEFT, None)),
        ({"ImageLaterality": "LINKS"}, (None, None)),
        ({"ViewPosition": ["CC", "MLO"]}, (None, None)),
        ({"ViewPosition": "MCC"}, (None, "CC magnified")),
        ({"ViewPosition": "SMCC"}, (None, "CC magnified spot")),
        ({"ViewPosition": "MLOID"}, (None, "MLO implant displaced")),
        ({"ViewPosition": "CC RL"}, (None, "CC rolled lateral")),
        ({"ViewPosition": "CC NP"}, (None, "CC")),
        ({"ViewPosition": "MLM"}, (None, None)),
        ({"AnatomicRegionSequence": group(CodeMeaning="Left breast")}, (Laterality.LEFT, None)),
        (
            {
                "AnatomicRegionSequence": group(
                    CodeMeaning="Breast",
                    AnatomicRegionModifierSequence=group(CodeMeaning="Right"),
                )
            },
            (Laterality.RIGHT, None),
        ),
        (
            {
                "AnatomicRegionSequence": group(
                    CodeValue="76752008",
                    AnatomicRegionModifierSequence=group(CodeValue="7771000", CodeMeaning="Right"),
                )
            },
            (Laterality.LEFT, None),
        ),
        ({"ViewPosition": "RMLO"}, (Laterality.RIGHT, "MLO")),
        ({"ViewPosition": "L CC"}, (Laterality.LEFT, "CC")),
        ({"ViewPosition": "LEFT MLO SPOT"}, (Laterality.LEFT, "MLO spot")),
        ({"ImageLaterality": "L", "ViewPosition": "RCC"}, (None, "CC")),
        ({"ViewPosition": "LM"}, (None, "LM")),
        ({"ViewPosition": "RM"}, (None, "RM")),
        ({"ViewPosition": "AT"}, (None, "AT")),
        ({"ViewPosition": "XCCL"}, (None, "XCCL")),
        ({"ViewPosition": "CCX"}, (None, None)),
        ({"ViewCodeSequence": group(CodeMeaning="Medio-lateral oblique")}, (None, "MLO")),
        ({"ViewCodeSequence": group(CodeMeaning="cranio-caudal view")}, (None, "CC")),
        ({"ViewCodeSequence": group(CodeMeaning="cranio-caudal something")}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_side_and_view_are_known_where_the_file_says_them_plainly(
    elements: dict[str, Any], said: tuple[Laterality | None, str | None]
) -> None:
    image = read(GREY8, modality="MG", **elements)
    assert (image.laterality, image.view) == said


@pytest.mark.parametrize("spacing", [[0, 0], [-0.1, 0.1], [70, 70], [0.1], "", [1e-9, 1e-9]])
def test_an_impossible_spacing_is_none(spacing: Any) -> None:
    assert read(GREY8, PixelSpacing=spacing).spacing_mm is None


def test_an_ultrasound_is_measured_by_its_tissue_regions() -> None:
    regions = [ultrasound_region(), ultrasound_region(), ultrasound_region(data_type=3, units=4)]
    image = read(GREY8, SequenceOfUltrasoundRegions=regions, PixelSpacing=[1, 1])
    assert image.spacing_mm == pytest.approx((0.2, 0.2))


def test_regions_of_two_scales_give_no_spacing() -> None:
    regions = [ultrasound_region(), ultrasound_region(delta_cm=0.03)]
    assert read(GREY8, SequenceOfUltrasoundRegions=regions).spacing_mm is None


# What is told, and what is refused


def test_a_missing_modality_is_told() -> None:
    assert read_image(dicom(GREY8, Modality=None), Modality.MG).warnings == (UNNAMED_MODALITY,)


def test_raw_detector_values_and_burnt_in_text_are_told() -> None:
    told = {"PresentationIntentType": "FOR PROCESSING", "BurnedInAnnotation": "YES"}
    assert read(GREY8, modality="MG", **told).warnings == (FOR_PROCESSING, BURNED_IN)


@pytest.mark.parametrize(
    "stated",
    [
        {"PresentationIntentType": "For Processing"},
        {"PresentationIntentType": ["FOR_PROCESSING", ""]},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2.1"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.5"},
    ],
)
def test_raw_detector_values_are_told_by_any_letters_and_by_the_class_alone(stated) -> None:
    with disable_value_validation():
        assert read(GREY8, modality="MG", **stated).warnings == (FOR_PROCESSING,)


def raw_element(keyword: str, vr: str, value: Any) -> Callable[[FileDataset], None]:
    def edit(ds: FileDataset) -> None:
        del ds[keyword]
        ds.add_new(keyword, vr, value)

    return edit


def without(*keywords: str) -> Callable[[FileDataset], None]:
    def edit(ds: FileDataset) -> None:
        for keyword in keywords:
            del ds[keyword]

    return edit


def longer(ds: FileDataset) -> None:
    ds.PixelData += ds.PixelData[-400:]


def shorter(ds: FileDataset) -> None:
    ds.PixelData = ds.PixelData[:-2]


def float_pixels(ds: FileDataset) -> None:
    ds.FloatPixelData = bytes(4 * GREY8.size)
    del ds.PixelData


def truncated_jpeg(ds: FileDataset) -> None:
    data = ds.PixelData
    ds.PixelData = data[:-600] + bytes(600)


def document(ds: FileDataset) -> None:
    without("Rows", "Columns", "PixelData", "SamplesPerPixel", "BitsAllocated")(ds)
    ds.EncapsulatedDocument = b"%PDF-1.7"


WHOLE = dicom(GREY8)
REFUSED: dict[str, tuple[type[IntakeError], bytes]] = {
    "no pixel data": (UnsupportedDicom, dicom(GREY8, without("PixelData"))),
    "floating pixels": (UnsupportedDicom, dicom(GREY8, float_pixels)),
    "a PDF": (UnsupportedDicom, dicom(GREY8, document, modality="DOC")),
    "a report": (UnsupportedDicom, dicom(GREY8, document, modality="SR")),
    "pixels too short": (CorruptDicom, dicom(GREY8, shorter)),
    "pixels too long": (CorruptDicom, dicom(GREY8, longer)),
    "the file cut off": (CorruptDicom, WHOLE[:-1000]),
    "the header cut off": (UnsupportedDicom, WHOLE[:400]),
    "Rows as UL": (CorruptDicom, dicom(GREY8, raw_element("Rows", "UL", 96))),
    "Rows of 0": (CorruptDicom, dicom(GREY8, Rows=0)),
    "Rows of 65535": (ImageTooLarge, dicom(GREY8, Rows=65535)),
    "Rows missing": (CorruptDicom, dicom(GREY8, Rows=None)),
    "two Rows": (CorruptDicom, dicom(GREY8, raw_element("Rows", "US", [96, 96]))),
    "1 bit allocated": (UnsupportedDicom, dicom(GREY8, BitsAllocated=1)),
    "12 bits allocated": (UnsupportedDicom, dicom(GREY8, BitsAllocated=12)),
    "64 bits allocated": (UnsupportedDicom, dicom(GREY8, BitsAllocated=64)),
    "more bits stored than allocated": (CorruptDicom, dicom(GREY8, BitsStored=9, HighBit=8)),
    "a high bit too low": (CorruptDicom, dicom(GREY16, BitsStored=12, HighBit=10)),
    "a high bit too high": (CorruptDicom, dicom(GREY8, BitsStored=7, HighBit=8)),
    "colours that begin at bit 1": (UnsupportedDicom, dicom(coloured(GREY8), BitsStored=7)),
    "2 samples": (CorruptDicom, dicom(GREY8, SamplesPerPixel=2)),
    "3 samples of grey": (CorruptDicom, dicom(GREY8, SamplesPerPixel=3)),
    "-1 frames": (CorruptDicom, dicom(GREY8, NumberOfFrames=-1)),
    "a million frames": (MultiFrame, dicom(GREY8, NumberOfFrames=10**6)),
    "an unknown colour model": (
        UnsupportedDicom,
        dicom(GREY8, PhotometricInterpretation="HSV"),
    ),
    "a value outside the palette": (
        CorruptDicom,
        dicom(GREY8, lambda ds: palette(ds, bytes(200), entries=100)),
    ),
    "a palette too short": (CorruptDicom, dicom(GREY8, lambda ds: palette(ds, bytes(100)))),
    "a palette that would grow to gigabytes": (
        CorruptDicom,
        dicom(
            GREY8,
            lambda ds: palette(
                ds, struct.pack("<3H", 0, 1, 7) + b"\1\0\xff\xff\7\0" * 9999, segmented=True
            ),
        ),
    ),
    "no palette": (
        CorruptDicom,
        dicom(GREY8, PhotometricInterpretation="PALETTE COLOR"),
    ),
    "nothing but padding": (NoContent, dicom(np.full_like(GREY12, 9), PixelPaddingValue=9)),
    "a computed tomogram": (ModalityMismatch, dicom(GREY8, modality="CT")),
    "a mammogram": (ModalityMismatch, dicom(GREY8, modality="MG")),
    "deflated": (
        UnsupportedTransferSyntax,
        with_transfer_syntax(WHOLE, DeflatedExplicitVRLittleEndian),
    ),
    "a video": (
        UnsupportedTransferSyntax,
        with_transfer_syntax(dicom(GREY8, syntax=JPEG2000Lossless), MPEG2MPML),
    ),
    "no transfer syntax": (CorruptDicom, WHOLE[:140]),
    "a transfer syntax that is no UID": (CorruptDicom, with_transfer_syntax(WHOLE, "Doe^Jane")),
    "compressed but labelled raw": (
        CorruptDicom,
        with_transfer_syntax(dicom(GREY8, syntax=RLELossless), ExplicitVRLittleEndian),
    ),
    "JPEG cut off": (CorruptDicom, dicom(GREY8, truncated_jpeg, syntax=JPEGBaseline8Bit)),
    "JPEG of another size": (
        CorruptDicom,
        dicom(GREY8, lambda ds: setattr(ds, "Rows", 97), syntax=JPEGBaseline8Bit),
    ),
    "JPEG 2000 of another size": (
        CorruptDicom,
        dicom(GREY8, lambda ds: setattr(ds, "Columns", 127), syntax=JPEG2000Lossless),
    ),
    "JPEG that is none": (
        CorruptDicom,
        dicom(
            GREY8,
            lambda ds: setattr(ds, "PixelData", encapsulate([bytes(100)])),
            syntax=JPEGBaseline8Bit,
        ),
    ),
    "RLE of another size": (
        CorruptDicom,
        dicom(GREY8, lambda ds: setattr(ds, "Rows", 97), syntax=RLELossless),
    ),
}


@pytest.mark.parametrize(("error", "data"), REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused_with_its_own_error_and_without_the_patient(
    error: type[IntakeError], data: bytes, capfd, caplog
) -> None:
    with pytest.raises(error) as caught:
        read_image(data, Modality.US)
    assert caught.type is error
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    for said in (text, caplog.text, *capfd.readouterr()):
        assert "Doe" not in said


def test_a_mammogram_is_no_ultrasound_and_the_other_way_round() -> None:
    for posted, stated in ((Modality.MG, "US"), (Modality.US, "MG")):
        with pytest.raises(ModalityMismatch, match=f"is {stated}, not {posted.value}"):
            read_image(dicom(GREY8, modality=stated), posted)


def test_a_name_in_the_modality_is_not_repeated() -> None:
    with pytest.raises(ModalityMismatch) as caught:
        read_image(dicom(GREY8, modality="DOE"), Modality.US)
    assert "DOE" not in str(caught.value)


@pytest.mark.parametrize("tag", [(0x0018, 0x6011), (0x0008, 0x1140), (0x0009, 0x1001)])
def test_sequences_300_deep_do_no_harm(tag: tuple[int, int]) -> None:
    data = with_nested_sequences(WHOLE, 300, tag)
    with suppress(CorruptDicom):  # how deep is too deep depends on the caller's own stack
        assert np.array_equal(read_image(data, Modality.US).pixels, GREY8)


def test_a_codec_that_is_not_installed_is_an_unsupported_transfer_syntax(monkeypatch) -> None:
    data = dicom(GREY8, syntax=RLELossless)
    monkeypatch.setattr(Decoder, "is_available", property(lambda decoder: False))
    with pytest.raises(UnsupportedTransferSyntax, match="RLE Lossless"):
        read_image(data, Modality.US)


def test_high_throughput_jpeg_2000_is_not_on_the_list() -> None:
    data = with_transfer_syntax(dicom(GREY8, syntax=JPEG2000Lossless), HTJ2KLossless)
    with pytest.raises(UnsupportedTransferSyntax, match="High-Throughput"):
        read_image(data, Modality.US)


@pytest.mark.parametrize("keyword", ["SpecificCharacterSet", "BurnedInAnnotation", "PatientName"])
def test_a_name_in_the_wrong_place_and_charset_goes_nowhere(keyword: str, caplog, capfd) -> None:
    data = dicom(GREY8, **{keyword: "ISO_IR 100"})
    image = read_image(data.replace(b"ISO_IR 100", b"Do\xe9^Jn 123"), Modality.US)
    assert np.array_equal(image.pixels, GREY8)
    assert image.warnings == ()
    assert "Jn" not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("syntax", sorted(READABLE))
def test_every_codec_on_the_list_is_installed(syntax: str) -> None:
    stated, _ = require_readable_transfer_syntax(with_transfer_syntax(WHOLE, syntax))
    assert stated == syntax


# Real files

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "dicom"
EXPECTED = {
    "mg_cbis_P_00173_LEFT_CC_rle16": (572, 886, 16, None),
    "mg_cbis_P_00173_LEFT_MLO_raw16": (406, 637, 16, None),
    "mg_cbis_P_00173_RIGHT_CC_j2k16": (572, 912, 16, None),
    "mg_cbis_P_00173_RIGHT_MLO_mono1": (417, 648, 16, None),
    "us_busi_benign_wrapped8": (678, 571, 8, None),
    "us_gdcm_aloka_palette16": (640, 480, 8, 0.38265),
    "us_pydicom_jpegll_mono8": (1024, 768, 8, 0.25477),
    "us_wg04_US1_j2k_rgb": (640, 480, 8, None),
}


def real(name: str) -> SourceImage:
    file = REAL / f"{name}.dcm"
    if not file.exists():
        pytest.skip("the shared DICOM files are not beside the repository")
    return read_image(file.read_bytes(), Modality(name[:2].upper()))


@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_file_is_read(name: str) -> None:
    image = real(name)
    width, height, bits, spacing = EXPECTED[name]
    assert (image.width, image.height, image.bits) == (width, height, bits)
    assert image.spacing_mm == (spacing and pytest.approx((spacing, spacing), abs=1e-5))
    assert (COLOURED in image.warnings) == (name == "us_wg04_US1_j2k_rgb")


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.startswith("mg")])
def test_the_air_beside_a_real_breast_is_dark(name: str) -> None:
    image = real(name)
    low, high = image.window
    assert np.median(image.pixels) < low + 0.3 * (high - low)
