"""Look-up tables of grey levels: modality, VOI and presentation (PS3.3 C.11.1, C.11.2, C.11.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

_MOST_ENTRIES = 65536
_SIGN = 1 << 15


@dataclass(frozen=True, slots=True, eq=False)
class Lut:
    """values: uint16, of levels first, first + 1 ...; what lies beyond has the end's value.

    bits: of a value; white is 2**bits - 1.
    """

    first: int
    values: NDArray[np.uint16]
    bits: int

    def of(self, levels: NDArray[Any]) -> NDArray[np.uint16]:
        places = np.rint(levels) - self.first
        return np.asarray(self.values[np.clip(places, 0, len(self.values) - 1).astype(np.intp)])

    @property
    def descends(self) -> bool:
        return int(self.values[0]) > int(self.values[-1])


def read_lut(ds: Dataset, keyword: str, signed: bool) -> Lut | None:
    """The first table of a sequence; None if it is damaged.

    signed: the levels that it takes may be negative.
    """
    try:
        item: Dataset = ds[keyword].value[0]
        entries, first, bits = (int(word) for word in _words(item, "LUTDescriptor"))
        words = _words(item, "LUTData")
        count = entries or _MOST_ENTRIES
        if len(words) < count <= 2 * len(words):  # two entries of 8 bits in a word
            words = words.astype("<u2").view(np.uint8).astype(np.uint16)
    except Exception:  # pydicom and numpy raise anything over values of the wrong kind
        return None
    if count < 2 or len(words) < count or not 1 <= bits <= 16:
        return None
    values = words[:count].astype(np.uint16)
    # Some writers say 16 bits of a table of 12, or 8 of one of 16: then the table knows its white.
    white = int(values.max())
    if not 2**bits // 4 <= white < 2**bits:
        bits = white.bit_length()
    bits = max(bits, 8)
    return Lut(first - 2 * _SIGN if signed and first >= _SIGN else first, values, bits)


def _words(item: Dataset, keyword: str) -> NDArray[Any]:
    element: Any = item.get_item(keyword)
    order = ">" if isinstance(element, RawDataElement) and not element.is_little_endian else "<"
    if isinstance(element.value, bytes):
        return np.frombuffer(element.value, order + "u2", len(element.value) // 2)
    return np.asarray(element.value)
