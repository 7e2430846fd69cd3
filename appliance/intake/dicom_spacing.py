"""Pixel spacing in millimetres (PS3.3 10.7.1, C.8.11.7, C.8.5.5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset

from mammosono.appliance.modality import MODALITIES, ModalityRecord, Physics
from mammosono.appliance.values import Modality

SPACING_KEYWORDS = ("PixelSpacing", "ImagerPixelSpacing", "SequenceOfUltrasoundRegions")

Spacing = tuple[float, float]

_2D, _TISSUE, _CENTIMETRES = 1, 1, 3  # RegionSpatialFormat, RegionDataType, PhysicalUnits
_MM_PER_CM = 10.0
_SAME_SCALE = 1e-3  # regions agree to a part in a thousand


def spacing_mm(ds: Dataset, modality: Modality) -> Spacing | None:
    """(row, column) spacing; None if the file does not say, or says different things.

    Projection: PixelSpacing (in the patient), else ImagerPixelSpacing (at the detector).
    Echo: the B-mode regions' calibration if they agree, else PixelSpacing.
    """
    record = MODALITIES[modality]
    patient = _plausible(ds.get("PixelSpacing"), record)
    if record.physics is Physics.PROJECTION:
        return patient or _plausible(ds.get("ImagerPixelSpacing"), record)
    regions = ds.get("SequenceOfUltrasoundRegions") or ()
    scales = [scale for region in regions if (scale := _region_spacing(region, record))]
    if scales:
        return scales[0] if all(_agree(scales[0], scale) for scale in scales) else None
    return patient


def _region_spacing(region: Dataset, record: ModalityRecord) -> Spacing | None:
    if (
        region.get("RegionSpatialFormat") != _2D
        or region.get("RegionDataType") != _TISSUE
        or region.get("PhysicalUnitsXDirection") != _CENTIMETRES
        or region.get("PhysicalUnitsYDirection") != _CENTIMETRES
    ):
        return None
    # A delta is negative where the axis points up or left.
    deltas = (region.get("PhysicalDeltaY"), region.get("PhysicalDeltaX"))
    spacing = [abs(delta) * _MM_PER_CM for delta in deltas if delta is not None]
    return _plausible(spacing, record)


def _plausible(values: Sequence[Any] | None, record: ModalityRecord) -> Spacing | None:
    if not isinstance(values, Sequence) or len(values) != 2:
        return None
    row, column = (float(value) for value in values)
    low, high = record.plausible_mm
    return (row, column) if low <= row <= high and low <= column <= high else None


def _agree(a: Spacing, b: Spacing) -> bool:
    return all(math.isclose(x, y, rel_tol=_SAME_SCALE) for x, y in zip(a, b, strict=True))
