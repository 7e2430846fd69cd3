"""DICOM pixel data whose wrapping lies: read where the picture is all there, refused else."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from files import (
    coloured,
    dicom,
    dicom_bytes,
    jpeg,
    picture,
    png,
    tiff,
    with_transfer_syntax,
)
from fuzz.lossless import lossless_jpeg
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from mammosono.appliance.errors import CorruptDicom, IntakeError
from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.colour import COLOUR_MARKS, COLOURED
from mammosono.appliance.values import Modality

GREY = picture()
PYDICOMS = Path(pydicom.__file__).parent / "data" / "test_files"
END = b"\xff\xd9"
Change = Callable[[bytes], bytes]


def pixels_of(data: bytes, modality: Modality = Modality.US) -> NDArray[Any]:
    return read_image(data, modality).pixels


def recoded(change: Change, syntax: str) -> bytes:
    def edit(ds: FileDataset) -> None:
        ds.PixelData = encapsulate([change(get_frame(ds.PixelData, 0, number_of_frames=1))])

    return dicom(GREY, edit, syntax=syntax)


def baseline(change: Change) -> bytes:
    return recoded(change, JPEGBaseline8Bit)


def jpeg_2000(change: Change) -> bytes:
    return recoded(change, JPEG2000Lossless)


def lossless(change: Change) -> bytes:
    data = recoded(lambda _: change(lossless_jpeg(GREY)), JPEGBaseline8Bit)
    return with_transfer_syntax(data, JPEGLosslessSV1)


def pydicoms(name: str) -> Callable[[Change], bytes]:
    """One of pydicom's own files, in a coding that nothing here can write."""

    def file(change: Change) -> bytes:
        ds = pydicom.dcmread(PYDICOMS / f"{name}.dcm")
        ds.Modality = "US"
        ds.PixelData = encapsulate([change(get_frame(ds.PixelData, 0, number_of_frames=1))])
        return dicom_bytes(ds)

    return file


def same(codestream: bytes) -> bytes:
    return codestream


def without_end(codestream: bytes) -> bytes:
    return codestream[: codestream.rindex(END)]


CODINGS = {
    "JPEG": baseline,
    "lossless JPEG": lossless,
    "JPEG 2000": jpeg_2000,
    "JPEG-LS": pydicoms("MR_small_jpeg_ls_lossless"),
}
each_coding = pytest.mark.parametrize("coding", CODINGS.values(), ids=CODINGS.keys())


@each_coding
@pytest.mark.parametrize(
    "change",
    [
        without_end,
        lambda c: without_end(c) + END + bytes(5000),
        lambda c: without_end(c) + END + b"\x5a\xa5\x01",
    ],
    ids=["no end", "zeros behind it", "rubbish behind it"],
)
def test_a_codestream_that_is_whole_is_read_however_it_ends(coding, change: Change) -> None:
    assert np.array_equal(pixels_of(coding(change)), pixels_of(coding(same)))


@each_coding
@pytest.mark.parametrize("lost", [9, 200])
@pytest.mark.parametrize("padding", [b"", bytes(600)], ids=["", "padded"])
def test_one_that_lost_more_than_its_end_is_refused(coding, lost: int, padding: bytes) -> None:
    with pytest.raises(CorruptDicom):
        read_image(coding(lambda c: without_end(c)[:-lost] + padding), Modality.US)


def scan_said(first: int, last: int, approximation: int) -> Change:
    def change(codestream: bytes) -> bytes:
        at = codestream.index(b"\xff\xda") + 5 + 2 * codestream[codestream.index(b"\xff\xda") + 4]
        return codestream[:at] + bytes((first, last, approximation)) + codestream[at + 3 :]

    return change


EXTENDED = pydicoms("JPGExtended")


@pytest.mark.parametrize("said", [(0, 0, 0), (1, 62, 0), (0, 63, 0x21)])
@pytest.mark.parametrize("coding", [EXTENDED, baseline], ids=["12 bits", "8 bits"])
def test_a_scan_that_misstates_what_it_cannot_choose_is_read(
    coding, said: tuple[int, int, int]
) -> None:
    sound = pixels_of(coding(scan_said(0, 63, 0)))
    assert np.array_equal(pixels_of(coding(scan_said(*said))), sound)


def test_a_frame_of_12_bits_that_says_baseline_is_read() -> None:
    sound = pixels_of(EXTENDED(same))
    assert np.array_equal(pixels_of(EXTENDED(lambda c: c.replace(b"\xff\xc1", b"\xff\xc0"))), sound)


def test_a_codestream_deeper_than_its_header_is_refused_rather_than_wrapped() -> None:
    def edit(ds: FileDataset) -> None:
        ds.BitsStored, ds.HighBit = 10, 9

    with pytest.raises(CorruptDicom):
        read_image(dicom(picture(levels=4096), edit, syntax=JPEG2000Lossless), Modality.US)


def test_what_lossy_coding_lets_shoot_over_white_is_cut() -> None:
    saturated = np.where(GREY > 127, 127, 3).astype(np.uint8)

    def edit(ds: FileDataset) -> None:
        ds.BitsStored, ds.HighBit = 7, 6
        ds.PixelData = encapsulate([jpeg(saturated, quality=60)])

    pixels = pixels_of(dicom(saturated, edit, syntax=JPEGBaseline8Bit))
    assert pixels[GREY > 140].min() > 100
    assert pixels.max() == 127


# Native pixels


@pytest.mark.parametrize("padding", [bytes(2), bytes(32), bytes(5000), b"\x11" * 100])
@pytest.mark.parametrize("grey", [GREY, picture(levels=65536), picture(95, 127)])
def test_what_follows_the_pixels_is_padding(grey: NDArray[Any], padding: bytes) -> None:
    data = dicom(grey, lambda ds: setattr(ds, "PixelData", grey.tobytes() + padding))
    assert np.array_equal(pixels_of(data), grey)


@pytest.mark.parametrize(
    "more", [GREY.tobytes(), bytes(GREY.size), b"\x11" * 200], ids=["a frame", "zeros", "rows"]
)
def test_what_may_be_another_picture_is_no_padding(more: bytes) -> None:
    data = dicom(GREY, lambda ds: setattr(ds, "PixelData", GREY.tobytes() + more))
    with pytest.raises(CorruptDicom):
        read_image(data, Modality.US)


def test_pixels_that_end_with_the_file_are_read_whatever_their_length_says() -> None:
    data = dicom(GREY)
    at = data.rindex(b"\xe0\x7f\x10\0OW\0\0") + 8
    assert np.array_equal(pixels_of(data[:at] + b"\xfe\xff\xff\xff" + data[at + 4 :]), GREY)


# Colour


def three(samples: NDArray[Any], photometric: str, **elements: Any) -> bytes:
    return dicom(samples, PhotometricInterpretation=photometric, **elements)


def ybr(rgb: NDArray[Any]) -> NDArray[Any]:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]


def plain_jpeg(samples: NDArray[Any], marker: bytes = b"") -> bytes:
    """Three samples coded as they are: components 1, 2 and 3, and none but this marker."""
    ycc = np.ascontiguousarray(samples)
    rgb = cv2.cvtColor(ycc[..., [0, 2, 1]], cv2.COLOR_YCrCb2BGR)
    data = cv2.imencode(".jpg", rgb, (cv2.IMWRITE_JPEG_QUALITY, 98))[1].tobytes()
    jfif = 2 + 2 + int.from_bytes(data[4:6], "big")
    return data[:2] + marker + data[jfif:]


GREY_RGB = np.repeat(GREY[..., np.newaxis], 3, axis=2)
JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\1"


@pytest.mark.parametrize("said", ["RGB", "YBR_FULL_422", "YBR_FULL"])
@pytest.mark.parametrize("marker", [b"", JFIF, ADOBE], ids=["", "JFIF", "Adobe"])
@pytest.mark.parametrize("modality", list(Modality))
def test_ycbcr_in_a_jpeg_is_read_as_such_whatever_the_file_says(
    said: str, marker: bytes, modality: Modality
) -> None:
    def edit(ds: FileDataset) -> None:
        ds.PhotometricInterpretation = said
        ds.PixelData = encapsulate([plain_jpeg(ybr(GREY_RGB), marker)])

    data = dicom(GREY_RGB, edit, modality=modality.value, syntax=JPEGBaseline8Bit)
    image = read_image(data, modality)
    assert np.abs(image.pixels.astype(int) - GREY).max() <= 4
    assert image.warnings == ()


@pytest.mark.parametrize("said", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("coded", [lambda rgb: rgb, ybr], ids=["RGB", "YCbCr"])
@pytest.mark.parametrize("scene", [GREY_RGB, coloured(GREY)], ids=["grey", "Doppler"])
def test_three_samples_are_read_the_way_that_leaves_the_picture_grey(
    scene: NDArray[Any], coded, syntax: str, said: str
) -> None:
    data = three(coded(scene), said, syntax=syntax)
    image = read_image(data, Modality.US)
    expected = cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY).astype(int)
    assert np.abs(image.pixels - expected).max() <= 2
    assert image.warnings == ((COLOURED,) if scene is not GREY_RGB else ())


def circled(grey: NDArray[Any]) -> NDArray[Any]:
    """RGB with the thin red circle that a program draws around a finding."""
    rgb = np.repeat(grey[..., np.newaxis], 3, axis=2)
    return cv2.circle(np.ascontiguousarray(rgb), (60, 50), 12, (255, 0, 0), 1)


@pytest.mark.parametrize("modality", list(Modality))
@pytest.mark.parametrize("encode", [dicom, png, tiff])
def test_coloured_marks_in_a_mammogram_are_told(encode, modality: Modality) -> None:
    as_stated = {"modality": modality.value} if encode is dicom else {}
    image = read_image(encode(circled(GREY), **as_stated), modality)
    assert image.warnings == ((COLOUR_MARKS,) if modality is Modality.MG else ())


def test_no_marks_are_seen_in_a_grey_or_a_tinted_mammogram() -> None:
    sepia = np.dstack([GREY, GREY // 10 * 9, GREY // 10 * 8])
    for rgb in (GREY_RGB, sepia):
        assert read_image(dicom(rgb, modality="MG"), Modality.MG).warnings == ()


# Meta information


def with_meta(data: bytes, *elements: bytes, first: bool = False) -> bytes:
    """`data` with these elements at the end of its meta group, or at its beginning."""
    (length,) = struct.unpack_from("<I", data, 140)
    at = 144 if first else 144 + length
    added = b"".join(elements)
    return data[:140] + struct.pack("<I", length + len(added)) + data[144:at] + added + data[at:]


def uid(value: str) -> bytes:
    text = value.encode() + bytes(len(value) % 2)
    return struct.pack("<HH2sH", 2, 0x10, b"UI", len(text)) + text


def deflated_bomb() -> bytes:
    """A file that says it is not deflated, with a data set that is, of 64 MiB."""
    data = dicom(GREY)
    (length,) = struct.unpack_from("<I", data, 140)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return data[: 144 + length] + packer.compress(bytes(64 * 2**20)) + packer.flush()


def hidden(vr: bytes) -> bytes:
    """A second transfer syntax inside of an element that a parser may take to be shorter."""
    inner = uid(DeflatedExplicitVRLittleEndian)
    return struct.pack("<HH2sHI", 2, 0x102, vr, 0, len(inner)) + inner


@pytest.mark.parametrize(
    "elements",
    [
        (uid(DeflatedExplicitVRLittleEndian),),
        (uid(ExplicitVRLittleEndian), uid(DeflatedExplicitVRLittleEndian)),
        (struct.pack("<HH2sHI", 2, 0x10, b"UN", 0, 22) + b"1.2.840.10008.1.2.1.99",),
        (struct.pack("<HHI", 2, 0x10, 22) + b"1.2.840.10008.1.2.1.99",),
        *((hidden(vr),) for vr in (b"UC", b"OF", b"UR", b"OD", b"OL", b"OV", b"SV")),
        (b"\2\0\2\1zz\0\0",),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_what_the_meta_group_says_twice_inflates_nothing(
    elements: tuple[bytes, ...], first: bool
) -> None:
    data = with_meta(deflated_bomb(), *elements, first=first)
    tracemalloc.start()
    try:
        with pytest.raises(IntakeError):
            read_image(data, Modality.US)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("first", [False, True])
def test_a_second_transfer_syntax_is_refused_though_one_of_both_fits(
    syntax: str, first: bool
) -> None:
    with pytest.raises(CorruptDicom, match="twice"):
        read_image(with_meta(dicom(GREY), uid(syntax), first=first), Modality.US)


@pytest.mark.parametrize("keyword", ["Rows", "PhotometricInterpretation", "BitsStored"])
def test_an_element_that_is_there_twice_is_refused(keyword: str) -> None:
    data = dicom(GREY)
    tag = pydicom.tag.Tag(keyword)
    at = data.index(struct.pack("<HH", tag.group, tag.element), 300)
    end = at + 8 + struct.unpack_from("<H", data, at + 6)[0]
    with pytest.raises(CorruptDicom, match="twice"):
        read_image(data[:end] + data[at:end] + data[end:], Modality.US)


def test_jpeg_baseline_does_not_depend_on_what_else_is_installed() -> None:
    """Pillow, where it is, would be taken by pydicom, and turns colours by rules of its own."""
    assert np.abs(pixels_of(dicom(GREY, syntax=JPEGBaseline8Bit)).astype(int) - GREY).max() < 10
    assert jpeg(GREY) in dicom(GREY, syntax=JPEGBaseline8Bit)
