"""A reading as the JSON document of the interface: the one place for command line and HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from mammosono.appliance import __version__
from mammosono.appliance.values import DenoiseRecord, Finding, ImageReading, ModelInfo, Reading

SOFTWARE = f"mammosono {__version__}"


def result_document(study_id: str, reading: Reading) -> dict[str, Any]:
    """The finished study, JSON-ready, keys in reading order.

    Scores have 4 decimals, pixels and millimetres 2, milliseconds 1. Boxes, centroids and
    contours are (x, y) in pixel edges of the image as posted; masks are COCO RLE.
    """
    return {
        "id": study_id,
        "status": "done",
        "verdict": reading.verdict.value,
        "decided_by": [modality.value for modality in reading.decided_by],
        "incomplete": reading.incomplete,
        "images": [_image(image) for image in reading.images],
        "model": _model(reading.model),
        "timings_ms": {step: round(ms, 1) for step, ms in reading.timings_ms.items()},
        "software": SOFTWARE,
    }


def result_json(study_id: str, reading: Reading) -> str:
    """The document as JSON text in ASCII. Raises ValueError if a number in it is not finite."""
    return json.dumps(result_document(study_id, reading), allow_nan=False)


def _image(image: ImageReading) -> dict[str, Any]:
    return {
        "index": image.index,
        "modality": image.modality.value,
        "width": image.width,
        "height": image.height,
        "spacing_mm": image.spacing_mm and [float(f"{mm:.6g}") for mm in image.spacing_mm],
        "sha256": image.sha256,
        "verdict": image.verdict.value,
        "score": _rounded(image.score, 4),
        "findings": [_finding(finding) for finding in image.findings],
        "denoise": _denoise(image.denoise),
        "warnings": list(image.warnings),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "label": finding.label.value,
        "score": round(finding.score, 4),
        "lesion_score": round(finding.lesion_score, 4),
        "box": _pixels(finding.box),
        "centroid": _pixels(finding.centroid),
        "area_px": finding.area_px,
        "area_mm2": _rounded(finding.area_mm2, 2),
        "diameter_mm": _rounded(finding.diameter_mm, 2),
        "contour": [_pixels(point) for point in finding.contour],
        "mask": {"size": list(finding.mask.size), "counts": finding.mask.counts},
    }


def _denoise(record: DenoiseRecord) -> dict[str, Any]:
    # Parameters span magnitudes (a gain of 0.003, a search window of 11): significant digits.
    return {
        "method": record.method,
        "parameters": {name: float(f"{value:.4g}") for name, value in record.parameters.items()},
        "noise_before": _rounded(record.noise_before, 4),
        "noise_after": _rounded(record.noise_after, 4),
    }


def _model(model: ModelInfo) -> dict[str, Any]:
    return {
        "name": model.name,
        "version": model.version,
        "sha256": model.sha256,
        "runtime": model.runtime,
        "operating_points": {code: round(at, 4) for code, at in model.operating_points.items()},
    }


def _pixels(numbers: Iterable[float]) -> list[float]:
    return [round(float(number), 2) for number in numbers]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
