"""Numbers of a DICOM header, and whether anybody can mean them.

One place, because each of them may be anything: text (a decimal comma), NaN, a width of 1e300, a
slope of 1e-320. Read from the bytes, since pydicom refuses the whole file over one odd value.
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


def _number(value: Any) -> float:
    try:
        return float(value.strip(" \0") if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
