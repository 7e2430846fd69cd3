"""Palette colour look-up tables (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6 and segmented, C.7.9.2).

Our own, because an expanding table must stop at its stated length: a kilobyte of segments can
stand for gigabytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from mammosono.appliance.errors import CorruptDicom, UnsupportedDicom

_CHANNELS = ("Red", "Green", "Blue")
PALETTE_KEYWORDS = tuple(
    f"{prefix}{channel}PaletteColorLookupTable{suffix}"
    for channel in _CHANNELS
    for prefix, suffix in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
)

_DISCRETE, _LINEAR = 0, 1
_MAX_WORDS_PER_ENTRY = 4  # a segment of one entry takes three
_DAMAGED = "The DICOM file's palette is damaged; send it again from its source."


def apply_palette(index: NDArray[Any], ds: Dataset) -> NDArray[np.uint8]:
    """RGB, [height, width, 3], for stored values `index`, [height, width].

    Raises CorruptDicom if a table is damaged or a value lies outside it: the standard would show
    the table's end, but a breast painted in one colour is no picture.
    """
    tables = [_table(ds, channel) for channel in _CHANNELS]
    first = _descriptor(ds, "Red")[1]
    entries = min(map(len, tables))
    if int(index.min()) < first or int(index.max()) >= first + entries:
        raise CorruptDicom("DICOM pixels lie outside the palette; send the file again.")
    palette = np.stack([table[:entries] for table in tables], axis=1)
    return np.asarray(palette[index.astype(np.intp) - first])


def _descriptor(ds: Dataset, channel: str) -> tuple[int, int, int]:
    """Number of entries, first stored value mapped, bits of an entry."""
    entries, first, bits = ds[f"{channel}PaletteColorLookupTableDescriptor"].value
    if bits not in (8, 16):
        raise CorruptDicom(_DAMAGED)
    return entries or 65536, first, bits


def _table(ds: Dataset, channel: str) -> NDArray[np.uint8]:
    entries, _, bits = _descriptor(ds, channel)
    plain = ds.get(f"{channel}PaletteColorLookupTableData")
    if plain is None:
        segments = ds.get(f"Segmented{channel}PaletteColorLookupTableData")
        if segments is None:
            raise UnsupportedDicom("The DICOM file lacks its palette; send it as grey or RGB.")
        table = _expand(_words(segments, bits, ds), entries)
    else:
        # Entries of 8 bits are often stored in 16, whatever the descriptor says.
        table = _words(plain, 16 if len(plain) >= 2 * entries else 8, ds)[:entries]
    if len(table) < entries:
        raise CorruptDicom(_DAMAGED)
    return (table >> 8 if table.max() > 255 else table).astype(np.uint8)


def _words(data: bytes, bits: int, ds: Dataset) -> NDArray[Any]:
    order = "<" if ds.original_encoding[1] else ">"
    return np.frombuffer(data, "u1" if bits == 8 else order + "u2", len(data) // (bits // 8))


def _expand(words: NDArray[Any], entries: int) -> NDArray[np.int64]:
    """Segments to entries: discrete values, or a line from the last value to a new one."""
    if len(words) > _MAX_WORDS_PER_ENTRY * entries:
        raise CorruptDicom(_DAMAGED)
    pieces: list[NDArray[Any]] = []
    at = total = 0
    while total < entries and at + 2 < len(words):
        kind, length = int(words[at]), int(words[at + 1])
        if kind == _DISCRETE:
            piece, at = words[at + 2 : at + 2 + length], at + 2 + length
        elif kind == _LINEAR and pieces and length:
            line = np.linspace(int(pieces[-1][-1]), int(words[at + 2]), length + 1)
            piece, at = np.rint(line[1:]), at + 3
        else:
            raise UnsupportedDicom("The DICOM file's palette is not read; send it as grey or RGB.")
        if len(piece):
            pieces.append(piece)
        total += len(piece)
    if total != entries:
        raise CorruptDicom(_DAMAGED)
    return np.concatenate(pieces).astype(np.int64)
