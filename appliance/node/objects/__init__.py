"""DICOM objects of a reading, written for the studies of its images. No network here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydicom.dataset import Dataset

from mammosono.appliance.node.objects.cad_sr import cad_report
from mammosono.appliance.node.objects.capture import capture
from mammosono.appliance.node.objects.exam import Exam, Kind, Options, Source
from mammosono.appliance.node.objects.presentation import presentation
from mammosono.appliance.node.objects.seg import segmentation
from mammosono.appliance.node.objects.sr import report
from mammosono.appliance.values import Modality

__all__ = ["Kind", "Options", "Source", "write"]


def write(reading: Mapping[str, Any], sources: Sequence[Source], options: Options) -> list[Dataset]:
    """All objects of a reading: whole, with their file meta, UIDs the same of the same inputs.

    reading: the result document. sources: each image of it, and those that were not read.

    A picture and a presentation state for every image that was read, whatever was found; a report
    in every study; a CAD report in every study with a mammogram that was read; a segmentation of
    every image with findings. Raises ValueError if files and document do not belong together,
    OSError, and IntakeError if a file can no longer be decoded.
    """
    exam = Exam.of(reading, sources, options)
    objects: list[Dataset] = []
    for study in exam.studies:
        own = [each for each in exam.shown if each.study == study]
        films = [each for each in own if each.image.modality is Modality.MG]
        if Kind.REPORT in options.kinds:
            objects.append(report(exam, study))
        if Kind.CAD in options.kinds and films:
            objects.append(cad_report(exam, films))
        for number, shown in enumerate(own, start=1):
            if Kind.CAPTURE in options.kinds:
                objects.append(capture(exam, shown, number))
            if Kind.PRESENTATION in options.kinds:
                objects.append(presentation(exam, shown, number))
            outlined = any(finding.contour for finding in shown.image.findings)
            if Kind.SEGMENTATION in options.kinds and outlined:
                objects.append(segmentation(exam, shown, number))
    return objects
