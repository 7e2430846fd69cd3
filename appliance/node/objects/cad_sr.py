"""Mammography CAD report, what mammography workstations mark findings from (PS3.16, TID 4000).

Of one study's mammograms. Marks of what looks malignant are to be shown, those of what looks benign
may be.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import MammographyCADSRStorage

from mammosono.appliance.intake.dicom_values import texts
from mammosono.appliance.node.codes import (
    BREASTS,
    IMAGE_LATERALITY,
    IMAGE_LIBRARY,
    IMAGE_VIEW,
    MICROMETRE,
    PERCENT,
    PROBABILITY_OF_CANCER,
    TRACKING_IDENTIFIER,
    TRACKING_UID,
    VIEWS,
    Code,
    dcm,
    sct,
)
from mammosono.appliance.node.contexts import ObjectKind
from mammosono.appliance.node.headers import said
from mammosono.appliance.node.objects.content import (
    ACQUIRED,
    CONCEPT,
    CONTAINS,
    INFERRED,
    OBSERVED,
    PROPERTIES,
    SELECTED,
    by_reference,
    closed,
    code,
    container,
    date,
    image,
    number,
    region,
    text,
    uid,
)
from mammosono.appliance.node.objects.document import algorithm, language, set_document
from mammosono.appliance.node.objects.exam import Exam, Shown, Unread
from mammosono.appliance.node.objects.instance import instance
from mammosono.appliance.values import Finding, Label, Modality

# CID 6014 has no mass: a density is what a mass looks like in a mammogram.
_FOUND = sct("129793001", "Mammography breast density")
_INTENT = dcm("111056", "Rendering Intent")
_INTENTS = {
    Label.MALIGNANT: dcm(
        "111150", "Presentation Required: Rendering device is expected to present"
    ),
    Label.BENIGN: dcm("111151", "Presentation Optional: Rendering device may present"),
}
_LIBRARY = 2
"""The place of the image library among the root's items."""

# CID 6047, by whether every image was read, and whether there is a finding.
_SUMMARIES = {
    (True, True): dcm("111242", "All algorithms succeeded; with findings"),
    (True, False): dcm("111241", "All algorithms succeeded; without findings"),
    (False, True): dcm("111244", "Not all algorithms succeeded; with findings"),
    (False, False): dcm("111243", "Not all algorithms succeeded; without findings"),
}
_SUCCEEDED = dcm("111222", "Succeeded")
_PARTIALLY = dcm("111223", "Partially Succeeded")
_NOT_ATTEMPTED = dcm("111225", "Not Attempted")


def failed_films(exam: Exam) -> list[Unread]:
    """Mammograms that should have been read."""
    return [each for each in exam.unread if each.failed and each.modality is Modality.MG]


def cad_report(exam: Exam, films: Sequence[Shown]) -> Dataset:
    """films: the mammograms of one study that were read, at least one."""
    study = films[0].study
    ds = instance(exam, ObjectKind.CAD_REPORT, MammographyCADSRStorage, films[0].header, 1)
    missed = [
        each.header
        for each in failed_films(exam)
        if each.header is not None and each.header.StudyInstanceUID == study
    ]
    whole = not missed
    headers = [*(each.header for each in films), *missed]
    found = [
        _impression(exam, each, place, finding, at)
        for at, each in enumerate(films, start=1)
        for place, finding in enumerate(each.image.findings, start=1)
        if finding.contour
    ]
    detections = [_detections(exam, "111063", "Successful Detections", range(1, len(films) + 1))]
    if missed:
        places = range(len(films) + 1, len(headers) + 1)
        detections.append(_detections(exam, "111025", "Failed Detections", places))
    root = container(
        "",
        dcm("111036", "Mammography CAD Report"),
        [
            language(),
            container(
                CONTAINS,
                IMAGE_LIBRARY,
                [
                    *(image(CONTAINS, each.header, _described(each)) for each in films),
                    *(image(CONTAINS, header) for header in missed),
                ],
            ),
            code(
                CONTAINS,
                dcm("111017", "CAD Processing and Findings Summary"),
                _SUMMARIES[whole, bool(found)],
                found,
            ),
            code(
                CONTAINS,
                dcm("111064", "Summary of Detections"),
                _SUCCEEDED if whole else _PARTIALLY,
                detections,
            ),
            code(CONTAINS, dcm("111065", "Summary of Analyses"), _NOT_ATTEMPTED),
        ],
        template="4000",
    )
    set_document(ds, exam, root, headers)
    return ds


def _described(shown: Shown) -> list[Dataset]:
    """TID 4020."""
    read, header = shown.image, shown.header
    items: list[Dataset] = []
    if read.laterality is not None:
        items.append(code(ACQUIRED, IMAGE_LATERALITY, BREASTS[read.laterality]))
    view = VIEWS.get((read.view or "").partition(" ")[0])
    if view is not None:
        items.append(code(ACQUIRED, IMAGE_VIEW, view))
    orientation = texts(header, "PatientOrientation")
    if len(orientation) == 2:
        for name, value in zip(_ORIENTATIONS, orientation, strict=True):
            items.append(text(ACQUIRED, name, value))
    day = said(header, "StudyDate")
    if len(day) == 8 and day.isdigit():
        items.append(date(ACQUIRED, dcm("111060", "Study Date"), day))
    if read.spacing_mm is not None:
        down, across = (1000 * side for side in read.spacing_mm)
        items += [
            number(ACQUIRED, dcm("111026", "Horizontal Pixel Spacing"), across, MICROMETRE),
            number(ACQUIRED, dcm("111066", "Vertical Pixel Spacing"), down, MICROMETRE),
        ]
    return items


_ORIENTATIONS = (
    dcm("111044", "Patient Orientation Row"),
    dcm("111043", "Patient Orientation Column"),
)


def _impression(exam: Exam, shown: Shown, place: int, finding: Finding, at: int) -> Dataset:
    """A finding with its mark, TID 4003 and 4006. at: of its image in the library, from 1."""
    intent = code(CONCEPT, _INTENT, _INTENTS[finding.label])
    there = by_reference(SELECTED, (1, _LIBRARY, at))
    marks: list[tuple[Code, str, list[tuple[float, float]]]] = [
        (dcm("111010", "Center"), "POINT", [finding.centroid]),
        (dcm("111041", "Outline"), "POLYLINE", closed(finding.contour)),
    ]
    single = code(
        CONTAINS,
        dcm("111059", "Single Image Finding"),
        _FOUND,
        [
            intent,
            text(OBSERVED, TRACKING_IDENTIFIER, f"{shown.label} finding {place}"),
            uid(OBSERVED, TRACKING_UID, exam.tracking_uid(shown, place)),
            *algorithm(exam, PROPERTIES, family=False),
            number(
                PROPERTIES, dcm("111012", "Certainty of Finding"),
                100 * finding.lesion_score, PERCENT,
            ),
            number(PROPERTIES, PROBABILITY_OF_CANCER, 100 * finding.score, PERCENT),
            *(region(PROPERTIES, name, kind, points, there) for name, kind, points in marks),
        ],
    )  # fmt: skip
    name = dcm("111034", "Individual Impression/Recommendation")
    return container(INFERRED, name, [intent, single])


def _detections(exam: Exam, value: str, meaning: str, places: range) -> Dataset:
    """What was looked for, in which images of the library; TID 4015 and 4017."""
    images = [by_reference(PROPERTIES, (1, _LIBRARY, at)) for at in places]
    performed = code(
        CONTAINS,
        dcm("111022", "Detection Performed"),
        _FOUND,
        [*algorithm(exam, PROPERTIES, family=False), *images],
    )
    return container(INFERRED, dcm(value, meaning), [performed])
