"""Wording of a reading, the same in the terminal and in the report."""

from __future__ import annotations

from mammosono.appliance.modality import MODALITIES, PAIR
from mammosono.appliance.values import (
    Finding,
    ImageReading,
    Laterality,
    Origin,
    Reading,
    UnreadImage,
    Verdict,
)

SIDES = {Laterality.LEFT: "left", Laterality.RIGHT: "right"}
NOT_READ = "not read"
"""In place of a verdict."""
INTENDED_USE = "Research and engineering use only. Not for diagnosis."


def reason(reading: Reading) -> str:
    """Why the fused verdict is what it is, and what is missing."""
    read = {image.modality for image in reading.images}
    given = {image.modality for image in reading.in_order}
    decided = [MODALITIES[modality].part for modality in reading.decided_by if modality in read]
    subject = " and ".join(decided)
    verb = "is" if len(decided) == 1 else "are"
    missing = [
        f"No {MODALITIES[modality].part} {'could be read' if modality in given else 'was given'}."
        for modality in PAIR.missing(read)
    ]
    sentences = [f"The {subject} {verb} {reading.verdict.value}."] if decided else []
    return " ".join(sentences + missing)


def score(image: ImageReading, reading: Reading) -> str:
    """The image's score against the operating point of its modality; where its breast was judged
    by several views together, the breast's."""
    if image.score is None:
        return "no score"
    scoring = reading.model.scoring.get(image.modality.value)
    own = next((each for each in reading.breasts if image.index in each.images), None)
    if own is not None and scoring is not None and scoring.breast is not None:
        side = SIDES[own.laterality]
        return (
            f"{side} breast by {len(own.images)} views {own.score:.3f}, positive from "
            f"{scoring.breast.operating_point:.3f}; this view {image.score:.3f}"
        )
    at = reading.model.operating_points.get(image.modality.value)
    return f"score {image.score:.3f}" + ("" if at is None else f", positive from {at:.3f}")


def labels(reading: Reading) -> list[str]:
    """What each image is called among those of its modality, in the order posted: its side and view
    where they are known, else its number among them, from 1; what two would be called has a number
    of its own behind it."""
    modalities = [image.modality for image in reading.in_order]
    names = [
        (image.modality, _label(image, 1 + modalities[:place].count(image.modality)))
        for place, image in enumerate(reading.in_order)
    ]
    return [
        f"{name[1]} ({names[:place].count(name) + 1})" if names.count(name) > 1 else name[1]
        for place, name in enumerate(names)
    ]


def _label(image: ImageReading | UnreadImage, number: int) -> str:
    said = [image.laterality.value] if image.laterality else []
    said += [image.view] if image.view else []
    return " ".join(said) or f"image {number}"


def origin(image: ImageReading | UnreadImage) -> str:
    """Who said which side and view it shows, where that was not its header; or nothing."""
    who = {Origin.FORM: "as posted", Origin.FILE_NAME: "by file name"}
    said = dict.fromkeys(who.get(o, "") for o in (image.laterality_from, image.view_from) if o)
    return ", ".join(filter(None, said))


def extent(finding: Finding) -> str:
    """Diameter and area in millimetres where the pixel size is known, else the area in pixels."""
    if finding.diameter_mm is None or finding.area_mm2 is None:
        return f"{finding.area_px} px²"
    return f"{finding.diameter_mm:.1f} mm, {finding.area_mm2:.1f} mm²"


def position(finding: Finding) -> str:
    return f"x {finding.centroid[0]:.0f}, y {finding.centroid[1]:.0f}"


def no_findings(image: ImageReading) -> str:
    """What to say of an image without a finding."""
    if image.verdict is Verdict.INDETERMINATE:
        return "This image could not be decided."
    return "No finding."


def denoising(image: ImageReading) -> str:
    """How the noise was removed, and how much of it."""
    record = image.denoise
    parameters = ", ".join(f"{name} {value:.4g}" for name, value in record.parameters.items())
    words = record.method + (f" ({parameters})" if parameters else "")
    if record.noise_before is None or record.noise_after is None:
        return words
    return f"{words}; noise {record.noise_before:.2f} before, {record.noise_after:.2f} after"
