"""Mammograms and ultrasound as a modality writes them: whole DICOM objects, made of phantoms.

They satisfy their IODs as dciodvfy judges them, so what it finds in an object made of them is that
object's own fault.
"""

from __future__ import annotations

import uuid
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
)

from mammosono.appliance.phantoms import phantom
from mammosono.appliance.values import Label, Modality

Pixels = NDArray[np.uint8]


def uid(*parts: object) -> str:
    """A UID by the words it stands for, the same every time."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '|'.join(map(str, parts))).int}"


@lru_cache
def drawn(
    modality: Modality, seed: int, height: int, width: int, label: Label | None = Label.MALIGNANT
) -> Pixels:
    return phantom(modality, seed, label, height=height, width=width).pixels


def mammogram(
    side: str = "R",
    view: str = "MLO",
    *,
    patient: str = "P1",
    name: str = "Muster^Erika",
    study: str = "mg",
    date: str = "20261101",
    pixels: Pixels | None = None,
    seed: int = 1,
    **changes: Any,
) -> Dataset:
    """A digital mammogram for presentation, 12 bits, 0.1 mm a pixel at the detector.

    study: what its study is told apart by. pixels: uint8 [height, width], scaled to 12 bits.
    changes: further attributes by keyword; None takes one out.
    """
    if pixels is None:
        pixels = drawn(Modality.MG, seed, 256, 160)
        pixels = pixels[:, ::-1] if side == "R" else pixels
    ds = _image(
        DigitalMammographyXRayImageStorageForPresentation, "MG", patient, name, study, date,
        (side, view, seed),
    )  # fmt: skip
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.ImageLaterality = side
    ds.ViewPosition = view
    ds.OrganExposed = "BREAST"
    ds.BodyPartExamined = "BREAST"
    row, across = ("P", "L") if side == "R" else ("A", "R")
    ds.PatientOrientation = [row, f"F{across}" if view == "MLO" else across]
    ds.AnatomicRegionSequence = [code("76752008", "SCT", "Breast")]
    seen = {"MLO": ("399368009", "medio-lateral oblique"), "CC": ("399162004", "cranio-caudal")}
    ds.ViewCodeSequence = [code(seen[view][0], "SCT", seen[view][1])]
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence()
    ds.PositionerType = "MAMMOGRAPHIC"
    ds.BreastImplantPresent = "NO"
    ds.PartialView = "NO"
    ds.DetectorType = "DIRECT"
    ds.ImagerPixelSpacing = [0.1, 0.1]
    ds.AcquisitionContextSequence = Sequence()
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.PresentationLUTShape = "IDENTITY"
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    ds.LossyImageCompression = "00"
    ds.BurnedInAnnotation = "NO"
    _set_pixels(ds, pixels.astype(np.uint16) * 16, bits=12)
    return _changed(ds, changes)


def ultrasound(
    number: int = 1,
    *,
    patient: str = "P1",
    name: str = "Muster^Erika",
    study: str = "us",
    date: str = "20261105",
    side: str | None = None,
    pixels: Pixels | None = None,
    **changes: Any,
) -> Dataset:
    """A B-mode still, 8 bits, with its region and 0.1 mm a pixel; as of `mammogram`.

    number: of the still in its series.
    """
    if pixels is None:
        pixels = drawn(Modality.US, number, 150, 200)
    ds = _image(UltrasoundImageStorage, "US", patient, name, study, date, (side, number))
    ds.InstanceNumber = number
    ds.ImageType = ["ORIGINAL", "PRIMARY", "BREAST", "0001"]
    ds.BodyPartExamined = "BREAST"
    ds.Laterality = side or ""
    ds.PatientOrientation = ""
    ds.UltrasoundColorDataPresent = 0
    ds.LossyImageCompression = "00"
    ds.BurnedInAnnotation = "NO"
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1 = pixels.shape[1] - 1
    region.RegionLocationMaxY1 = pixels.shape[0] - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.01
    ds.SequenceOfUltrasoundRegions = [region]
    _set_pixels(ds, pixels, bits=8)
    return _changed(ds, changes)


def coloured(ds: Dataset) -> Dataset:
    """The same image in RGB."""
    grey = np.frombuffer(ds.PixelData, np.uint8)[: ds.Rows * ds.Columns]
    data = np.repeat(grey, 3).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    return ds


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def save(ds: Dataset, folder: Path) -> Path:
    """The file of an object, named by its SOP Instance UID."""
    path = folder / f"{ds.SOPInstanceUID}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def _image(
    sop_class: str, modality: str, patient: str, name: str, study: str, date: str, what: object
) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = uid(patient, study, modality, what)
    ds.PatientID, ds.PatientName, ds.IssuerOfPatientID = patient, name, "HOSPITAL"
    ds.PatientBirthDate, ds.PatientSex = "19660203", "F"
    ds.StudyInstanceUID = uid(patient, study)
    ds.StudyID, ds.AccessionNumber = f"S{study}"[:16], f"A{study}"[:16]
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = date
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = "101112"
    ds.StudyDescription = f"{modality} breast"
    ds.ReferringPhysicianName = ""
    ds.SeriesInstanceUID = uid(patient, study, modality, "series")
    ds.SeriesNumber, ds.InstanceNumber, ds.Modality = 1, 1, modality
    ds.Manufacturer, ds.ManufacturerModelName = "Phantom Works", "Drawn"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "1", "1"
    return ds


def _set_pixels(ds: Dataset, pixels: NDArray[Any], bits: int) -> None:
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated = 8 * pixels.dtype.itemsize
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits - 1, 0
    data = np.ascontiguousarray(pixels).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if ds.BitsAllocated == 16 else "OB"


def _changed(ds: Dataset, changes: dict[str, Any]) -> Dataset:
    for keyword, value in changes.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds
