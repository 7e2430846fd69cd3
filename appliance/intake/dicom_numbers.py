"""Numbers of a DICOM header, and whether anybody can mean them.

One place, because each of them may be anything: text, NaN, a width of 1e300, a slope of 1e-320.
Read from the bytes, since pydicom refuses the whole file over one odd value.

A comma is a decimal comma, in every number: devices of half the world print it, and a number has no
other (PS3.5 6.2 parts several by a backslash, and no device groups thousands).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag

_LEAST, _MOST = 2.0**-40, 2.0**40
"""Magnitudes: what lies beyond leaves the range of the arithmetic that follows, and is no
measure of a picture of at most 16 bits."""
_BINARY = ("FD", "FL", "US", "SS", "UL", "SL", "UV", "SV")


def stated(ds: Dataset, keyword: str) -> tuple[float, ...]:
    """All values of an element as they stand; NaN for what is no number, empty if there is none."""
    element = ds.get_item(keyword)
    if element is None or element.value in (None, b"", ""):
        return ()
    vr = element.VR or "UN"
    if vr == "UN":
        vr = dictionary_VR(Tag(keyword))
    if isinstance(element.value, bytes) and vr not in _BINARY:
        return tuple(map(_number, element.value.decode("ascii", "replace").split("\\")))
    try:
        value = ds[keyword].value
    except Exception:  # pydicom raises anything over a value of the wrong length or kind
        return (math.nan,)
    values = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    return tuple(_number(each) for each in values)


def meant(value: float) -> bool:
    """Finite, and neither beyond all bounds nor lost below them."""
    return value == 0 or _LEAST <= abs(value) <= _MOST


def numbers(ds: Dataset, keyword: str) -> tuple[float, ...] | None:
    """The values; empty if the element is absent or empty, None if one cannot be meant."""
    values = stated(ds, keyword)
    return values if all(map(meant, values)) else None


def number(ds: Dataset, keyword: str, default: float) -> float | None:
    """The first value, `default` if there is none; None if it cannot be meant."""
    value = next(iter(stated(ds, keyword)), default)
    return value if meant(value) else None


def has_comma(ds: Dataset, keywords: Iterable[str]) -> bool:
    """Whether one of these elements writes a number with a decimal comma."""
    written = (ds.get_item(keyword) for keyword in keywords)
    return any(
        isinstance(element.value, bytes)
        and (element.VR or dictionary_VR(element.tag)) not in (*_BINARY, "SQ")
        and any(
            b"," in text and math.isfinite(_number(text.decode("ascii", "replace")))
            for text in element.value.split(b"\\")
        )
        for element in written
        if element is not None
    )


def read_number(text: str) -> float:
    """NaN for what is none."""
    try:
        return float(text.strip(" \0").replace(",", "."))
    except ValueError:
        return math.nan


def _number(value: Any) -> float:
    if isinstance(value, str):
        return read_number(value)
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
