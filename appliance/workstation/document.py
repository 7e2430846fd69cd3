"""A result document back as a reading: what the box answered, for terminal and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mammosono.appliance.values import (
    DenoiseRecord,
    Finding,
    ImageReading,
    Label,
    Modality,
    ModelInfo,
    Reading,
    Rle,
    Verdict,
)


def reading_of(document: Mapping[str, Any]) -> Reading:
    """The reading that appliance.output.document made this document of, but for the pictures.

    Raises KeyError, TypeError or ValueError if it is no result document.
    """
    model = document["model"]
    return Reading(
        verdict=Verdict(document["verdict"]),
        decided_by=tuple(Modality(code) for code in document["decided_by"]),
        incomplete=document["incomplete"],
        images=tuple(_image(image) for image in document["images"]),
        pictures=(),
        model=ModelInfo(**model),
        timings_ms=document["timings_ms"],
    )


def _image(image: Mapping[str, Any]) -> ImageReading:
    return ImageReading(
        image["index"],
        Modality(image["modality"]),
        image["width"],
        image["height"],
        image["sha256"],
        Verdict(image["verdict"]),
        image["score"],
        tuple(_finding(finding) for finding in image["findings"]),
        DenoiseRecord(**image["denoise"]),
        tuple(image["warnings"]),
        None if image["spacing_mm"] is None else tuple(image["spacing_mm"]),
    )


def _finding(finding: Mapping[str, Any]) -> Finding:
    mask = finding["mask"]
    plain = ("score", "lesion_score", "area_px", "area_mm2", "diameter_mm")
    return Finding(
        label=Label(finding["label"]),
        box=tuple(finding["box"]),
        centroid=tuple(finding["centroid"]),
        contour=tuple(tuple(point) for point in finding["contour"]),
        mask=Rle(tuple(mask["size"]), mask["counts"]),
        **{name: finding[name] for name in plain},
    )
