"""Display window, in pixel values instead of rescaled units (PS3.3 C.11.1, C.11.2)."""

from __future__ import annotations

import math
from typing import Any

from pydicom.dataset import Dataset

from mammosono.appliance.intake.dicom_header import INVERTED, DicomHeader

WINDOW_KEYWORDS = (
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
)

_NARROWEST, _WIDEST = 2.0**-10, 2.0**24
"""Of a window, in pixel values. Pixels are whole numbers of at most 16 bits: what lies beyond, by
whichever number of the header (a slope of 1e-320, a width of 1e300), shows nothing, and leaves the
range of the arithmetic that follows. Compared such that NaN and infinity are refused as well."""


def display_window(ds: Dataset, header: DicomHeader) -> tuple[float, float] | None:
    """(low, high) pixel values of the file's first window, after sign shift and inversion.

    None if the file gives none that can be meant, or a modality look-up table stands between.
    """
    center, width = _first(ds.get("WindowCenter")), _first(ds.get("WindowWidth"))
    slope, intercept = _first(ds.get("RescaleSlope", 1)), _first(ds.get("RescaleIntercept", 0))
    numbers = (center, width, slope, intercept)
    if header.display_ready or "ModalityLUTSequence" in ds or not all(map(math.isfinite, numbers)):
        return None
    if ds.get("VOILUTFunction", "LINEAR") == "LINEAR":  # C.11.2.1.2.1: ends half a level inside
        center, width = center - 0.5, width - 1
    if width <= 0 or slope == 0:
        return None
    # Shifting signed values up keeps their order: zero lands on the sign bit's weight.
    zero = header.shifted(0)
    ends = [(center + side * width / 2 - intercept) / slope + zero for side in (-1, 1)]
    if header.photometric == INVERTED:
        ends = [header.greatest - end for end in ends]
    low, high = min(ends), max(ends)
    return (low, high) if _NARROWEST <= high - low <= _WIDEST else None


def _first(value: Any) -> float:
    """The first of one or several decimal strings; NaN if there is none."""
    if value is None or value == "":
        return math.nan
    return float(value if isinstance(value, (int, float, str)) else value[0])
