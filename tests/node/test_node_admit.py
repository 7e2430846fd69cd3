"""What a received file is to the node: read, left out with a reason, or refused."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import images
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from mammosono.appliance.intake.scope import RULES as SCOPE_RULES
from mammosono.appliance.node.admit import (
    EXCLUDED,
    AdmissionRules,
    Command,
    Header,
    Refused,
    admit,
)
from mammosono.appliance.node.patient_key import Names, patient_named
from mammosono.appliance.values import Modality

NAMES = Names(b"k" * 32)


def judged(ds: Dataset, rules: AdmissionRules = AdmissionRules()) -> Header | Refused:
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    data = out.getvalue()
    return admit(data, len(data), Command(ds.SOPClassUID, ds.SOPInstanceUID), rules)


def header(ds: Dataset, rules: AdmissionRules = AdmissionRules()) -> Header:
    found = judged(ds, rules)
    assert isinstance(found, Header)
    return found


def test_a_mammogram_and_a_still_are_read_and_their_side_is_known_where_it_is_stated() -> None:
    mammogram = header(images.mammogram("L", "CC"))
    assert (mammogram.modality, mammogram.side, mammogram.reason) == (Modality.MG, "L", "")
    still = header(images.ultrasound())
    assert (still.modality, still.side, still.reason) == (Modality.US, "", "")
    assert header(images.ultrasound(side="R")).side == "R"


def flow() -> list[Dataset]:
    region = images.ultrasound().SequenceOfUltrasoundRegions[0]
    region.RegionDataType = 3
    return [region]


def modified(view: str) -> Any:
    ds = images.mammogram()
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = [images.code(view, "SCT", "")]
    return ds


LEFT_OUT = {
    "for_processing": lambda: images.mammogram(
        SOPClassUID=DigitalMammographyXRayImageStorageForProcessing,
        PresentationIntentType="FOR PROCESSING",
    ),
    "multi_frame": lambda: images.ultrasound(
        SOPClassUID=UltrasoundMultiFrameImageStorage, NumberOfFrames=30
    ),
    "doppler": lambda: images.ultrasound(SequenceOfUltrasoundRegions=flow()),
    "elastogram": lambda: images.ultrasound(SeriesDescription="Strain elastography"),
    "other_mode": lambda: images.ultrasound(ImageType=["ORIGINAL", "PRIMARY", "BREAST", "0002"]),
    "synthesised": lambda: images.mammogram(
        ImageType=["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]
    ),
    "magnified_view": lambda: modified("399163009"),
    "spot_view": lambda: modified("399055006"),
    "specimen": lambda: images.mammogram(BodyPartExamined="SPECIMEN"),
    "not_breast": lambda: images.ultrasound(BodyPartExamined="THYROID"),
    "other_modality": lambda: images.ultrasound(Modality="OT"),
    "secondary_capture": lambda: images.mammogram(SOPClassUID=SecondaryCaptureImageStorage),
    "own_object": lambda: images.mammogram(Manufacturer="mammosono"),
}


@pytest.mark.parametrize("code", LEFT_OUT)
def test_an_image_that_is_excluded_says_why_and_forbids_no_negative(code: str) -> None:
    found = header(LEFT_OUT[code]())
    assert (found.reason, found.unread) == (code, False)


def test_each_exclusion_has_a_case_here_and_a_code_of_the_scope_or_of_its_own() -> None:
    assert set(EXCLUDED) == {*LEFT_OUT, "implant"}
    own = {"other_modality", "own_object", "secondary_capture", "multi_frame", "for_processing"}
    assert set(EXCLUDED) - own <= {rule.caution.code for rule in SCOPE_RULES}


def test_implants_specimens_and_captures_are_read_where_the_site_says_so() -> None:
    implant = images.mammogram(BreastImplantPresent="YES")
    assert header(implant).reason == ""
    assert header(implant, AdmissionRules(implants=False)).reason == "implant"
    assert header(LEFT_OUT["specimen"](), AdmissionRules(specimens=True)).reason == ""
    capture = LEFT_OUT["secondary_capture"]()
    assert header(capture, AdmissionRules(secondary_capture=True)).reason == ""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"BitsAllocated": 32}, "unsupported_dicom"),
        ({"Rows": 8, "Columns": 8}, "image_too_small"),
        ({"Rows": 60_000}, "image_too_large"),
        ({"Rows": None}, "corrupt_dicom"),
        ({"PhotometricInterpretation": "CMYK"}, "unsupported_dicom"),
    ],
)
def test_an_image_that_should_be_read_and_cannot_forbids_a_negative(
    changes: dict[str, Any], code: str
) -> None:
    found = header(images.ultrasound(**changes))
    assert (found.reason, found.unread) == (code, True)


def test_an_image_too_large_for_the_appliance_forbids_a_negative() -> None:
    ds = images.ultrasound()
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    command = Command(ds.SOPClassUID, ds.SOPInstanceUID)
    found = admit(out.getvalue(), 2**28, command, AdmissionRules())
    assert isinstance(found, Header)
    assert (found.reason, found.unread) == ("image_too_large", True)


def test_a_header_that_hides_its_pixels_behind_megabytes_forbids_a_negative() -> None:
    ds = images.ultrasound()
    ds.add_new(0x00091010, "UN", bytes(2**20))
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    head = out.getvalue()[: 2**19]
    command = Command(ds.SOPClassUID, ds.SOPInstanceUID)
    found = admit(head, 2**21, command, AdmissionRules())
    assert isinstance(found, Refused) or found.unread


def test_what_the_command_says_must_be_what_is_sent() -> None:
    ds = images.ultrasound()
    assert isinstance(judged(ds), Header)
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    for command in (
        Command(ds.SOPClassUID, "1.2.3"),
        Command(SecondaryCaptureImageStorage, ds.SOPInstanceUID),
    ):
        found = admit(out.getvalue(), 1, command, AdmissionRules())
        assert isinstance(found, Refused)
        assert found.status == 0xA900


@pytest.mark.parametrize("patient", ["", "ANONYMOUS", "unknown", "- -"])
def test_an_id_that_stands_for_nobody_is_refused(patient: str) -> None:
    found = judged(images.ultrasound(patient=patient))
    assert isinstance(found, Refused)
    assert found.status == 0xA900


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_and_never_raise(data: bytes) -> None:
    found = admit(data, len(data), Command("1.2", "3.4"), AdmissionRules())
    assert isinstance(found, Refused)


def test_a_header_and_the_names_of_a_node_show_nobody() -> None:
    found = header(images.ultrasound())
    instance = NAMES.instance(found, "US1@10.0.0.1", "", 0.0)
    for text in (repr(found), repr(NAMES), repr(instance)):
        for secret in ("P1", "Muster", "muster", "1966", found.study, found.sop_instance, "kkk"):
            assert secret not in text


def key(**changes: Any) -> str:
    issuer = changes.pop("default", "")
    return NAMES.instance(header(images.ultrasound(**changes)), "a", issuer, 0.0).patient


def test_a_patient_is_one_by_id_and_issuer_however_they_are_written() -> None:
    one = key(patient="AB-0017", IssuerOfPatientID="Clinic")
    assert key(patient=" ab17 ".replace("17", "0017"), IssuerOfPatientID="CLINIC ") == one
    assert key(patient="AB-0017", IssuerOfPatientID=None, default="clinic") == one
    assert key(patient="AB-0017", IssuerOfPatientID="Other") != one
    assert key(patient="AB-0017", IssuerOfPatientID=None) != one
    assert key(patient="AB-0018", IssuerOfPatientID="Clinic") != one
    assert patient_named(NAMES, "ab 0017", "CLINIC") == one
    assert patient_named(NAMES, "unknown", "CLINIC") is None


def test_another_secret_gives_other_names_for_everything() -> None:
    found = header(images.ultrasound())
    one = NAMES.instance(found, "a", "", 0.0)
    other = Names(b"x" * 32).instance(found, "a", "", 0.0)
    for part in ("key", "patient", "study", "birth", "sex"):
        assert getattr(one, part) != getattr(other, part)


def test_birth_date_and_sex_are_compared_within_a_patient_alone() -> None:
    """Or the database would tell who was born on one day."""
    one = NAMES.instance(header(images.ultrasound()), "a", "", 0.0)
    other = NAMES.instance(header(images.ultrasound(patient="P2")), "a", "", 0.0)
    assert one.birth
    assert one.birth != other.birth
    assert one.sex != other.sex
    unknown = NAMES.instance(
        header(images.ultrasound(PatientBirthDate="", PatientSex="")), "a", "", 0.0
    )
    assert (unknown.birth, unknown.sex) == ("", "")
    again = NAMES.instance(header(images.ultrasound(2)), "a", "", 0.0)
    assert replace(again, key=one.key, place=one.place) == one


def test_an_image_is_of_the_day_of_its_study_and_without_one_of_its_own() -> None:
    """Or an examination at midnight would be of two days, and a late image move its exam."""
    dated = images.ultrasound(StudyDate="20261105", AcquisitionDate="20261106")
    assert str(header(dated).day) == "2026-11-05"
    undated = images.ultrasound(StudyDate="", AcquisitionDate="20261106")
    assert str(header(undated).day) == "2026-11-06"
