"""No file of a few megabytes keeps a decoder busy: what would take minutes is refused at once."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from files import dicom, picture, png_chunk
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ImplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit

from mammosono.appliance.errors import CorruptDicom, CorruptImage, IntakeError
from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.limits import Limits
from mammosono.appliance.values import Modality

SMALL = picture(64, 72)
MANY = 300_000
BYTES = 4 * 2**20
MOST_S = 1.5
"""Of processor time. Without a bound each takes longer, some many minutes, and as many times
more as it is longer: the largest file that is taken has 128 MiB."""


def with_elements(elements: bytes, data: bytes) -> bytes:
    """`elements` at the head of the data set."""
    (meta_length,) = struct.unpack_from("<I", data, 140)
    at = 144 + meta_length
    return data[:at] + elements + data[at:]


UNDEFINED = b"\xff\xff\xff\xff"
ITEM = b"\xfe\xff\0\xe0" + bytes(4)
END_OF_SEQUENCE = b"\xfe\xff\xdd\xe0" + bytes(4)
EXPLICIT = dicom(SMALL)
IMPLICIT = dicom(SMALL, syntax=ImplicitVRLittleEndian)


def head(group: int, element: int, vr: bytes) -> bytes:
    return struct.pack("<HH2sH", group, element, vr, 0)


def long_value(group: int, element: int, value: bytes) -> bytes:
    """A file with that element; only implicit VR has room for the length of any value."""
    return with_elements(struct.pack("<HHI", group, element, len(value)) + value, IMPLICIT)


def pixel_data(fragments: bytes, syntax: str) -> bytes:
    def edit(ds: FileDataset) -> None:
        ds.PixelData = fragments + END_OF_SEQUENCE

    return dicom(SMALL, edit, syntax=syntax)


REGIONS = ITEM * MANY
DICOM: dict[str, bytes] = {
    "empty elements": with_elements(head(0x0008, 0x0016, b"LO") * MANY, EXPLICIT),
    "a sequence of empty items": with_elements(
        head(0x0008, 0x1140, b"SQ") + UNDEFINED + ITEM * MANY + END_OF_SEQUENCE, EXPLICIT
    ),
    "empty ultrasound regions": with_elements(
        head(0x0018, 0x6011, b"SQ") + struct.pack("<I", len(REGIONS)) + REGIONS, EXPLICIT
    ),
    "elements that do not say where they end": with_elements(
        (head(0x0009, 0x1001, b"OB") + UNDEFINED + END_OF_SEQUENCE) * MANY, EXPLICIT
    ),
    "window centres": long_value(0x0028, 0x1050, b"1\\" * 2 * MANY),
    "pixel spacings": long_value(0x0028, 0x0030, b"1\\" * 2 * MANY),
    "numbers of frames": long_value(0x0028, 0x0008, b"1\\" * 2 * MANY),
    "character sets": long_value(0x0008, 0x0005, b"ISO_IR 100\\" * MANY),
    "empty fragments": pixel_data(ITEM * 8 * MANY, JPEGBaseline8Bit),
    "fragments of two bytes": pixel_data(
        ITEM + b"\xfe\xff\0\xe0\2\0\0\0\xff\xd8" * 8 * MANY, JPEG2000Lossless
    ),
}


def tiff(entries: list[tuple[int, int, int, int]], behind: Callable[[int], bytes]) -> bytes:
    """One directory, then `behind` of its own offset."""
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + directory + bytes(4)
    return head + behind(len(head))


def one_strip_many_times(width: int = 1024, strips: int = 8000) -> bytes:
    """A Deflate picture of a row a strip; each is the same one, and megabytes long."""
    strip = zlib.compress(bytes(width)) + bytes(BYTES)
    start = 8 + 2 + 12 * 9 + 4
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, strips),
        (258, 3, 1, 8),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, strips, start),
        (277, 3, 1, 1),
        (278, 4, 1, 1),
        (279, 4, strips, start + 4 * strips),
    ]
    place, size = np.full(strips, start + 8 * strips, "<u4"), np.full(strips, len(strip), "<u4")
    return tiff(entries, lambda _: place.tobytes() + size.tobytes() + strip)


def one_value_many_times(tags: list[int]) -> bytes:
    """Entries of these tags that all refer to the same megabytes."""
    count = BYTES // 4
    sound = [(256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    start = 8 + 2 + 12 * (len(sound) + 3 + len(tags)) + 4
    sound += [(273, 4, 1, start), (278, 4, 1, 64), (279, 4, 1, 4096)]
    entries = sound + [(tag, 4, count, start) for tag in tags]
    return tiff(entries, lambda _: SMALL.tobytes()[:4096] + bytes(4 * count))


def scanned(scans: int) -> bytes:
    """A progressive JPEG with so many scans of a few bytes: a pass over the picture each."""
    large = np.tile(picture(64, 64), (50, 50))
    data = cv2.imencode(".jpg", large, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1))[1].tobytes()
    last = data.rindex(b"\xff\xda")
    return data[:-2] + (data[last : last + 10] + b"\0") * scans + b"\xff\xd9"


def boxed(boxes: bytes) -> bytes:
    """JPEG 2000 in the file format that DICOM does not want, with these boxes before the picture.

    pydicom seeks the picture box by box, and for ever at a box that is zero bytes long.
    """

    def edit(ds: FileDataset) -> None:
        codestream = ds.PixelData[ds.PixelData.index(b"\xff\x4f\xff\x51") :]
        signature = b"\0\0\0\x0cjP  \r\n\x87\n"
        ds.PixelData = encapsulate([signature + boxes + b"\0\0\0\0jp2c" + codestream])

    return dicom(SMALL, edit, syntax=JPEG2000Lossless)


def png_bomb(side: int) -> bytes:
    """A picture of `side` pixels a side, and 512 MiB of zeros behind its rows."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(512)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


RASTER = {
    "PNG of a small picture and a gigabyte": png_bomb(72),
    "PNG of a picture and a gigabyte": png_bomb(2000),
    "TIFF with one strip many times": one_strip_many_times(),
    "TIFF with its strips told many times": one_value_many_times([273] * 2000),
    "TIFF with one private value many times": one_value_many_times(list(range(700, 1200))),
    "progressive JPEG of very many scans": scanned(50_000),
}


def refusal(data: bytes) -> type[IntakeError]:
    started = time.process_time()
    with pytest.raises(IntakeError) as caught:
        read_image(data, Modality.US)
    assert time.process_time() - started < MOST_S
    return caught.type


@pytest.mark.parametrize("data", DICOM.values(), ids=DICOM.keys())
def test_a_dicom_file_of_very_many_things_is_refused_soon(data: bytes) -> None:
    assert refusal(data) is CorruptDicom


@pytest.mark.parametrize(
    "boxes", [bytes(16), b"\0\0\0\x08free" * 1_000_000], ids=["an empty one", "very many"]
)
def test_boxes_around_jpeg_2000_end(boxes: bytes) -> None:
    assert refusal(boxed(boxes)) is CorruptDicom


@pytest.mark.parametrize("data", RASTER.values(), ids=RASTER.keys())
def test_a_picture_that_is_work_without_end_is_refused_soon(data: bytes) -> None:
    assert refusal(data) is CorruptImage


def test_as_many_elements_as_a_rich_file_has_are_read() -> None:
    rich = head(0x0008, 0x1140, b"SQ") + UNDEFINED + ITEM * 10_000 + END_OF_SEQUENCE
    rich += head(0x0008, 0x0012, b"LO") * 10_000
    image = read_image(with_elements(rich, EXPLICIT), Modality.US)
    assert np.array_equal(image.pixels, SMALL)


def test_a_progressive_picture_of_ordinary_scans_is_read() -> None:
    assert read_image(scanned(20), Modality.US, Limits()).pixels.shape == (3200, 3200)
