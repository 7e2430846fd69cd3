"""Whatever is posted, read_image answers with a picture or with one of its own errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fuzz.decoder import check
from fuzz.seeds import WHOLE, modality_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mammosono.appliance.errors import IntakeError
from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.limits import Limits
from mammosono.appliance.values import SourceImage

pytestmark = pytest.mark.slow

LIMITS = Limits(max_pixels=1_000_000)  # mutated headers must not cost the test its memory

MAGIC = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0", b"MM\0*", bytes(128) + b"DICM"]


def outcome(data: bytes) -> SourceImage | str:
    """The picture, or the words of the refusal; any other exception fails the test."""
    try:
        return read_image(data, modality_of(data), LIMITS)
    except IntakeError as refusal:
        return str(refusal)


def answers(data: bytes) -> None:
    image = outcome(data)
    if isinstance(image, str):
        assert "\n" not in image
    else:
        check(image)


def budget(examples: int) -> Callable[..., Callable[..., None]]:
    return settings(
        max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


def test_the_unharmed_files_are_read() -> None:
    for data in WHOLE:
        assert read_image(data, modality_of(data), LIMITS).pixels.size


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
