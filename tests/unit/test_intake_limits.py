from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import pytest

from mammosono.appliance.errors import EmptyFile, ImageTooLarge, ImageTooSmall
from mammosono.appliance.intake.limits import Limits

LIMITS = Limits(max_file_bytes=100, min_side_px=10, max_side_px=50, max_pixels=1000, max_aspect=4.0)


def refused(error: type[Exception] | None) -> AbstractContextManager[object]:
    return pytest.raises(error) if error else nullcontext()


@pytest.mark.parametrize(
    ("size_bytes", "error"), [(0, EmptyFile), (1, None), (100, None), (101, ImageTooLarge)]
)
def test_a_files_size(size_bytes: int, error: type[Exception] | None) -> None:
    with refused(error):
        LIMITS.admit_file(size_bytes)


@pytest.mark.parametrize(
    ("width", "height", "error"),
    [
        (10, 10, None),
        (10, 9, ImageTooSmall),
        (9, 10, ImageTooSmall),
        (50, 20, None),
        (51, 15, ImageTooLarge),
        (40, 26, ImageTooLarge),  # 1040 pixels
        (40, 10, None),
        (10, 41, ImageTooSmall),  # a strip
        (-1, 40, ImageTooSmall),
    ],
)
def test_a_pictures_size(width: int, height: int, error: type[Exception] | None) -> None:
    with refused(error):
        LIMITS.admit_picture(width, height)


def test_the_largest_detectors_fit() -> None:
    Limits().admit_picture(4728, 5928)
    Limits().admit_file(4728 * 5928 * 2 + 10_000)
