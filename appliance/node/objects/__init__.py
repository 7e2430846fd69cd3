"""DICOM objects of a reading, written for the studies of its images. No network here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydicom.dataset import Dataset

from mammosono.appliance.node.contexts import ObjectKind
from mammosono.appliance.node.objects.cad_sr import cad_report, failed_films
from mammosono.appliance.node.objects.capture import capture
from mammosono.appliance.node.objects.exam import Exam, Options, Source
from mammosono.appliance.node.objects.presentation import presentation
from mammosono.appliance.node.objects.seg import segmentation
from mammosono.appliance.node.objects.sr import report
from mammosono.appliance.values import Modality

__all__ = ["Exam", "Options", "Source", "write", "written"]


def write(reading: Mapping[str, Any], sources: Sequence[Source], options: Options) -> list[Dataset]:
    """All objects of a reading: whole, with their file meta, UIDs the same of the same inputs.

    reading: the result document. sources: each image of it, and those that were not read. Raises
    ValueError if files and document do not belong together, and as `written`.
    """
    return list(written(Exam.of(reading, sources, options)))


def written(exam: Exam) -> Iterator[Dataset]:
    """As `write`, one after the other: a picture takes up to 12 MB, and an exam has some thirty.

    A picture and a presentation state for every image that was read, whatever was found; a report
    in every study; a CAD report in every study with a mammogram that was read, unless one that was
    not has no file by which a report could name it; a segmentation of every image with findings.
    Raises OSError, and IntakeError if a file can no longer be decoded.
    """
    options = exam.options
    nameless = any(each.header is None for each in failed_films(exam))
    for study in exam.headers:
        own = [each for each in exam.shown if each.study == study]
        films = [each for each in own if each.image.modality is Modality.MG]
        if ObjectKind.REPORT in options.kinds:
            yield report(exam, study)
        if ObjectKind.CAD_REPORT in options.kinds and films and not nameless:
            yield cad_report(exam, films)
        for number, shown in enumerate(own, start=1):
            if ObjectKind.CAPTURE in options.kinds:
                yield capture(exam, shown, number)
            if ObjectKind.PRESENTATION in options.kinds:
                yield presentation(exam, shown, number)
            outlined = any(finding.contour for finding in shown.image.findings)
            if ObjectKind.SEGMENTATION in options.kinds and outlined:
                yield segmentation(exam, shown, number)
