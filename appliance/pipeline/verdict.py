"""Verdict of an image from its score, and findings from its detections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mammosono.appliance.pipeline.detector.detector import Detections
from mammosono.appliance.pipeline.detector.frame import Frame
from mammosono.appliance.pipeline.detector.paste import paste
from mammosono.appliance.pipeline.fusion import of_modality
from mammosono.appliance.pipeline.kind import Mismatch
from mammosono.appliance.pipeline.measure import describe, extent
from mammosono.appliance.pipeline.model import BundleModel, ModalityModel
from mammosono.appliance.pipeline.scoring import (
    breast_score,
    breasts,
    evidence,
    finding_scores,
    image_score,
)
from mammosono.appliance.values import (
    BreastReading,
    Evidence,
    Finding,
    Label,
    Laterality,
    SourceImage,
    Verdict,
)

NO_BREAST = "No breast was found in this image; a negative cannot be given."
NO_REGION = "The image as a whole looks malignant, but no region could be outlined."


NOT_BY_ITSELF = "Another view of this breast made the verdict positive, not this image."


@dataclass(frozen=True, slots=True)
class Judgement:
    """score, evidence: of the image by itself; verdict: by all views of its breast, where these
    are judged together. malignant_from: the lowest score of a finding that is called malignant.
    """

    score: float
    evidence: Evidence
    verdict: Verdict
    malignant_from: float
    warnings: tuple[str, ...]


def judge_study(
    images: Sequence[SourceImage],
    frames: Sequence[Frame],
    detections: Sequence[Detections],
    model: BundleModel,
    mismatches: Sequence[Mismatch | None] | None = None,
) -> tuple[tuple[Judgement, ...], tuple[BreastReading, ...]]:
    """Judgement of each image in turn, and the breasts that were judged by several views.

    mismatches: of each image that it is not what it was sent as (`kind.mismatch`), or None; such an
    image is no view of a breast, and judged by itself.
    """
    doubts = mismatches or [None] * len(images)
    scorings = [model.of(image.modality).scoring for image in images]
    seen = [evidence(d, s.region_floor) for d, s in zip(detections, scorings, strict=True)]
    own = [image_score(e, s) for e, s in zip(seen, scorings, strict=True)]
    deciding = [(score, s.operating_point, score) for score, s in zip(own, scorings, strict=True)]
    together: dict[Laterality, tuple[int, ...]] = {}
    for side, views in breasts(images).items():
        places = tuple(k for k in views if doubts[k] is None)
        scoring = scorings[views[0]]
        complete = {images[k].view for k in places} == {images[k].view for k in views}
        if scoring.breast is not None and complete:
            together[side] = places
            score = breast_score([seen[k] for k in places], scoring)
            point, highest = scoring.breast.operating_point, max(own[k] for k in places)
            deciding = [
                (score, point, highest) if k in places else each for k, each in enumerate(deciding)
            ]
    judged = []
    for k, (score, point, highest) in enumerate(deciding):
        verdict, warnings = judge(score, point, frames[k], doubts[k])
        lowest = math.inf
        if verdict is Verdict.POSITIVE:
            lowest = min(scorings[k].operating_point, highest)
            if own[k] < lowest:
                warnings = (*warnings, NOT_BY_ITSELF)
        judged.append(Judgement(own[k], seen[k], verdict, lowest, warnings))
    readings = tuple(
        BreastReading(
            side, places, deciding[places[0]][0], of_modality(judged[k].verdict for k in places)
        )
        for side, places in together.items()
    )
    return tuple(judged), readings


def judge(
    score: float, operating_point: float, frame: Frame, mismatch: Mismatch | None = None
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict of a score and the warnings that belong to it.

    A film in which no breast was found is never negative, nor is an image that is not what it was
    sent as (`kind.mismatch`): software must not clear it. Such an image that shows a breast may be
    positive; of anything else a score means nothing.
    """
    doubts = [mismatch.warning] if mismatch else [] if frame.found else [NO_BREAST]
    if score >= operating_point and (mismatch is None or mismatch.of_breast):
        return Verdict.POSITIVE, (mismatch.warning,) if mismatch else ()
    return (Verdict.INDETERMINATE, tuple(doubts)) if doubts else (Verdict.NEGATIVE, ())


def findings_of(
    image: SourceImage, frame: Frame, detections: Detections, model: ModalityModel, point: float
) -> tuple[Finding, ...]:
    """Findings in px of the image as posted, the most malignant first.

    A region is a finding from the model's finding threshold on and with at least one pixel. It is
    malignant where its score reaches `point`, the lowest score of a malignant finding, and it looks
    more malignant than benign by itself; the highest-scoring one needs the score alone, so that a
    positive verdict points somewhere.
    """
    detections = detections.from_lesion_score(model.finding_threshold)
    scores = finding_scores(detections, model.scoring)
    size = (image.height, image.width)
    boxes = frame.to_image(detections.boxes, size)
    findings: list[Finding] = []
    for k in np.argsort(-scores, kind="stable"):
        crop, left, top = paste(detections.masks[k], boxes[k], size, model.geometry.mask_threshold)
        if not crop.any():
            continue
        own = not findings or detections.malignant[k] >= detections.benign[k]
        label = Label.MALIGNANT if scores[k] >= point and own else Label.BENIGN
        x0, y0, x1, y1 = (float(v) for v in boxes[k])
        lesion = min(float(detections.lesion[k]), 1.0)
        spacing = image.spacing_within(extent(crop, left, top))
        findings.append(
            describe(
                crop, left, top, size, spacing, (x0, y0, x1, y1), label,
                float(scores[k]), lesion,
            )
        )  # fmt: skip
    return tuple(findings)
