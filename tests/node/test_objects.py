"""What the node writes of a reading: which objects, for whom, under which UIDs, marked as what."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from exams import exam
from images import coloured, mammogram, save, ultrasound
from pydicom.dataset import Dataset
from pydicom.uid import (
    ColorSoftcopyPresentationStateStorage,
    Comprehensive3DSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    JPEG2000Lossless,
    MammographyCADSRStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from mammosono.appliance.node import headers
from mammosono.appliance.node.contexts import KIND_OF, ObjectKind
from mammosono.appliance.node.objects import Options, Source, write
from mammosono.appliance.values import Modality, Verdict


def bytes_of(ds: Dataset) -> bytes:
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def read_back(ds: Dataset) -> Dataset:
    return pydicom.dcmread(BytesIO(bytes_of(ds)))


def of_class(objects: list[Dataset], sop_class: str) -> list[Dataset]:
    return [ds for ds in objects if ds.SOPClassUID == sop_class]


def texts_of(report: Dataset) -> list[str]:
    return [str(item.TextValue) for item in items_of(report) if item.get("ValueType") == "TEXT"]


def items_of(report: Dataset) -> list[Dataset]:
    """All content items, the root among them."""
    nested = [each for item in report.get("ContentSequence", ()) for each in items_of(item)]
    return [report, *nested]


def named(report: Dataset, value: str) -> list[Dataset]:
    """The items of a concept name."""
    return [
        item
        for item in items_of(report)
        if "ConceptNameCodeSequence" in item and item.ConceptNameCodeSequence[0].CodeValue == value
    ]


def test_each_study_has_a_report_and_each_image_a_picture_and_a_state(tmp_path: Path) -> None:
    objects = exam(tmp_path, kinds=Options.__dataclass_fields__["kinds"].default).write()
    by_study = {
        study: sorted(ds.Modality for ds in objects if ds.StudyInstanceUID == study)
        for study in {ds.StudyInstanceUID for ds in objects}
    }
    assert list(by_study.values()) == [["OT", "OT", "PR", "PR", "SR"]] * 2


def test_cad_report_and_segmentation_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    objects = exam(tmp_path).write()
    assert len(of_class(objects, MammographyCADSRStorage)) == 1  # mammograms only
    assert len(of_class(objects, SegmentationStorage)) == 4
    for kind in ObjectKind:
        images = (mammogram("R", "MLO"), coloured(ultrasound(1)))
        alone = exam(tmp_path, images=images, kinds=frozenset({kind})).write()
        assert {ds.SOPClassUID for ds in alone} == {
            uid for uid, its in KIND_OF.items() if its is kind
        }


def test_nothing_found_is_shown_on_every_image_as_well(tmp_path: Path) -> None:
    objects = exam(tmp_path, Verdict.NEGATIVE).write()
    assert len(of_class(objects, SecondaryCaptureImageStorage)) == 4
    assert len(of_class(objects, GrayscaleSoftcopyPresentationStateStorage)) == 4
    assert of_class(objects, SegmentationStorage) == []


def test_the_same_inputs_make_the_same_bytes(tmp_path: Path) -> None:
    first, second = exam(tmp_path).write(), exam(tmp_path).write()
    assert [bytes_of(ds) for ds in first] == [bytes_of(ds) for ds in second]
    assert len({ds.SOPInstanceUID for ds in first}) == len(first)
    assert len({ds.SeriesInstanceUID for ds in first}) == 9  # four kinds in two studies, and CAD


@pytest.mark.parametrize("change", ["image", "unread image", "model", "verdict", "format"])
def test_another_image_model_verdict_or_format_makes_other_uids(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = exam(tmp_path)
    after = before
    if change == "image":
        images = (mammogram("R", "MLO"), mammogram("R", "CC"), ultrasound(1), ultrasound(3))
        after = exam(tmp_path, images=images)
    elif change == "unread image":
        after = exam(tmp_path, unread=[(ultrasound(9), "a clip", False)])
    elif change == "model":
        after = exam(tmp_path)
        after.document["model"]["sha256"] = "cd" * 32
    elif change == "verdict":  # as when another exam of the patient forbids "negative"
        after = exam(tmp_path)
        after.document["verdict"] = "indeterminate"
    uids = {ds.SOPInstanceUID for ds in before.write()}
    if change == "format":
        monkeypatch.setattr("mammosono.appliance.node.uids.FORMAT", 99)
    assert not uids & {ds.SOPInstanceUID for ds in after.write()}


def test_the_order_of_the_files_makes_no_other_uids(tmp_path: Path) -> None:
    one = exam(tmp_path)
    turned = write(one.document, one.sources[::-1], one.options)
    assert [ds.SOPInstanceUID for ds in turned] == [ds.SOPInstanceUID for ds in one.write()]


def test_patient_and_study_are_those_of_the_image(tmp_path: Path) -> None:
    mg = mammogram(
        "R",
        "MLO",
        IssuerOfAccessionNumberSequence=[Dataset()],
        OtherPatientIDsSequence=[Dataset()],
        ReferringPhysicianName="Who^Doctor",
        PatientAge="060Y",
        PatientIdentityRemoved="NO",
        TypeOfPatientID="TEXT",
    )
    mg.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID = "RIS"
    mg.OtherPatientIDsSequence[0].PatientID = "OLD-1"
    us = ultrasound(1)
    for ds in map(read_back, exam(tmp_path, images=(mg, us)).write()):
        source = mg if ds.StudyInstanceUID == mg.StudyInstanceUID else us
        for keyword in ("SpecificCharacterSet", *headers.PATIENT, *headers.STUDY):
            assert ds.get(keyword) == source.get(keyword), keyword


@pytest.mark.parametrize("keyword", headers.ALWAYS_THERE)
def test_what_the_image_does_not_say_is_there_and_empty(keyword: str, tmp_path: Path) -> None:
    images = (mammogram("R", "MLO", **{keyword: None}), ultrasound(1))
    for ds in map(read_back, exam(tmp_path, images=images).write()[:3]):
        assert keyword in ds
        assert not ds[keyword].value


@pytest.mark.parametrize("syntax", ["implicit", "explicit"])
def test_sequences_are_copied_from_files_that_say_no_vr(syntax: str, tmp_path: Path) -> None:
    mg = mammogram("R", "MLO", OtherPatientIDsSequence=[Dataset()])
    mg.OtherPatientIDsSequence[0].PatientID = "OLD-1"
    if syntax == "implicit":
        mg.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    for ds in map(read_back, exam(tmp_path, images=(mg, ultrasound(1))).write()):
        if ds.StudyInstanceUID == mg.StudyInstanceUID:
            assert ds.OtherPatientIDsSequence[0].PatientID == "OLD-1"
            assert ds.PatientName == "Muster^Erika"


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless], ids=["RLE", "JPEG 2000"])
def test_compressed_images_are_shown_as_any_other(syntax: str, tmp_path: Path) -> None:
    plain, packed = mammogram("R", "MLO"), mammogram("R", "MLO")
    packed.compress(syntax, generate_instance_uid=False)
    one, other = (
        exam(tmp_path, images=(ds,), kinds=frozenset({ObjectKind.CAPTURE})).write()[0]
        for ds in (plain, packed)
    )
    assert other.PixelData == one.PixelData
    assert other.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian


def test_outlines_are_never_drawn_on_another_file(tmp_path: Path) -> None:
    one = exam(tmp_path)
    swapped = [
        Source(one.sources[1 - place].path if place < 2 else source.path, source.index)
        for place, source in enumerate(one.sources)
    ]
    with pytest.raises(ValueError, match="not the one that was read"):
        write(one.document, swapped, one.options)
    with pytest.raises(ValueError, match="not the same"):
        write(one.document, one.sources[:-1], one.options)


def test_every_object_says_that_a_research_device_made_it(tmp_path: Path) -> None:
    for ds in exam(tmp_path).write():
        assert ds.SeriesDescription.endswith("(AI, research)")
        assert ds.SeriesNumber >= 9001
        assert ds.Manufacturer == "mammosono"
        assert ds.SoftwareVersions == ["mammosono 0.2.0", "1.2.3 abababababab"]
        assert ds.ContributingEquipmentSequence[0].Manufacturer == "Phantom Works"
        assert "research" in bytes_of(ds).decode("latin-1").lower()


def test_reports_are_preliminary_and_name_algorithm_and_operating_points(tmp_path: Path) -> None:
    objects = exam(tmp_path).write()
    for ds in of_class(objects, Comprehensive3DSRStorage) + of_class(
        objects, MammographyCADSRStorage
    ):
        assert (ds.PreliminaryFlag, ds.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
        said = texts_of(ds)
        assert {"research use only", "MG operating point 0.4100", "1.2.3 abababababab"} <= {*said}


def test_a_report_holds_all_findings_its_own_study_first(tmp_path: Path) -> None:
    for report in of_class(exam(tmp_path).write(), Comprehensive3DSRStorage):
        groups = named(report, "125007")
        assert len(groups) == 4
        (own,) = report.CurrentRequestedProcedureEvidenceSequence
        own_uids = {
            each.ReferencedSOPInstanceUID
            for series in own.ReferencedSeriesSequence
            for each in series.ReferencedSOPSequence
        }
        seen = [
            named(group, "260753009")[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            in own_uids
            for group in groups
        ]
        assert seen == [True, True, False, False]
        assert len(report.PertinentOtherEvidenceSequence) == 1


def test_every_group_has_an_outline(tmp_path: Path) -> None:
    """OHIF shows nothing of a report with a group that has none."""
    for report in of_class(exam(tmp_path).write(), Comprehensive3DSRStorage):
        assert all(named(group, "111030") for group in named(report, "125007"))


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict.POSITIVE, "10828004"),
        (Verdict.NEGATIVE, "260385009"),
        (Verdict.INDETERMINATE, "82334004"),
    ],
)
def test_a_report_says_the_verdicts(verdict: Verdict, code: str, tmp_path: Path) -> None:
    (report, _) = of_class(exam(tmp_path, verdict).write(), Comprehensive3DSRStorage)
    (fused,) = named(report, "fused-verdict")
    assert fused.ConceptCodeSequence[0].CodeValue == code
    each = [item.TextValue for item in named(report, "image-verdict")]
    assert [line.split(":")[0] for line in each] == [
        "R MLO",
        "R CC",
        "ultrasound image 1 of series 1",
        "ultrasound image 2 of series 1",
    ]
    assert bool(named(report, "126010")) == (verdict is Verdict.POSITIVE)


def test_images_not_read_are_named_with_the_reason_in_every_report(tmp_path: Path) -> None:
    unread = [
        (ultrasound(7), "a clip", False),
        (mammogram("L", "CC"), "it could not be decoded", True),
    ]
    for verdict in Verdict:
        objects = exam(tmp_path, verdict, unread=unread).write()
        for report in of_class(objects, Comprehensive3DSRStorage):
            assert [item.TextValue for item in named(report, "not-read")] == [
                "L CC mammogram image 1 of series 1: it could not be decoded",
                "ultrasound image 7 of series 1: a clip",
            ]


def test_images_of_which_no_file_was_kept_are_counted(tmp_path: Path) -> None:
    clip = Source(None, None, "a clip or a stack of slices", modality=Modality.US)
    other = Source(None, None, "neither a mammogram nor an ultrasound")
    for sources in ([clip, other, clip], [clip, clip, other]):
        objects = exam(tmp_path, lost=sources, kinds=frozenset({ObjectKind.REPORT})).write()
        for report in objects:
            assert [item.TextValue for item in named(report, "not-read")] == [
                "image: neither a mammogram nor an ultrasound",
                "ultrasound: a clip or a stack of slices (2 images)",
            ]
        assert {ds.SOPInstanceUID for ds in objects} == {
            ds.SOPInstanceUID
            for ds in exam(
                tmp_path, lost=sources[::-1], kinds=frozenset({ObjectKind.REPORT})
            ).write()
        }
    fewer = exam(tmp_path, lost=[clip, other], kinds=frozenset({ObjectKind.REPORT})).write()
    assert fewer[0].SOPInstanceUID != objects[0].SOPInstanceUID


def test_a_study_of_which_nothing_was_read_has_a_report_as_well(tmp_path: Path) -> None:
    images = (mammogram("R", "MLO"), mammogram("R", "CC"))
    objects = exam(tmp_path, images=images, unread=[(ultrasound(7), "a clip", False)]).write()
    reports = of_class(objects, Comprehensive3DSRStorage)
    assert [each.StudyInstanceUID for each in reports] == [
        images[0].StudyInstanceUID,
        ultrasound(7).StudyInstanceUID,
    ]


def test_cad_says_whether_every_mammogram_was_read_and_whether_there_is_a_finding(
    tmp_path: Path,
) -> None:
    failed = [(mammogram("L", "CC"), "it could not be decoded", True)]
    excluded = [(mammogram("L", "CC"), "for processing", False)]
    for verdict, unread, code in (
        (Verdict.POSITIVE, (), "111242"),
        (Verdict.NEGATIVE, (), "111241"),
        (Verdict.POSITIVE, failed, "111244"),
        (Verdict.NEGATIVE, failed, "111243"),
        (Verdict.NEGATIVE, excluded, "111241"),
    ):
        written = exam(
            tmp_path, verdict, unread=unread, kinds=frozenset({ObjectKind.CAD_REPORT})
        ).write()
        (report,) = of_class(written, MammographyCADSRStorage)
        (summary,) = named(report, "111017")
        assert summary.ConceptCodeSequence[0].CodeValue == code


def test_cad_says_nothing_where_it_cannot_name_the_mammogram_that_was_not_read(
    tmp_path: Path,
) -> None:
    lost = [Source(None, None, "it was damaged", failed=True, modality=Modality.MG)]
    assert of_class(exam(tmp_path, lost=lost).write(), MammographyCADSRStorage) == []


def test_a_late_image_makes_a_report_that_names_the_one_before(tmp_path: Path) -> None:
    earlier = exam(tmp_path, images=(mammogram("R", "MLO"), ultrasound(1)))
    before = earlier.write()
    images = (mammogram("R", "MLO"), ultrasound(1), ultrasound(2))
    after = exam(tmp_path, images=images, before=earlier.written).write()
    for first, second in zip(
        of_class(before, Comprehensive3DSRStorage),
        of_class(after, Comprehensive3DSRStorage),
        strict=True,
    ):
        (study,) = second.PredecessorDocumentsSequence
        (reference,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
        assert reference.ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_a_finding_is_the_same_by_its_tracking_uid_in_every_object(tmp_path: Path) -> None:
    objects = exam(tmp_path, images=(mammogram("R", "MLO"),)).write()
    uids = set()
    for ds in objects:
        uids |= {item.UID for item in named(ds, "112040")}
        uids |= {
            graphic.TrackingUID
            for annotation in ds.get("GraphicAnnotationSequence", ())
            for graphic in annotation.get("GraphicObjectSequence", ())
        }
        uids |= {segment.TrackingUID for segment in ds.get("SegmentSequence", ())}
    assert len(uids) == 1


def test_two_images_of_one_side_and_view_are_told_apart(tmp_path: Path) -> None:
    again = mammogram("R", "MLO", seed=2, InstanceNumber=5)
    (report,) = exam(
        tmp_path, images=(mammogram("R", "MLO"), again), kinds=frozenset({ObjectKind.REPORT})
    ).write()
    assert [item.TextValue.split(":")[0] for item in named(report, "image-verdict")] == [
        "R MLO image 1 of series 1",
        "R MLO image 5 of series 1",
    ]


def test_a_coloured_image_has_a_presentation_state_for_colour(tmp_path: Path) -> None:
    images = (coloured(ultrasound(4)),)
    (state,) = exam(tmp_path, images=images, kinds=frozenset({ObjectKind.PRESENTATION})).write()
    assert state.SOPClassUID == ColorSoftcopyPresentationStateStorage
    assert "SoftcopyVOILUTSequence" not in state


@pytest.mark.parametrize("vr", ["OW", "US"])
def test_a_table_of_grey_levels_is_that_of_the_image_in_sixteen_bits(
    vr: str, tmp_path: Path
) -> None:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 12]
    levels = np.arange(4096)[::-1]
    table.LUTData = levels.astype("<u2").tobytes() if vr == "OW" else levels.tolist()
    table["LUTData"].VR, table["LUTDescriptor"].VR = vr, "US"
    mg = mammogram("R", "MLO", VOILUTSequence=[table])
    (state,) = exam(tmp_path, images=(mg,), kinds=frozenset({ObjectKind.PRESENTATION})).write()
    (voi,) = read_back(state).SoftcopyVOILUTSequence
    (written,) = voi.VOILUTSequence
    assert "WindowCenter" not in voi
    assert written.LUTDescriptor == [4096, 0, 16]
    data = np.frombuffer(written.LUTData, "<u2")
    assert (data[0], data[-1]) == (65535, 0)
    assert (np.diff(data.astype(int)) <= 0).all()


def test_an_inverted_image_is_shown_inverted(tmp_path: Path) -> None:
    inverse = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    mg = mammogram("R", "MLO", **inverse)
    (state,) = exam(tmp_path, images=(mg,), kinds=frozenset({ObjectKind.PRESENTATION})).write()
    assert state.PresentationLUTShape == "INVERSE"
    assert state.SoftcopyVOILUTSequence[0].WindowCenter == mg.WindowCenter


def test_words_that_are_not_ascii_are_written_as_near_as_can_be(tmp_path: Path) -> None:
    one = exam(tmp_path)
    one.document["images"][0]["warnings"] = ["12 µm² – naïve\\words"]
    one.document["images"][0]["reasons"] = ["x"]
    (report, _) = of_class(one.write(), Comprehensive3DSRStorage)
    assert [item.TextValue for item in named(report, "caution")] == ["R MLO: 12 um2 - naive words"]


def test_a_file_that_names_no_study_is_refused(tmp_path: Path) -> None:
    us = ultrasound(1, StudyInstanceUID=None)
    with pytest.raises(ValueError, match="does not name"):
        headers.read_header(save(us, tmp_path).read_bytes())
