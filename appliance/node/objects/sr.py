"""Report of a reading: Comprehensive 3D SR, Imaging Measurement Report (PS3.16, TID 1500).

One in each of the exam's studies, whose own findings come first: OHIF shows a report from its first
finding on, and only if every group of it has an outline.
"""

from __future__ import annotations

from collections import Counter

from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from mammosono.appliance.node.codes import (
    BREAST,
    FINDING_SITE,
    IMAGE_LATERALITY,
    IMAGE_LIBRARY,
    IMAGE_VIEW,
    LABELS,
    LATERALITY,
    MASS,
    MILLIMETRE,
    MODALITIES,
    PERCENT,
    PIXELS,
    PROBABILITY_OF_CANCER,
    SIDES,
    SOURCE,
    SQUARE_MILLIMETRE,
    TRACKING_IDENTIFIER,
    TRACKING_UID,
    VERDICTS,
    VIEWS,
    Code,
    dcm,
    own,
    sct,
)
from mammosono.appliance.node.contexts import ObjectKind
from mammosono.appliance.node.headers import said
from mammosono.appliance.node.objects.content import (
    ACQUIRED,
    CONCEPT,
    CONTAINS,
    OBSERVED,
    SELECTED,
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
from mammosono.appliance.node.objects.document import algorithm, language, observer, set_document
from mammosono.appliance.node.objects.exam import Exam, Shown
from mammosono.appliance.node.objects.instance import instance
from mammosono.appliance.output import wording
from mammosono.appliance.values import Finding

COMMENT = dcm("121106", "Comment")


def report(exam: Exam, study: str) -> Dataset:
    """The report for one study of the exam."""
    ds = instance(exam, ObjectKind.REPORT, Comprehensive3DSRStorage, exam.headers[study], 1)
    shown = exam.own_first(study)
    findings = [
        _finding(exam, each, place, finding)
        for each in shown
        for place, finding in enumerate(each.image.findings, start=1)
        if finding.contour
    ]
    measurements = dcm("126010", "Imaging Measurements")
    root = container(
        "",
        dcm("126000", "Imaging Measurement Report"),
        [
            language(),
            *observer(exam),
            code(
                CONCEPT,
                dcm("121058", "Procedure reported"),
                sct("363679005", "Imaging procedure"),
            ),
            _library(shown),
            *([container(CONTAINS, measurements, findings)] if findings else []),
            _evaluations(exam, shown),
        ],
        template="1500",
    )
    set_document(ds, exam, root, (each.header for each in shown))
    return ds


def _library(shown: tuple[Shown, ...]) -> Dataset:
    images = [image(CONTAINS, each.header, _described(each), SOURCE) for each in shown]
    group = container(CONTAINS, dcm("126200", "Image Library Group"), images)
    return container(CONTAINS, IMAGE_LIBRARY, [group], template="1600")


def _described(shown: Shown) -> list[Dataset]:
    """TID 1602 and 1603."""
    read = shown.image
    items = [code(ACQUIRED, dcm("121139", "Modality"), MODALITIES[read.modality])]
    if read.laterality is not None:
        items.append(code(ACQUIRED, IMAGE_LATERALITY, SIDES[read.laterality]))
    day = said(shown.header, "StudyDate")
    if len(day) == 8 and day.isdigit():
        items.append(date(ACQUIRED, dcm("111060", "Study Date"), day))
    items += [
        number(ACQUIRED, dcm("110910", "Pixel Data Rows"), read.height, PIXELS),
        number(ACQUIRED, dcm("110911", "Pixel Data Columns"), read.width, PIXELS),
    ]
    view = VIEWS.get((read.view or "").partition(" ")[0])
    if view is not None:
        items.append(code(ACQUIRED, IMAGE_VIEW, view))
    if read.spacing_mm is not None:
        down, across = read.spacing_mm
        items += [
            number(ACQUIRED, dcm("111026", "Horizontal Pixel Spacing"), across, MILLIMETRE),
            number(ACQUIRED, dcm("111066", "Vertical Pixel Spacing"), down, MILLIMETRE),
        ]
    return items


def _finding(exam: Exam, shown: Shown, place: int, finding: Finding) -> Dataset:
    """A group of measurements of a region, TID 1410. place: of the finding in its image, from 1."""
    side = shown.image.laterality
    sides = [code(CONCEPT, LATERALITY, SIDES[side])] if side is not None else []
    measured: list[tuple[Code, float | None, Code]] = [
        (PROBABILITY_OF_CANCER, 100 * finding.score, PERCENT),
        (sct("81827009", "Diameter"), finding.diameter_mm, MILLIMETRE),
        (sct("42798000", "Area"), finding.area_mm2, SQUARE_MILLIMETRE),
    ]
    return container(
        CONTAINS,
        dcm("125007", "Measurement Group"),
        [
            text(OBSERVED, TRACKING_IDENTIFIER, f"{shown.label} finding {place}"),
            uid(OBSERVED, TRACKING_UID, exam.tracking_uid(shown, place)),
            code(CONTAINS, dcm("121071", "Finding"), MASS),
            code(CONCEPT, FINDING_SITE, BREAST, sides),
            *algorithm(exam, CONCEPT, family=True),
            *(
                number(CONTAINS, name, value, unit)
                for name, value, unit in measured
                if value is not None
            ),
            code(CONTAINS, own("appearance", "Appearance"), LABELS[finding.label]),
            region(
                CONTAINS,
                dcm("111030", "Image Region"),
                "POLYLINE",
                closed(finding.contour),
                image(SELECTED, shown.header, name=SOURCE),
            ),
        ],
        template="1410",
    )


def _evaluations(exam: Exam, shown: tuple[Shown, ...]) -> Dataset:
    """The verdicts, what was not read, and what is to be minded."""
    reading = exam.reading
    verdict = own("fused-verdict", "Verdict on the exam")
    labels = {each.image.index: each.label for each in shown}
    sentences: list[tuple[Code, str]] = [
        (COMMENT, wording.INTENDED_USE),
        (own("verdict-reason", "Reason of the verdict"), wording.reason(reading)),
    ]
    for each in shown:
        judged = f"{each.label}: {each.image.verdict.value}, {wording.score(each.image, reading)}"
        sentences.append((own("image-verdict", "Verdict on an image"), judged))
    for breast in reading.breasts:
        views = ", ".join(labels[index] for index in breast.images)
        judged = f"{wording.SIDES[breast.laterality]} breast by {views}: {breast.verdict.value}"
        sentences.append((own("breast-verdict", "Verdict on a breast"), judged))
    missing = Counter(f"{each.label}: {each.reason}" for each in exam.unread)
    sentences += [
        (own("not-read", "Image not read"), words + (f" ({count} images)" if count > 1 else ""))
        for words, count in missing.items()
    ]
    caution = own("caution", "Caution")
    sentences += [(caution, warning) for warning in reading.warnings]
    sentences += [
        (caution, f"{each.label}: {warning}") for each in shown for warning in each.image.warnings
    ]
    return container(
        CONTAINS,
        Code("C0034375", "UMLS", "Qualitative Evaluations"),
        [
            code(CONTAINS, verdict, VERDICTS[reading.verdict]),
            *(text(CONTAINS, name, sentence) for name, sentence in sentences if sentence),
        ],
    )
