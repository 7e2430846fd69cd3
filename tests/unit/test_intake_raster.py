"""PNG, JPEG and TIFF: what comes out for good files."""

from __future__ import annotations

import hashlib
import struct
import time

import cv2
import numpy as np
import pytest
from files import coloured, jpeg, picture, png, tiff, with_png_chunk

from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.colour import COLOURED
from mammosono.appliance.intake.histogram import FEW_LEVELS
from mammosono.appliance.intake.raster import SCALED
from mammosono.appliance.values import Modality

GREY8 = picture()
GREY16 = picture(levels=65536)


@pytest.mark.parametrize("encode", [png, tiff])
def test_grey_of_8_bits_comes_out_as_it_went_in(encode) -> None:
    image = read_image(encode(GREY8), Modality.US)
    assert np.array_equal(image.pixels, GREY8)
    assert image.pixels.dtype == np.uint8
    assert (image.bits, image.window) == (8, (0.0, 255.0))
    assert (image.spacing_mm, image.warnings) == (None, ())


@pytest.mark.parametrize("encode", [png, tiff, lambda p: tiff(p, order=">")])
def test_grey_of_16_bits_keeps_its_depth_and_gets_a_robust_window(encode) -> None:
    noisy = GREY16.copy()
    noisy[0, 0], noisy[0, 1] = 0, 65535  # two dead pixels do not set the window
    image = read_image(encode(noisy), Modality.MG)
    assert np.array_equal(image.pixels, noisy)
    assert (image.pixels.dtype, image.bits) == (np.uint16, 16)
    low, high = image.window
    assert GREY16.min() <= low < 1.1 * np.percentile(GREY16, 0.5)
    assert 0.99 * np.percentile(GREY16, 99.5) < high <= GREY16.max()


def test_the_bits_of_a_12_bit_picture_in_a_16_bit_file_are_12() -> None:
    assert read_image(png(picture(levels=4096)), Modality.MG).bits == 12


def test_the_hash_is_of_the_posted_bytes() -> None:
    data = png(GREY8)
    assert read_image(data, Modality.US).sha256 == hashlib.sha256(data).hexdigest()


def test_a_jpeg_is_turned_upright() -> None:
    plain = read_image(jpeg(GREY8), Modality.US).pixels
    turned = read_image(jpeg(GREY8, orientation=6), Modality.US).pixels
    assert np.array_equal(turned, np.rot90(plain, -1))
    assert np.abs(plain.astype(int) - GREY8).max() < 10


def test_png_and_tiff_are_turned_upright_too() -> None:
    exif = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHHI", 274, 3, 1, 6, 0, 0) + b"\0\0\0\0"
    turned = np.rot90(GREY8, -1)
    data = with_png_chunk(png(GREY8), b"eXIf", exif)
    assert np.array_equal(read_image(data, Modality.US).pixels, turned)
    assert np.array_equal(read_image(tiff(GREY8, orientation=6), Modality.US).pixels, turned)


@pytest.mark.parametrize("grey", [GREY8, GREY16])
@pytest.mark.parametrize("encode", [png, tiff])
def test_rgb_with_equal_channels_is_that_grey(encode, grey) -> None:
    rgb = np.repeat(grey[..., np.newaxis], 3, axis=2)
    assert np.array_equal(read_image(encode(rgb), Modality.MG).pixels, grey)


def test_alpha_is_ignored() -> None:
    rgba = np.dstack([GREY8, GREY8, GREY8, 255 - GREY8])
    assert np.array_equal(read_image(png(rgba), Modality.MG).pixels, GREY8)


@pytest.mark.parametrize("encode", [png, jpeg, tiff])
def test_strong_colour_in_an_ultrasound_is_told(encode) -> None:
    assert COLOURED in read_image(encode(coloured(GREY8)), Modality.US).warnings


def test_strong_colour_is_found_at_16_bits_too() -> None:
    assert COLOURED in read_image(png(coloured(GREY16)), Modality.US).warnings


def test_a_tinted_ultrasound_is_no_doppler() -> None:
    sepia = np.dstack([GREY8, GREY8 // 10 * 9, GREY8 // 10 * 8])
    assert COLOURED not in read_image(png(sepia), Modality.US).warnings


@pytest.mark.parametrize("grey", [GREY8, GREY16])
def test_a_tiff_with_white_as_zero_is_inverted(grey) -> None:
    image = read_image(tiff(np.bitwise_not(grey), photometric=0), Modality.MG)
    assert np.array_equal(image.pixels, grey)


@pytest.mark.parametrize("compression", [5, 8, 32773])  # LZW, Deflate, PackBits
def test_compressed_tiffs_are_read(compression: int) -> None:
    options = (cv2.IMWRITE_TIFF_COMPRESSION, compression)
    data = cv2.imencode(".tif", GREY16, options)[1].tobytes()
    assert np.array_equal(read_image(data, Modality.MG).pixels, GREY16)


def test_a_tiff_with_a_reduced_copy_of_itself_is_one_picture() -> None:
    data = tiff(GREY8, GREY8[::2, ::2], subfile_types=(0, 1))
    assert np.array_equal(read_image(data, Modality.MG).pixels, GREY8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_floating_point_tiff_is_scaled_from_least_to_greatest(dtype) -> None:
    image = read_image(tiff(GREY8.astype(dtype) / 7 - 3), Modality.MG)
    span = float(GREY8.max()) - float(GREY8.min())
    expected = (GREY8.astype(float) - GREY8.min()) / span * 65535
    assert image.pixels.dtype == np.uint16
    assert np.abs(image.pixels - expected).max() < 1
    assert image.warnings == (SCALED,)


@pytest.mark.parametrize(
    ("dtype", "least", "span"),
    [(np.float32, -3e38, 6e38), (np.float32, 0, 1e-36), (np.float64, -8e307, 1e308)],
    ids=["the largest", "the smallest", "the largest doubles"],
)
def test_a_floating_point_tiff_is_scaled_whatever_its_magnitude(dtype, least, span) -> None:
    share = (GREY8.astype(float) - GREY8.min()) / (float(GREY8.max()) - float(GREY8.min()))
    image = read_image(tiff((least + share * span).astype(dtype)), Modality.MG)
    assert np.abs(image.pixels - share * 65535).max() < 1


def test_a_picture_of_1_bit_is_read_with_a_warning() -> None:
    black_or_white = np.where(GREY8 > 127, 255, 0).astype(np.uint8)
    packed = np.packbits(black_or_white > 0, axis=1).tobytes()
    image = read_image(tiff(black_or_white, bits=1, data=packed), Modality.MG)
    assert np.array_equal(image.pixels, black_or_white)
    assert image.warnings == (FEW_LEVELS,)


def test_cmyk_is_read_through_rgb() -> None:
    key = 255 - GREY8
    cmyk = np.dstack([np.zeros_like(key)] * 3 + [key])
    image = read_image(tiff(cmyk, photometric=5), Modality.MG)
    assert np.abs(image.pixels.astype(int) - GREY8).max() <= 1


def test_text_and_profiles_in_a_png_do_not_reach_the_decoder(capfd) -> None:
    data = with_png_chunk(png(GREY8), b"iCCP", b"broken\0\0profile")
    data = with_png_chunk(data, b"tEXt", b"Comment\0" + b"x" * 9_000_000)
    assert np.array_equal(read_image(data, Modality.MG).pixels, GREY8)
    assert capfd.readouterr().err == ""


def test_zeros_after_a_png_are_padding() -> None:
    assert np.array_equal(read_image(png(GREY8) + bytes(100), Modality.MG).pixels, GREY8)


def test_a_jpeg_of_common_size_is_read_in_a_few_milliseconds() -> None:
    noise = np.random.default_rng(0).integers(0, 60, (700, 1024), np.uint8)
    data = jpeg(picture(700, 1024) // 2 + noise, quality=90)

    def seconds() -> float:
        start = time.perf_counter()
        read_image(data, Modality.US)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.2  # about 5 ms; room for a busy machine
