"""What an object takes over of the image that it was made of: the one list.

Words are copied as they were sent, with the character set that they are written in: the PACS is to
find the same patient and the same study.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from mammosono.appliance.intake.dicom_parse import parse
from mammosono.appliance.intake.dicom_values import texts

PATIENT = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
)
STUDY = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName",
    "PatientAge",
)
ALWAYS_THERE = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Empty where the image does not say (PS3.3, type 2)."""

EQUIPMENT = (
    "Manufacturer",
    "InstitutionName",
    "StationName",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
)
COMPRESSION = (
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
"""What was lossy once is lossy for ever (PS3.3 C.7.6.1.1.5)."""


_NAMED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_TABLES = ("ModalityLUTSequence", "VOILUTSequence")
_PICTURE = (
    "Modality",
    "SeriesNumber",
    "InstanceNumber",
    "Rows",
    "Columns",
    "PhotometricInterpretation",
    "PixelAspectRatio",
    "PatientOrientation",
    "BurnedInAnnotation",
    "ImageLaterality",
    "Laterality",
    "ViewPosition",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
)
_ALL = (*_NAMED, *PATIENT, *STUDY, *EQUIPMENT, *COMPRESSION, *_PICTURE, *_TABLES)

_TEXT = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UT")
)


def read_header(data: bytes) -> Dataset:
    """Of a DICOM file, what is in the lists here, not decoded yet. Raises IntakeError, and
    ValueError if the file does not name its instance, series or study."""
    header = parse(data, _ALL, _TABLES)
    if not all(said(header, keyword) for keyword in _NAMED):
        raise ValueError("the image does not name its instance, its series or its study")
    return header


def said(header: Dataset, keyword: str) -> str:
    """An element's first value; empty where there is none, or none that can be read."""
    return next(iter(texts(header, keyword)), "")


def copy(header: Dataset, to: Dataset, keywords: Iterable[str]) -> None:
    """Copy elements; one that cannot be decoded, or was never there, is left out.

    Words are copied byte for byte: decoded and written again, a name in a character set that the
    header does not state, or states wrongly, would be another name.
    """
    for keyword in keywords:
        stored: object = header.get_item(keyword)
        try:
            if isinstance(stored, RawDataElement):
                vr = stored.VR or dictionary_VR(stored.tag)
                if vr in _TEXT:
                    to[stored.tag] = stored._replace(
                        VR=vr, is_implicit_VR=False, is_little_endian=True
                    )
                    continue
            if stored is not None:
                to[keyword] = _decoded(deepcopy(header[keyword]))
        except Exception:  # pydicom's conversions fail in every way
            continue


def _decoded(element: DataElement) -> DataElement:
    """With all that it holds: what is raw says no VR where the file said none."""
    if element.VR == "SQ":
        for item in element.value:
            for _ in item.iterall():
                pass
    return element


def copy_patient_and_study(header: Dataset, to: Dataset) -> None:
    """The character set, the patient and the study of an image, to an object that is new."""
    copy(header, to, ("SpecificCharacterSet", *PATIENT, *STUDY))
    for keyword in ALWAYS_THERE:
        if keyword not in to:
            setattr(to, keyword, "")
    # Else pydicom decodes words before it writes them.
    stated = to.get("SpecificCharacterSet")
    to.set_original_encoding(
        is_implicit_vr=False,
        is_little_endian=True,
        character_encoding=convert_encodings(stated) if stated else default_encoding,
    )


def equipment(header: Dataset) -> Dataset:
    """The device that took the image, as an item of Contributing Equipment (PS3.3 C.12.1.1.5)."""
    item = Dataset()
    copy(header, item, EQUIPMENT)
    if "Manufacturer" not in item:
        item.Manufacturer = ""
    return item
