"""Raster files and other bytes that must be refused, each with its own error."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from files import (
    dicom,
    jpeg,
    picture,
    png,
    png_chunk,
    png_header,
    tiff,
    with_png_chunk,
)

from mammosono.appliance.errors import (
    CorruptDicom,
    CorruptImage,
    EmptyFile,
    ImageTooLarge,
    ImageTooSmall,
    IntakeError,
    MultiFrame,
    NoContent,
    UnsupportedFormat,
)
from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.limits import Limits
from mammosono.appliance.values import Modality

GREY8 = picture()
GREY16 = picture(levels=65536)
PNG, JPEG, TIFF = png(GREY8), jpeg(GREY8), tiff(GREY8)


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def without_middle(data: bytes) -> bytes:
    return data[: len(data) // 2] + data[len(data) // 2 + 400 :]


def png_of(raw: bytes) -> bytes:
    """The file of GREY8 with `raw` as its filtered rows: sound chunks, whatever they hold."""
    return PNG[:33] + png_chunk(b"IDAT", zlib.compress(raw)) + png_chunk(b"IEND", b"")


FOREIGN = {
    "text": b"patient, finding\n1, none\n" * 20,
    "HTML": b"<!doctype html><html></html>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "PDF": b"%PDF-1.7\n" + bytes(500),
    "ZIP": b"PK\x03\x04" + bytes(200),
    "GIF": b"GIF89a" + bytes(200),
    "WebP": b"RIFF\x24\0\0\0WEBPVP8 " + bytes(200),
    "BMP": cv2.imencode(".bmp", GREY8)[1].tobytes(),
    "BigTIFF": b"II+\0\x08\0\0\0" + bytes(200),
    "one byte": b"\x89",
    "PNG and ZIP in one": PNG + b"PK\x03\x04" + bytes(200),
}

DAMAGED = {
    "PNG cut in half": PNG[: len(PNG) // 2],
    "PNG cut in its header": PNG[:20],
    "PNG without its end": PNG[:-12],
    "PNG with a wrong checksum": changed(PNG, len(PNG) // 2, b"\x55\xaa"),
    "PNG with a wrong checksum of text": changed(
        with_png_chunk(PNG, b"tEXt", b"Comment\0abc"), 45, b"z"
    ),
    "PNG with rows missing": png_of(bytes(129 * 50)),
    "PNG with an unknown filter": png_of(b"\x09" * (129 * 96)),
    "PNG with a chunk longer than the file": changed(PNG, 33, b"\x7f\xff\xff\xff"),
    "JPEG cut in half": JPEG[: len(JPEG) // 2],
    "JPEG cut in half and closed": JPEG[: len(JPEG) // 2] + b"\xff\xd9",
    "JPEG with its middle missing": without_middle(jpeg(picture(300, 400), 98)),
    "JPEG without its end": JPEG[:-2],
    "JPEG of two bytes and a mark": b"\xff\xd8\xff",
    "JPEG without a frame": b"\xff\xd8\xff\xd9" + bytes(50),
    "TIFF cut in half": TIFF[: len(TIFF) // 2],
    "TIFF of a header": b"II*\0\x08\0\0\0",
    "TIFF without directory": b"II*\0\0\0\0\0" + bytes(50),
    "TIFF with Deflate data damaged": changed(
        cv2.imencode(".tif", GREY16, (cv2.IMWRITE_TIFF_COMPRESSION, 8))[1].tobytes(),
        3000,
        b"\xff" * 200,
    ),
    "TIFF with 8-bit Deflate data damaged": changed(
        cv2.imencode(".tif", picture(400, 500), (cv2.IMWRITE_TIFF_COMPRESSION, 8))[1].tobytes(),
        3000,
        b"\xff" * 200,
    ),
}

UNUSUAL = {
    "12-bit JPEG": changed(JPEG, JPEG.index(b"\xff\xc0") + 4, b"\x0c"),
    "lossless JPEG": changed(JPEG, JPEG.index(b"\xff\xc0"), b"\xff\xc3"),
    "TIFF of 16-bit signed integers": tiff(GREY8.astype(np.int16)),
    "TIFF of 32-bit integers": tiff(GREY8.astype(np.uint32)),
    "TIFF of half floats": tiff(GREY8.astype(np.float16)),
    "TIFF of raw sensor data": tiff(GREY16, photometric=32803),
    "TIFF that begins with its preview": tiff(GREY8, GREY8, subfile_types=(1, 0)),
}

SEVERAL = {
    "TIFF of two pages": tiff(GREY8, GREY8),
    "TIFF of a hundred pages": tiff(*[GREY8[:64, :64]] * 100),
    "animated PNG": with_png_chunk(PNG, b"acTL", struct.pack(">II", 2, 0)),
}

NAN, INF = GREY8.astype(np.float32), GREY8.astype(np.float64)
NAN[3, 4], INF[5, 6] = np.nan, np.inf
SPECK = np.zeros((100, 100), np.uint8)
SPECK[:6, :8] = 255  # 0.48 % of the picture

EVEN = {
    "black PNG": png(np.zeros((96, 128), np.uint8)),
    "white JPEG": jpeg(np.full((96, 128), 255, np.uint8)),
    "grey 16-bit TIFF": tiff(np.full((96, 128), 1234, np.uint16)),
    "two levels side by side": png((GREY8 > 127).astype(np.uint8) + 90),
    "a speck on black": png(SPECK),
    "NaN in a TIFF": tiff(NAN),
    "Inf in a TIFF": tiff(INF),
    "one floating value": tiff(np.full((96, 128), 0.25, np.float32)),
}


def each(cases: dict[str, bytes]) -> Callable[..., None]:
    return pytest.mark.parametrize("data", cases.values(), ids=cases.keys())


def refusal(data: bytes, limits: Limits = Limits()) -> type[IntakeError]:
    with pytest.raises(IntakeError) as caught:
        read_image(data, Modality.MG, limits)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    return caught.type


def test_no_bytes_are_an_empty_file() -> None:
    assert refusal(b"") is EmptyFile


@each(FOREIGN)
def test_a_foreign_format_is_known_by_its_bytes(data: bytes) -> None:
    assert refusal(data) is UnsupportedFormat


@each(DAMAGED)
def test_a_damaged_file_is_refused_in_silence(data: bytes, capfd) -> None:
    assert refusal(data) is CorruptImage
    assert capfd.readouterr() == ("", "")


@each(UNUSUAL)
def test_pixels_that_the_decoder_would_get_wrong_are_refused(data: bytes) -> None:
    assert refusal(data) is UnsupportedFormat


@each(SEVERAL)
def test_more_than_one_picture_is_refused(data: bytes) -> None:
    assert refusal(data) is MultiFrame


@each(EVEN)
def test_a_picture_of_nothing_is_refused(data: bytes) -> None:
    assert refusal(data) is NoContent


def test_three_grey_levels_side_by_side_are_content() -> None:
    image = read_image(png((GREY8 > 127).astype(np.uint8) * 2 + 90), Modality.MG)
    assert image.pixels.max() == 92


@pytest.mark.parametrize(("width", "height"), [(0, 0), (1, 1), (63, 63), (3, 3000), (90, 900)])
def test_a_picture_too_small_is_refused_by_its_header(width: int, height: int) -> None:
    assert refusal(png_header(width, height)) is ImageTooSmall


@pytest.mark.parametrize("side", [8_000, 50_000, 65_500, 2**31 - 1])
def test_a_picture_too_large_is_refused_by_its_header(side: int) -> None:
    assert refusal(png_header(side, side)) is ImageTooLarge


def test_a_jpeg_and_a_tiff_too_large_are_refused_by_their_headers() -> None:
    size = struct.pack(">HH", 65_500, 65_500)
    assert refusal(changed(JPEG, JPEG.index(b"\xff\xc0") + 5, size)) is ImageTooLarge
    width_and_height = TIFF.index(struct.pack("<HHI", 256, 4, 1)) + 8
    assert refusal(changed(TIFF, width_and_height, struct.pack("<I", 50_000))) is ImageTooLarge


def test_a_file_too_large_is_refused_before_it_is_looked_at() -> None:
    data = with_png_chunk(PNG, b"tEXt", b"Comment\0" + bytes(200_000))
    assert refusal(data, Limits(max_file_bytes=100_000)) is ImageTooLarge


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff" * 3_000_000,
        b"\xff\xd8" + b"\xff\x01" * 1_500_000,
        PNG[:33] + png_chunk(b"tEXt", b"") * 300_000,
        TIFF[:8] + b"\xff\xff" + struct.pack("<HHII", 273, 4, 2**29, 8) * 65_535 + bytes(4),
    ],
    ids=["fill bytes", "empty markers", "empty chunks", "endless strips"],
)
def test_a_header_without_end_is_given_up_soon(data: bytes) -> None:
    start = time.perf_counter()
    assert refusal(data) is CorruptImage
    assert time.perf_counter() - start < 5


def test_a_tiff_whose_directory_follows_itself_ends() -> None:
    following = 8 + 2 + 12 * 13
    assert refusal(changed(TIFF, following, struct.pack("<I", 8))) is MultiFrame


def test_a_data_set_without_the_dicom_prefix_is_a_damaged_dicom() -> None:
    data = dicom(GREY8)
    assert refusal(data[132:]) is CorruptDicom
    (meta_length,) = struct.unpack_from("<I", data, 140)
    assert refusal(data[144 + meta_length :]) is CorruptDicom


def test_the_next_file_is_read_as_if_nothing_had_been() -> None:
    for data in (*DAMAGED.values(), *FOREIGN.values()):
        with pytest.raises(IntakeError):
            read_image(data, Modality.MG)
    assert np.array_equal(read_image(PNG, Modality.MG).pixels, GREY8)
