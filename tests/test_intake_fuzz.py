"""Whatever is posted, read_image answers with a picture or with one of its own errors."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from files import coloured, dicom, jpeg, picture, png, tiff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from appliance.errors import IntakeError
from appliance.intake import read_image
from appliance.limits import Limits
from appliance.values import Modality, SourceImage

SMALL = picture(64, 72)
DEEP = picture(64, 72, levels=65536)
LIMITS = Limits(max_pixels=1_000_000)  # mutated headers must not cost the test its memory

WHOLE = [
    png(SMALL),
    png(coloured(DEEP)),
    jpeg(SMALL),
    jpeg(coloured(SMALL), orientation=8),
    cv2.imencode(".jpg", SMALL, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1))[1].tobytes(),
    tiff(DEEP),
    tiff(SMALL.astype(np.float32)),
    cv2.imencode(".tif", DEEP, (cv2.IMWRITE_TIFF_COMPRESSION, 5))[1].tobytes(),
    dicom(DEEP),
    dicom(SMALL, syntax=RLELossless),
    dicom(SMALL, syntax=JPEGBaseline8Bit),
    dicom(DEEP, syntax=JPEG2000Lossless),
]
MAGIC = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0", b"MM\0*", bytes(128) + b"DICM"]


def outcome(data: bytes) -> SourceImage | str:
    """The picture, or the words of the refusal; any other exception fails the test."""
    try:
        return read_image(data, Modality.US, LIMITS)
    except IntakeError as refusal:
        return str(refusal)


def answers(data: bytes) -> None:
    image = outcome(data)
    if isinstance(image, str):
        assert "\n" not in image
        return
    assert image.pixels.ndim == 2
    assert image.pixels.dtype in (np.uint8, np.uint16)
    assert image.window[0] < image.window[1]
    assert 8 <= image.bits <= 16
    assert image.pixels.max() < 2**image.bits


def budget(examples: int) -> Callable[..., Callable[..., None]]:
    return settings(
        max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


def test_the_unharmed_files_are_read() -> None:
    for data in WHOLE:
        assert read_image(data, Modality.US, LIMITS).pixels.size == SMALL.size


@budget(100)
@given(st.sampled_from(MAGIC), st.binary(max_size=400))
def test_random_bytes(magic: bytes, noise: bytes) -> None:
    answers(magic + noise)


@budget(150)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1),
)
def test_files_with_bytes_changed(whole: bytes, changes: list[tuple[float, int]]) -> None:
    data = bytearray(whole)
    for place, value in changes:
        # Cubed: headers, where the harm is done, are hit as often as the long pixel data.
        data[int(place**3 * len(data))] = value
    answers(bytes(data))


@budget(100)
@given(st.sampled_from(WHOLE), st.floats(0, 1), st.floats(0, 1), st.binary(max_size=8))
def test_files_with_a_piece_replaced(whole: bytes, a: float, b: float, piece: bytes) -> None:
    start, end = sorted((int(a * len(whole)), int(b * len(whole))))
    answers(whole[:start] + piece + whole[end:])
