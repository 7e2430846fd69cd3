"""Picture of an image with its findings: Secondary Capture, what every viewer shows.

The findings are drawn on the image as it was read, reduced if it is large; what is said of it
stands below it and hides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from mammosono.appliance.intake import read_image
from mammosono.appliance.node.contexts import ObjectKind
from mammosono.appliance.node.headers import COMPRESSION, copy
from mammosono.appliance.node.objects.exam import Exam, Shown
from mammosono.appliance.node.objects.instance import (
    derivation,
    instance,
    plain,
    set_contributing,
    set_side,
    source_image,
)
from mammosono.appliance.output import render, rle, wording
from mammosono.appliance.pipeline.window import to_grey
from mammosono.appliance.values import Finding, ImageReading

LONGEST_SIDE_PX = 2048
LEAST_WIDTH_PX = 560
"""Of the words' room: a small image stands at its left."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAPER, _INK, _NOTICE = (24, 24, 24), (235, 235, 235), (255, 214, 90)
_MOST_LINES = 12

Words = list[tuple[str, tuple[int, int, int]]]
"""Sentences, each with its colour, RGB."""


def capture(exam: Exam, shown: Shown, number: int) -> Dataset:
    """number: of the object in its series, from 1. Raises IntakeError and OSError."""
    ds = instance(exam, ObjectKind.CAPTURE, SecondaryCaptureImageStorage, shown.header, number)
    picture = drawn(exam, shown)
    ds.ConversionType = "WSD"
    ds.ImageType = ["DERIVED", "SECONDARY", "FINDINGS", "MAMMOSONO"]
    ds.DerivationDescription = derivation(exam)
    ds.SourceImageSequence = [source_image(shown.header)]
    ds.ImageComments = plain(f"{shown.label}: {shown.image.verdict.value}. {wording.INTENDED_USE}")
    copy(shown.header, ds, ("PatientOrientation", "BurnedInAnnotation", *COMPRESSION))
    if "PatientOrientation" not in ds:
        ds.PatientOrientation = ""
    set_side(ds, shown)
    set_contributing(ds, shown.header)
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns = picture.shape[:2]
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    data = picture.tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OB"
    return ds


def drawn(exam: Exam, shown: Shown) -> NDArray[np.uint8]:
    """RGB [height, width, 3], no side longer than LONGEST_SIDE_PX: the image with its findings at
    the upper left, reduced if it must be, and the words below. Raises as `capture`."""
    image = read_image(shown.path.read_bytes(), shown.image.modality)
    (width, height), below = fitted(image.width, image.height, list(_words(exam, shown)))
    pixels = image.pixels
    if (width, height) != (image.width, image.height):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    picture = render.overlay(to_grey(pixels, image.window), reduced(shown.image, width, height))
    canvas = np.zeros((height + below.shape[0], below.shape[1], 3), np.uint8)
    canvas[:height, :width] = picture
    canvas[height:] = below
    return canvas


def fitted(width: int, height: int, words: Words) -> tuple[tuple[int, int], NDArray[np.uint8]]:
    """Width and height of an image's picture in px, and what stands below it, RGB [h, w, 3]."""
    factor = min(1.0, LONGEST_SIDE_PX / max(width, height))
    while True:
        # The words' room depends on the width, and the width on the room that they leave.
        columns, rows = (max(1, round(side * factor)) for side in (width, height))
        below = _banner(words, max(columns, LEAST_WIDTH_PX))
        if rows + below.shape[0] <= LONGEST_SIDE_PX:
            return (columns, rows), below
        factor *= 0.98


def reduced(image: ImageReading, width: int, height: int) -> ImageReading:
    """The reading of an image in pixels of that image at another size."""
    if (width, height) == (image.width, image.height):
        return image
    across, down = width / image.width, height / image.height

    def scaled(finding: Finding) -> Finding:
        x0, y0, x1, y1 = finding.box
        mask = rle.decode(finding.mask).astype(np.uint8) * 255
        share = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
        small = share >= min(128, max(1, int(share.max())))  # the least finding is seen as well
        return replace(
            finding,
            box=(x0 * across, y0 * down, x1 * across, y1 * down),
            mask=rle.encode(np.asarray(small, np.bool_), 0, 0, (height, width)),
        )

    findings = tuple(map(scaled, image.findings))
    return replace(image, width=width, height=height, findings=findings)


def _words(exam: Exam, shown: Shown) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Sentences with their colour."""
    reading, image = exam.reading, shown.image
    yield wording.INTENDED_USE.upper(), _NOTICE
    yield f"{shown.label}: {image.verdict.value.upper()}, {wording.score(image, reading)}", _INK
    yield f"Exam: {reading.verdict.value.upper()}. {wording.reason(reading)}", _INK
    if exam.unread:
        count = len(exam.unread)
        yield f"{count} image{'s' * (count > 1)} not read: see the report.", _NOTICE
    for warning in (*reading.warnings, *image.warnings):
        yield warning, _INK
    yield f"{exam.software}, model {reading.model.name} {reading.model.version}", _INK


def _banner(words: Words, width: int) -> NDArray[np.uint8]:
    """RGB [height, width, 3]."""
    scale = max(0.5, width / 1400)
    thickness = max(1, round(1.4 * scale))
    step = round(34 * scale)
    margin = round(10 * scale)
    lines = [
        (line, colour)
        for sentence, colour in words
        for line in _wrapped(plain(sentence), width - 2 * margin, scale, thickness)
    ]
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], ("More is said in the report.", _NOTICE)]
    canvas = np.full((step * len(lines) + 2 * margin, width, 3), _PAPER, np.uint8)
    for place, (line, colour) in enumerate(lines, start=1):
        at = (margin, round(margin + step * (place - 0.3)))
        cv2.putText(canvas, line, at, _FONT, scale, colour, thickness, cv2.LINE_AA)
    return canvas


def _wrapped(text: str, width: int, scale: float, thickness: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and cv2.getTextSize(longer, _FONT, scale, thickness)[0][0] > width:
            yield line
            longer = word
        line = longer
    if line:
        yield line
