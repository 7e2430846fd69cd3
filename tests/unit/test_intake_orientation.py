"""PNG, JPEG and TIFF: upright, without alpha, whatever way the file is laid out."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from files import jpeg, picture, png, png_chunk, tiff, with_png_chunk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mammosono.appliance.errors import CorruptImage, IntakeError
from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.orientation import UNKNOWN, upright
from mammosono.appliance.values import Modality, SourceImage

GREY8 = picture(160, 208)
GREY16 = picture(160, 208, levels=65536)
ALL = range(1, 9)
NOT_UPRIGHT = range(2, 9)

SEEN: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).T,
    8: np.rot90,
}
"""By orientation, how the picture is seen (Exif 2.32, 4.6.5.1)."""


def read(data: bytes) -> SourceImage:
    return read_image(data, Modality.MG)


@pytest.mark.parametrize("orientation", ALL)
def test_upright_follows_exif(orientation: int) -> None:
    assert np.array_equal(upright(GREY8, orientation), SEEN[orientation](GREY8))


def tag_changed(data: bytes, tag: int, value: int) -> bytes:
    """A TIFF with the SHORT value of a tag of its first directory replaced."""
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        if struct.unpack_from(order + "H", data, entry)[0] == tag:
            return data[: entry + 8] + struct.pack(order + "H", value) + data[entry + 10 :]
    raise AssertionError("no such tag")


def written(pixels: NDArray[Any], orientation: int = 1, **layout: Any) -> bytes:
    out = BytesIO()
    tifffile.imwrite(out, pixels, extratags=[(274, 3, 1, 1, True)], **layout)
    return tag_changed(out.getvalue(), 274, orientation)


DEPTHS = {
    "8 bits": GREY8,
    "16 bits": GREY16,
    "8-bit RGB": np.dstack([GREY8] * 3),
    "16-bit RGB": np.dstack([GREY16] * 3),
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "one strip": {},
    "strips": {"rowsperstrip": 24},
    "tiles": {"tile": (64, 64)},
    "deflated strips": {"rowsperstrip": 24, "compression": "zlib"},
    "deflated tiles": {"tile": (32, 48), "compression": "zlib"},
    "deflated tiles with differences": {
        "tile": (64, 64),
        "compression": "zlib",
        "predictor": True,
    },
    "big-endian tiles": {"tile": (64, 64), "byteorder": ">"},
    "small tiles": {"tile": (16, 48)},
    "big-endian small tiles": {"tile": (48, 16), "byteorder": ">"},
    "one odd tile": {"tile": (176, 208)},
}


@pytest.mark.parametrize("orientation", NOT_UPRIGHT)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("pixels", DEPTHS.values(), ids=DEPTHS.keys())
def test_a_tiff_is_upright(pixels: NDArray[Any], layout: dict[str, Any], orientation: int) -> None:
    given = layout | ({"photometric": "rgb"} if pixels.ndim == 3 else {"photometric": "minisblack"})
    grey = pixels[..., 0] if pixels.ndim == 3 else pixels
    assert np.array_equal(
        read(written(pixels, orientation, **given)).pixels, SEEN[orientation](grey)
    )


@given(st.integers(1, 12), st.integers(1, 12))
@settings(deadline=None)
def test_tiles_may_have_any_sides_of_sixteen(down: int, across: int) -> None:
    data = written(GREY8, photometric="minisblack", tile=(16 * down, 16 * across))
    assert np.array_equal(read(data).pixels, GREY8)


@pytest.mark.parametrize("orientation", NOT_UPRIGHT)
@pytest.mark.parametrize("compression", [5, 7, 32773])  # LZW, JPEG, PackBits
@pytest.mark.parametrize("rows", [16, 160])
def test_so_is_a_tiff_that_opencv_compressed(compression: int, rows: int, orientation: int) -> None:
    options = (cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_ROWSPERSTRIP, rows)
    plain = cv2.imencode(".tif", GREY8, options)[1].tobytes()
    turned = with_entry(plain, 274, 3, 1, orientation)
    assert np.array_equal(read(turned).pixels, SEEN[orientation](read(plain).pixels))


@pytest.mark.parametrize("orientation", NOT_UPRIGHT)
def test_so_are_tiffs_of_one_bit_of_floats_of_white_as_zero_and_with_a_palette(
    orientation: int,
) -> None:
    bits = np.where(GREY8 > 127, 255, 0).astype(np.uint8)
    packed = np.packbits(bits > 0, axis=1).tobytes()
    for data in (
        tiff(bits, bits=1, data=packed),
        tiff(GREY8.astype(np.float32)),
        tiff(GREY8, photometric=0),
        tiff(GREY16, photometric=0),
    ):
        plain = read(data).pixels
        turned = read(tag_changed(data, 274, orientation)).pixels
        assert np.array_equal(turned, SEEN[orientation](plain))


ALPHA = {"unassociated": "unassalpha", "associated": "assocalpha", "unspecified": "unspecified"}


@pytest.mark.parametrize("alpha", ALPHA.values(), ids=ALPHA.keys())
@pytest.mark.parametrize("tile", [None, (64, 64)], ids=["strips", "tiles"])
@pytest.mark.parametrize("grey", [GREY8, GREY16], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("see_through", [0, 128])
def test_the_alpha_of_a_tiff_is_ignored(
    grey: NDArray[Any], tile: Any, alpha: str, see_through: int
) -> None:
    rgba = np.dstack([grey, grey, grey, np.full_like(grey, see_through)])
    data = written(rgba, photometric="rgb", extrasamples=[alpha], tile=tile)
    assert np.array_equal(read(data).pixels, grey)


@pytest.mark.parametrize("tile", [None, (64, 64)], ids=["strips", "tiles"])
@pytest.mark.parametrize("grey", [GREY8, GREY16], ids=["8 bits", "16 bits"])
def test_grey_with_alpha_in_a_tiff_is_that_grey_or_refused(grey: NDArray[Any], tile: Any) -> None:
    both = np.dstack([grey, np.full_like(grey, 128)])
    data = written(
        both,
        photometric="minisblack",
        extrasamples=["unassalpha"],
        tile=tile,
        planarconfig="contig",
    )
    with suppress(IntakeError):
        assert np.array_equal(read(data).pixels, grey)


@pytest.mark.parametrize("grey", [GREY8, GREY16])
@pytest.mark.parametrize("see_through", [0, 128])
def test_the_alpha_of_a_png_is_ignored(grey: NDArray[Any], see_through: int) -> None:
    alpha = np.full_like(grey, see_through)
    assert np.array_equal(read(png(np.dstack([grey, grey, grey, alpha]))).pixels, grey)
    assert np.array_equal(read(grey_with_alpha(grey, alpha)).pixels, grey)
    transparent = with_png_chunk(png(grey), b"tRNS", struct.pack(">H", int(grey[0, 0])))
    assert np.array_equal(read(transparent).pixels, grey)


def grey_with_alpha(grey: NDArray[Any], alpha: NDArray[Any]) -> bytes:
    height, width = grey.shape
    rows = np.dstack([grey, alpha]).astype(grey.dtype.newbyteorder(">"))
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 8 * grey.dtype.itemsize, 4, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(raw))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


# Entries that one reader skips and another takes


def with_entry(
    data: bytes, tag: int, kind: int, count: int, value: int, first: bool = True
) -> bytes:
    """`data` with its directory moved to the end and one entry more in it."""
    (at,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, at)
    old = data[at + 2 : at + 2 + 12 * entries]
    new = struct.pack("<HHII", tag, kind, count, value)
    directory = struct.pack("<H", entries + 1) + (new + old if first else old + new) + bytes(4)
    data += bytes(len(data) % 2)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


@pytest.mark.parametrize("tag", [256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 322, 323])
@pytest.mark.parametrize("kind", [4, 6, 8, 9, 11, 13, 16, 200])
@pytest.mark.parametrize("first", [True, False])
def test_what_a_tiff_says_of_its_layout_twice_or_in_another_type_is_refused(
    tag: int, kind: int, first: bool
) -> None:
    with pytest.raises(CorruptImage):
        read(with_entry(tiff(GREY8), tag, kind, 1, 20_000, first))


@pytest.mark.parametrize("side", [2**16, 2**20])
def test_tiles_far_beyond_the_picture_are_refused(side: int) -> None:
    data = with_entry(tiff(GREY8), 322, 4, 1, side)
    with pytest.raises(IntakeError):
        read(with_entry(data, 323, 4, 1, side))


# Notes in text


def exif(orientation: int, order: str = "<") -> bytes:
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 1)
    return start + struct.pack(order + "HHIHHI", 274, 3, 1, orientation, 0, 0)


def profile(name: bytes, block: bytes) -> bytes:
    """As ImageMagick writes it: a name, a length, lines of hexadecimal digits."""
    digits = block.hex().encode()
    lines = b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return b"\n" + name + b"\n" + str(len(block)).rjust(8).encode() + b"\n" + lines + b"\n"


def xmp(orientation: int, form: str = 'tiff:Orientation="{}"') -> bytes:
    return f"<x:xmpmeta><rdf:Description {form.format(orientation)}/></x:xmpmeta>".encode()


XMP_ELEMENT = "><tiff:Orientation>{}</tiff:Orientation><a"


def text(kind: bytes, keyword: bytes, value: bytes) -> tuple[bytes, bytes]:
    if kind == b"zTXt":
        return kind, keyword + b"\0\0" + zlib.compress(value)
    if kind == b"iTXt":
        return kind, keyword + b"\0\1\0en\0key\0" + zlib.compress(value)
    return kind, keyword + b"\0" + value


def png_notes(orientation: int) -> dict[str, tuple[bytes, bytes]]:
    block = exif(orientation)
    named = b"Exif\0\0" + exif(orientation, ">")
    notes = {
        "eXIf": (b"eXIf", block),
        "eXIf with its name": (b"eXIf", named),
        "XMP": text(b"iTXt", b"XML:com.adobe.xmp", xmp(orientation)),
        "XMP as an element": text(b"iTXt", b"XML:com.adobe.xmp", xmp(orientation, XMP_ELEMENT)),
        "XMP unpacked": (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(orientation)),
        "XMP as a profile": text(
            b"zTXt", b"Raw profile type xmp", profile(b"xmp", xmp(orientation))
        ),
    }
    for kind in (b"tEXt", b"zTXt", b"iTXt"):
        for name in (b"exif", b"APP1"):
            key = f"{name.decode()} in {kind.decode()}"
            notes[key] = text(kind, b"Raw profile type " + name, profile(name, named))
    return notes


@pytest.mark.parametrize("note", png_notes(1))
@pytest.mark.parametrize("orientation", NOT_UPRIGHT)
@pytest.mark.parametrize("grey", [GREY8, GREY16])
def test_a_png_is_upright_wherever_that_is_noted(
    grey: NDArray[Any], orientation: int, note: str
) -> None:
    kind, body = png_notes(orientation)[note]
    for data in (with_png_chunk(png(grey), kind, body), behind_the_picture(grey, kind, body)):
        image = read(data)
        assert np.array_equal(image.pixels, SEEN[orientation](grey))
        assert image.warnings == ()


def behind_the_picture(grey: NDArray[Any], kind: bytes, body: bytes) -> bytes:
    data = png(grey)
    return data[:-12] + png_chunk(kind, body) + data[-12:]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"eXIf", b"II*\0" + bytes(2)),
        (b"eXIf", b"no such thing"),
        (b"eXIf", exif(77)),
        (b"zTXt", b"Raw profile type exif\0\0broken"),
        (b"tEXt", b"Raw profile type exif\0\nexif\n 9\nzz"),
        (b"tEXt", b"Raw profile type exif\0"),
    ],
)
def test_a_damaged_note_is_told(kind: bytes, body: bytes) -> None:
    image = read(with_png_chunk(png(GREY8), kind, body))
    assert np.array_equal(image.pixels, GREY8)
    assert image.warnings == (UNKNOWN,)


def test_a_packed_note_of_a_gigabyte_is_not_unpacked() -> None:
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(256)) + packer.flush()
    image = read(with_png_chunk(png(GREY8), b"zTXt", b"Raw profile type exif\0\0" + packed))
    assert image.warnings == (UNKNOWN,)


@pytest.mark.parametrize("orientation", NOT_UPRIGHT)
def test_a_jpeg_is_upright_by_exif_or_xmp(orientation: int) -> None:
    plain = read(jpeg(GREY8)).pixels
    packet = b"http://ns.adobe.com/xap/1.0/\0" + xmp(orientation)
    data = jpeg(GREY8)
    noted = data[:2] + b"\xff\xe1" + struct.pack(">H", len(packet) + 2) + packet + data[2:]
    for turned in (jpeg(GREY8, orientation=orientation), noted):
        assert np.array_equal(read(turned).pixels, SEEN[orientation](plain))


# Burnt-in marks


def marked(content: NDArray[Any], mark: int, blurred: bool = False) -> NDArray[Any]:
    picture = content.copy()
    picture[4:20, 180:200] = mark  # 0.96 % of the picture
    if blurred:
        picture[4:20, 180:200] = cv2.GaussianBlur(picture, (3, 3), 0)[4:20, 180:200]
    return picture


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("encode", [png, tiff])
@pytest.mark.parametrize("blurred", [False, True])
def test_a_white_mark_leaves_the_content_to_be_seen(bits: int, encode, blurred: bool) -> None:
    content = picture(160, 208, levels=2**bits)
    image = read(encode(marked(content, 65535, blurred)))
    low, high = image.window
    assert low < 0.1 * 2**bits
    assert 0.9 * content.max() < high < 1.1 * 2**bits
    assert image.bits == bits
    untouched = marked(content, 0) > 0
    assert np.array_equal(image.pixels[untouched], content[untouched])


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_a_black_mark_does_so_in_greys_at_the_upper_end(bits: int) -> None:
    content = (65535 - picture(160, 208, levels=2**bits)).astype(np.uint16)
    for data in (png(marked(content, 0)), tiff(65535 - marked(content, 0), photometric=0)):
        low, high = read(data).window
        assert content.min() - 100 <= low < content.min() + 0.2 * 2**bits
        assert high > content.max() - 0.1 * 2**bits


def test_bright_tissue_is_no_mark() -> None:
    fat = picture(160, 208, levels=600)
    fat[40:60, 40:60] = picture(20, 20, levels=3400) + 600
    for scene in (fat, GREY16):
        image = read(png(scene))
        assert np.array_equal(image.pixels, scene)
