"""From stored values to what is shown (PS3.3 C.7.6.3.1.2, C.11; PS3.4 N.2).

Rescaling or modality table, then window or VOI table, then polarity or presentation table. A chain
that is a straight line leaves the pixels as they are, or turns them round, and becomes a window;
one that bends is applied as a table of all stored values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from mammosono.appliance.errors import CorruptDicom, UnsupportedDicom
from mammosono.appliance.intake.dicom_header import INVERTED, DicomHeader
from mammosono.appliance.intake.dicom_lut import Lut, read_lut
from mammosono.appliance.intake.dicom_numbers import number, stated
from mammosono.appliance.intake.dicom_window import (
    WINDOW_KEYWORDS,
    VoiFunction,
    Window,
    stated_window,
)
from mammosono.appliance.values import Caution

POLARITY_KEYWORDS = (
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "PresentationLUTShape",
    "PresentationLUTSequence",
)
LUT_KEYWORDS = ("ModalityLUTSequence", "VOILUTSequence", "PresentationLUTSequence")
GREY_KEYWORDS = (*POLARITY_KEYWORDS, *WINDOW_KEYWORDS, "VOILUTSequence")

WINDOW_IGNORED = Caution(
    "window_ignored", "The file's display window does not fit its grey levels and was not used."
)
VOI_LUT_IGNORED = Caution(
    "voi_lut_ignored", "The file's table of grey levels (VOI LUT) is damaged and was not used."
)

_NARROWEST, _WIDEST = 2.0, 2.0**24
"""Of a window, in pixel values. Pixels are whole numbers of at most 16 bits: what lies beyond shows
nothing."""
_FINE_BITS = 16

_CONTRADICTION = (
    "The DICOM file contradicts itself on whether its bright pixels are dense tissue; send it as "
    "it is displayed."
)


@dataclass(frozen=True, slots=True, eq=False)
class GreyScale:
    """How pixel values, signed ones shifted up to unsigned, are shown.

    table: grey levels of all pixel values, uint8 or uint16; None leaves the pixel values.
    inverted: pixel values, or the table's levels, are subtracted from the greatest.
    bits: of what comes out. window: (low, high) of what comes out; None if the file gives none
    that can be meant.
    """

    table: NDArray[Any] | None
    inverted: bool
    bits: int
    window: tuple[float, float] | None
    warnings: tuple[Caution, ...] = ()

    @property
    def greatest(self) -> int:
        return int((1 << self.bits) - 1)

    def of(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """uint8 or uint16."""
        if self.table is not None:
            pixels = self.table[pixels]
        dtype = np.dtype(np.uint8 if self.bits <= 8 else np.uint16)
        if self.inverted:
            pixels = dtype.type(self.greatest) - pixels
        return pixels


@dataclass(frozen=True, slots=True)
class _Line:
    """Levels of pixel values: slope (value - zero) + intercept; in units that mean nothing if not
    `usable`, the slope's sign apart."""

    slope: float
    intercept: float
    zero: int
    usable: bool

    def levels(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.slope * (values - self.zero) + self.intercept

    def values(self, ends: tuple[float, float]) -> tuple[float, float]:
        low, high = sorted((end - self.intercept) / self.slope + self.zero for end in ends)
        return low, high


def as_stored(header: DicomHeader) -> GreyScale:
    """Nothing but MONOCHROME1 is heeded."""
    return GreyScale(None, header.photometric == INVERTED, header.bits_stored, None)


def grey_scale(ds: Dataset, header: DicomHeader) -> GreyScale:
    """`ds` has the GREY_KEYWORDS. Raises CorruptDicom if it cannot be said which way the greys run,
    UnsupportedDicom if the file says both."""
    line = _rescaling(ds, header)
    _require_one_polarity(ds, header, line)
    if header.display_ready:
        return GreyScale(None, False, header.bits_stored, None)
    window, window_stated = stated_window(ds)
    modality = _table(ds, "ModalityLUTSequence", header.signed)
    warnings: tuple[Caution, ...] = ()

    values = np.arange(header.greatest + 1, dtype=np.float64)
    if modality is not None:
        levels = modality.of(values - line.zero).astype(np.float64)
    else:
        levels = line.levels(values)
    voi = read_lut(ds, "VOILUTSequence", signed=bool(levels.min() < 0))
    if voi is None and "VOILUTSequence" in ds:
        warnings += (VOI_LUT_IGNORED,)
    if not line.usable and modality is None:
        voi = window = None
    shown, bits, within = _bent(voi, window, modality, levels, header)
    presentation = _table(ds, "PresentationLUTSequence", signed=False)
    if presentation is not None:
        share = _share(shown, bits, within, window, line, values, header)
        shown, bits = presentation.of(share * (len(presentation.values) - 1)), presentation.bits
        within = (0.0, float(2**bits - 1))

    inverted = header.photometric == INVERTED
    if shown is None:
        inverted = inverted != (line.slope < 0)
        if window is not None and line.usable:
            within = line.values(window.ends)
    greatest = (1 << bits) - 1
    if within is not None and inverted:
        within = greatest - within[1], greatest - within[0]
    if within is not None and not _NARROWEST <= within[1] - within[0] <= _WIDEST:
        within = None
    if window_stated and within is None:
        warnings += (WINDOW_IGNORED,)
    table = None if shown is None else shown.astype(np.uint8 if bits <= 8 else np.uint16)
    return GreyScale(table, inverted, bits, within, warnings)


def _bent(
    voi: Lut | None,
    window: Window | None,
    modality: Lut | None,
    levels: NDArray[np.float64],
    header: DicomHeader,
) -> tuple[NDArray[Any] | None, int, tuple[float, float] | None]:
    """What is shown of each pixel value if the chain is no line, its bits, and its window.

    A table goes before a window: where a file has both the standard leaves the choice, and a table
    was made for the picture.
    """
    if voi is not None:
        return voi.of(levels), voi.bits, (0.0, float(2**voi.bits - 1))
    if window is not None and window.function is VoiFunction.SIGMOID:
        white = 2**_FINE_BITS - 1
        return np.rint(white * window.sigmoid(levels)), _FINE_BITS, (0.0, float(white))
    if modality is not None:
        return levels, modality.bits, window.ends if window else None
    return None, header.bits_stored, None


def _share(
    shown: NDArray[Any] | None,
    bits: int,
    within: tuple[float, float] | None,
    window: Window | None,
    line: _Line,
    values: NDArray[np.float64],
    header: DicomHeader,
) -> NDArray[np.float64]:
    """What a presentation table is given: 0 to 1 of each pixel value."""
    if shown is None:
        shown, within = line.levels(values), window.ends if window else None
        if within is None:
            low, high = sorted(line.levels(np.array((0.0, float(header.greatest)))))
            within = float(low), float(high)
    low, high = within or (0.0, float(2**bits - 1))
    return np.clip((shown - low) / max(high - low, _NARROWEST), 0, 1)


def _rescaling(ds: Dataset, header: DicomHeader) -> _Line:
    """Raises CorruptDicom if the slope is no number, so that its sign is not known."""
    zero = header.shifted(0)
    slope, intercept = number(ds, "RescaleSlope", 1), number(ds, "RescaleIntercept", 0)
    if slope and intercept is not None:
        return _Line(slope, intercept, zero, True)
    raw = next(iter(stated(ds, "RescaleSlope")), 1.0)
    if math.isnan(raw):
        raise CorruptDicom("The DICOM file's Rescale Slope is no number; send it again.")
    return _Line(math.copysign(1.0, raw), 0.0, zero, False)


def _table(ds: Dataset, keyword: str, signed: bool) -> Lut | None:
    """Raises CorruptDicom if it is damaged: then it is not known which way the greys run."""
    lut = read_lut(ds, keyword, signed)
    if lut is None and keyword in ds:
        raise CorruptDicom("The DICOM file's table of grey levels is damaged; send it again.")
    return lut


def _require_one_polarity(ds: Dataset, header: DicomHeader, line: _Line) -> None:
    """PS3.3 C.8.11.3.1.2: INVERSE goes with MONOCHROME1 and IDENTITY with MONOCHROME2."""
    shape = str(ds.get("PresentationLUTShape") or "").strip().upper()
    dark_is_dense = header.photometric == INVERTED
    presentation = read_lut(ds, "PresentationLUTSequence", signed=False)
    if (
        (shape == "INVERSE" and not dark_is_dense)
        or (shape == "IDENTITY" and dark_is_dense)
        or (presentation is not None and (dark_is_dense or presentation.descends))
        or (header.display_ready and line.slope < 0)
    ):
        raise UnsupportedDicom(_CONTRADICTION)
