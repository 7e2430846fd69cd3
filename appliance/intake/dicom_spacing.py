"""Pixel spacing in millimetres (PS3.3 10.7.1, C.8.11.7, C.8.7.3, C.8.5.5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from mammosono.appliance.intake.dicom_numbers import number, numbers, stated
from mammosono.appliance.modality import MODALITIES, ModalityRecord, Physics
from mammosono.appliance.values import Caution, Modality, ScaledRegion, Spacing, alike

_AT_THE_DETECTOR = ("ImagerPixelSpacing", "NominalScannedPixelSpacing")
SPACING_KEYWORDS = (
    "PixelSpacing",
    "PixelSpacingCalibrationType",
    *_AT_THE_DETECTOR,
    "EstimatedRadiographicMagnificationFactor",
    "DistanceSourceToDetector",
    "DistanceSourceToPatient",
    "SequenceOfUltrasoundRegions",
)

NO_SPACING = Caution(
    "no_spacing", "The file's pixel spacing cannot be relied on; no millimetres are given."
)

_2D, _TISSUE, _CENTIMETRES = 1, 1, 3  # RegionSpatialFormat, RegionDataType, PhysicalUnits
_MM_PER_CM = 10.0
_CORRECTED = ("GEOMETRY", "FIDUCIAL")
_CONTACT, _MOST_MAGNIFIED = 1.1, 4.0
"""Magnification factors: up to where a breast lies on the detector, and beyond which none goes."""


@dataclass(frozen=True, slots=True)
class Scale:
    """spacing_mm: of the whole picture; regions: see SourceImage."""

    spacing_mm: Spacing | None
    regions: tuple[ScaledRegion, ...] | None = None
    warnings: tuple[Caution, ...] = ()


def scale(ds: Dataset, modality: Modality, magnified: bool = False) -> Scale:
    """`ds` has the SPACING_KEYWORDS. magnified: the file says that it is a magnification view.
    A warning tells of a spacing that is stated but of no use."""
    record = MODALITIES[modality]
    if record.physics is Physics.PROJECTION:
        spacing = _projection(ds, record, magnified)
        said = any(stated(ds, keyword) for keyword in ("PixelSpacing", *_AT_THE_DETECTOR))
        return Scale(spacing, None, (NO_SPACING,) if said and spacing is None else ())
    if not ds.get("SequenceOfUltrasoundRegions"):
        spacing = _plausible(numbers(ds, "PixelSpacing"), record)
        said = bool(stated(ds, "PixelSpacing"))
        return Scale(spacing, None, (NO_SPACING,) if said and spacing is None else ())
    regions = tuple(_tissue_regions(ds, record))
    scales = [region.spacing_mm for region in regions]
    first = next(iter(scales), None)
    one = first is not None and all(each is not None and alike(first, each) for each in scales)
    return Scale(first if one else None, regions, () if any(scales) else (NO_SPACING,))


def _projection(ds: Dataset, record: ModalityRecord, magnified: bool) -> Spacing | None:
    """In the patient: a corrected Pixel Spacing, else the detector's divided by the magnification;
    Pixel Spacing is a corrected one if it says so or differs from the detector's (10.7.1.3)."""
    patient = _plausible(numbers(ds, "PixelSpacing"), record)
    detector = next(
        (found for key in _AT_THE_DETECTOR if (found := _plausible(numbers(ds, key), record))), None
    )
    said_corrected = str(ds.get("PixelSpacingCalibrationType") or "").strip() in _CORRECTED
    factor = _magnification(ds, magnified)
    same = patient is not None and detector is not None and alike(patient, detector)
    if patient is not None and (said_corrected or (detector is not None and not same)):
        contradicted = same and factor is not None and factor > _CONTACT
        return None if contradicted else patient
    if factor is None:
        return None
    if detector is None:  # a spacing that does not say where it was measured
        return patient if factor <= _CONTACT else None
    row, column = detector
    return row / factor, column / factor


def _magnification(ds: Dataset, magnified: bool) -> float | None:
    """Estimated Radiographic Magnification Factor, else the ratio of the distances that it is
    made of; 1 if nothing is said of it, None if what is said cannot be meant."""
    factor = number(ds, "EstimatedRadiographicMagnificationFactor", 0)
    if not stated(ds, "EstimatedRadiographicMagnificationFactor"):
        factor = by_distances(
            number(ds, "DistanceSourceToDetector", 0) or 0.0,
            number(ds, "DistanceSourceToPatient", 0) or 0.0,
        )
    if factor is None or not 1 <= factor <= _MOST_MAGNIFIED:
        return None
    return None if factor <= _CONTACT and magnified else factor


def by_distances(to_detector: float, to_patient: float) -> float:
    """Magnification by the distances of the source, 0 if not stated; 1 where they cannot be meant
    or are those of a contact view."""
    ratio = to_detector / to_patient if to_detector and to_patient else 1.0
    return ratio if _CONTACT < ratio <= _MOST_MAGNIFIED else 1.0


def _tissue_regions(ds: Dataset, record: ModalityRecord) -> Iterator[ScaledRegion]:
    """The B-mode regions that say where they are, with or without a calibration."""
    for region in ds.SequenceOfUltrasoundRegions:
        if number(region, "RegionSpatialFormat", 0) != _2D:
            continue
        if number(region, "RegionDataType", 0) != _TISSUE:
            continue
        corners = [
            number(region, f"RegionLocation{corner}", -1)
            for corner in ("MinX0", "MinY0", "MaxX1", "MaxY1")
        ]
        left, top, right, bottom = (-1 if corner is None else int(corner) for corner in corners)
        if min(left, top) < 0 or right < left or bottom < top:
            continue
        box = (left, top, right + 1, bottom + 1)  # the standard's corner belongs to the region
        yield ScaledRegion(box, _region_spacing(region, record))


def _region_spacing(region: Dataset, record: ModalityRecord) -> Spacing | None:
    units = (number(region, f"PhysicalUnits{axis}Direction", 0) for axis in "XY")
    if any(unit != _CENTIMETRES for unit in units):
        return None
    deltas = (number(region, f"PhysicalDelta{axis}", 0) for axis in "YX")
    # A delta is negative where the axis points up or left.
    return _plausible(tuple(abs(delta or 0) * _MM_PER_CM for delta in deltas), record)


def _plausible(values: tuple[float, ...] | None, record: ModalityRecord) -> Spacing | None:
    if values is None or len(values) != 2:
        return None
    row, column = values
    low, high = record.plausible_mm
    return (row, column) if low <= row <= high and low <= column <= high else None
