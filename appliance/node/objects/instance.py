"""What every object has: file meta, patient, study, series, equipment, SOP common."""

from __future__ import annotations

import re
import unicodedata

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from mammosono.appliance.node import uids
from mammosono.appliance.node.codes import ARTIFICIAL_INTELLIGENCE, PRIVATE, dcm
from mammosono.appliance.node.contexts import ObjectKind
from mammosono.appliance.node.headers import copy_patient_and_study, equipment
from mammosono.appliance.node.objects.exam import Exam, Shown
from mammosono.appliance.output.wording import INTENDED_USE

MANUFACTURER = "mammosono"
CREATOR = "mammosono^AI"
"""As a person's name, which Content Creator's Name is."""

SERIES = {
    ObjectKind.CAPTURE: (9001, "OT", "Findings on the image (AI, research)"),
    ObjectKind.REPORT: (9002, "SR", "Findings report (AI, research)"),
    ObjectKind.PRESENTATION: (9003, "PR", "Findings outlined (AI, research)"),
    ObjectKind.CAD_REPORT: (9004, "SR", "Mammography CAD (AI, research)"),
    ObjectKind.SEGMENTATION: (9005, "SEG", "Findings segmented (AI, research)"),
}
"""Series Number, Modality, Series Description."""


def instance(exam: Exam, kind: ObjectKind, sop_class: str, header: Dataset, number: int) -> Dataset:
    """A new object in the study of `header`. number: of the object in its series, from 1."""
    study = str(header.StudyInstanceUID)
    series, modality, description = SERIES[kind]
    ds = Dataset()
    copy_patient_and_study(header, ds)
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = uids.of_object(exam.key, kind.value, study, number)
    ds.SeriesInstanceUID = uids.of_series(exam.key, kind.value, study)
    ds.SeriesNumber, ds.InstanceNumber = series, number
    ds.Modality, ds.SeriesDescription = modality, description
    date, time = f"{exam.options.read_at:%Y%m%d}", f"{exam.options.read_at:%H%M%S}"
    ds.SeriesDate = ds.ContentDate = ds.InstanceCreationDate = date
    ds.SeriesTime = ds.ContentTime = ds.InstanceCreationTime = time
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = MANUFACTURER
    ds.DeviceSerialNumber = exam.options.serial
    ds.SoftwareVersions = [exam.software[:64], version(exam)]
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uids.IMPLEMENTATION_CLASS
    meta.ImplementationVersionName = uids.IMPLEMENTATION_VERSION
    ds.file_meta = meta
    return ds


def set_contributing(ds: Dataset, header: Dataset) -> None:
    """Name the device that took the image, beside the one that read it."""
    item = equipment(header)
    item.PurposeOfReferenceCodeSequence = [dcm("109101", "Acquisition Equipment").item()]
    ds.ContributingEquipmentSequence = [item]


def set_side(ds: Dataset, shown: Shown) -> None:
    """Laterality of the series; empty where nobody knows the side."""
    ds.Laterality = shown.image.laterality.value if shown.image.laterality else ""


def reference(header: Dataset) -> Dataset:
    """An item that names an instance."""
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item


def source_image(header: Dataset) -> Dataset:
    item = reference(header)
    purpose = dcm("121322", "Source image for image processing operation")
    item.PurposeOfReferenceCodeSequence = [purpose.item()]
    return item


def derivation(exam: Exam) -> str:
    """Derivation Description: who drew it, of what, and what it is not for."""
    return plain(f"{exam.software}, {model_name(exam)}: findings outlined. {INTENDED_USE}")


def model_name(exam: Exam) -> str:
    return plain(f"model {exam.reading.model.name} {exam.reading.model.version}")


def version(exam: Exam) -> str:
    """Of the model: its own, and the first digits of its bundle's hash."""
    return plain(f"{exam.reading.model.version} {exam.reading.model.sha256[:12]}")[:64]


def parameters(exam: Exam) -> list[str]:
    """Algorithm Parameters: the intended use, the runtime, and what makes an image positive."""
    model = exam.reading.model
    points = [
        f"{modality} operating point {point:.4f}"
        for modality, point in model.operating_points.items()
    ]
    points += [
        f"{modality} breast operating point {scoring.breast.operating_point:.4f}"
        for modality, scoring in model.scoring.items()
        if scoring.breast is not None
    ]
    return [plain(each) for each in ("research use only", f"runtime {model.runtime}", *points)]


def algorithm(exam: Exam) -> Dataset:
    """An item of Algorithm Identification (PS3.3 10.16)."""
    item = Dataset()
    item.AlgorithmFamilyCodeSequence = [ARTIFICIAL_INTELLIGENCE.item()]
    item.AlgorithmName = MANUFACTURER
    item.AlgorithmVersion = version(exam)
    item.AlgorithmParameters = "; ".join(parameters(exam))
    item.AlgorithmSource = MANUFACTURER
    return item


def set_coding_scheme(ds: Dataset) -> None:
    """Who is responsible for the private codes (PS3.3 C.12.1.1.1)."""
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE
    item.CodingSchemeName = "Concepts of mammosono"
    item.CodingSchemeResponsibleOrganization = "The mammosono project"
    ds.CodingSchemeIdentificationSequence = Sequence([item])


def plain(text: str) -> str:
    """In ASCII, which every character set that a patient's name is written in has; a backslash,
    which separates values, and control characters are blanks."""
    text = unicodedata.normalize("NFKD", text.translate(_IN_ASCII))
    return re.sub(r"[^\x20-\x7e]|\\", " ", text.encode("ascii", "ignore").decode("ascii")).strip()


_IN_ASCII = str.maketrans({"²": "2", "–": "-", "µ": "u"})
