"""Verdict of an image: findings, score and verdict from its detections."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.detector.detector import Detections
from mammosono.appliance.pipeline.detector.frame import Frame
from mammosono.appliance.pipeline.detector.paste import paste
from mammosono.appliance.pipeline.measure import describe
from mammosono.appliance.pipeline.model import ModalityModel
from mammosono.appliance.values import Finding, Label, SourceImage, Verdict

NO_BREAST = "No breast was found in this image; a negative cannot be given."
NO_REGION = "The image as a whole looks malignant, but no region could be outlined."


def malignancy(detections: Detections, head_weight: float) -> tuple[float, NDArray[np.float64]]:
    """The image's score and each finding's [n], all in [0, 1].

    score = w h + (1 - w) m, with h the whole-image head's malignant probability and m the
    finding's; the image takes the largest m, or 0 where nothing was found.
    """
    base = head_weight * float(detections.image[2])
    findings = base + (1 - head_weight) * detections.malignant.astype(np.float64)
    return float(findings.max(initial=base)), np.asarray(findings)


def judge(score: float, operating_point: float, frame: Frame) -> tuple[Verdict, tuple[str, ...]]:
    """The image's verdict and the warnings that belong to it.

    A film in which no breast was found is never negative: software must not clear it.
    """
    if score >= operating_point:
        return Verdict.POSITIVE, ()
    return (Verdict.NEGATIVE, ()) if frame.found else (Verdict.INDETERMINATE, (NO_BREAST,))


def findings_of(
    image: SourceImage, frame: Frame, detections: Detections, model: ModalityModel
) -> tuple[Finding, ...]:
    """Findings in px of the image as posted, the most malignant first.

    A finding is malignant where its score reaches the operating point and it looks more malignant
    than benign by itself; and the highest-scoring one of a positive image always is, so that a
    positive verdict points somewhere. A region without a single pixel is no finding.
    """
    _, scores = malignancy(detections, model.head_weight)
    size = (image.height, image.width)
    boxes = frame.to_image(detections.boxes, size)
    point = model.operating_point
    findings: list[Finding] = []
    for k in np.argsort(-scores, kind="stable"):
        crop, left, top = paste(detections.masks[k], boxes[k], size, model.geometry.mask_threshold)
        if not crop.any():
            continue
        own = not findings or detections.malignant[k] >= detections.benign[k]
        label = Label.MALIGNANT if scores[k] >= point and own else Label.BENIGN
        x0, y0, x1, y1 = (float(v) for v in boxes[k])
        lesion = min(float(detections.lesion[k]), 1.0)
        findings.append(
            describe(
                crop, left, top, size, image.spacing_mm, (x0, y0, x1, y1), label,
                float(scores[k]), lesion,
            )
        )  # fmt: skip
    return tuple(findings)
