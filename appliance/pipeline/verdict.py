"""Verdict of an image from its score, and findings from its detections."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from mammosono.appliance.pipeline.detector.detector import Detections
from mammosono.appliance.pipeline.detector.frame import Frame
from mammosono.appliance.pipeline.detector.paste import paste
from mammosono.appliance.pipeline.fusion import of_modality
from mammosono.appliance.pipeline.measure import describe, extent
from mammosono.appliance.pipeline.model import BundleModel, ModalityModel
from mammosono.appliance.pipeline.scoring import (
    STANDARD_VIEWS,
    breast_score,
    breasts,
    evidence,
    finding_scores,
    image_score,
)
from mammosono.appliance.values import (
    BreastReading,
    Caution,
    Effect,
    Evidence,
    Finding,
    Label,
    Laterality,
    SourceImage,
    UnreadImage,
    Verdict,
)

NO_BREAST = Caution(
    "no_breast_found",
    "No breast was found in this image; a negative cannot be given.",
    Effect.NO_NEGATIVE,
)
NO_REGION = Caution(
    "no_region", "The image as a whole looks malignant, but no region could be outlined."
)
NOT_BY_ITSELF = Caution(
    "not_by_itself", "Another view of this breast made the verdict positive, not this image."
)
VIEW_NOT_READ = Caution(
    "view_not_read",
    "Another view of this breast could not be read; a negative cannot be given.",
    Effect.NO_NEGATIVE,
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """score, evidence: of the image by itself; verdict: by all views of its breast, where these
    are judged together. malignant_from: the lowest score of a finding that is called malignant.
    cautions: of the image as posted and of its verdict.
    """

    score: float
    evidence: Evidence
    verdict: Verdict
    malignant_from: float
    cautions: tuple[Caution, ...]


def judge_study(
    images: Sequence[SourceImage],
    frames: Sequence[Frame],
    detections: Sequence[Detections],
    model: BundleModel,
    mismatches: Sequence[Caution | None] | None = None,
    unread: Collection[UnreadImage] = (),
) -> tuple[tuple[Judgement, ...], tuple[BreastReading, ...]]:
    """Judgement of each image in turn, and the breasts that were judged by several views.

    mismatches: of each image that it is not what it was sent as (`kind.mismatch`), or None. An
    image with a caution that takes something from its verdict is judged by itself, never as a view
    of its breast. unread: images of the same study; a breast with a view among them is not cleared.
    """
    cautions = [
        (*image.warnings, *((doubt,) if doubt else ()))
        for image, doubt in zip(images, mismatches or [None] * len(images), strict=True)
    ]
    doubted = [any(each.effect is not Effect.NONE for each in own) for own in cautions]
    scorings = [model.of(image.modality).scoring for image in images]
    seen = [evidence(d, s.region_floor) for d, s in zip(detections, scorings, strict=True)]
    own = [image_score(e, s) for e, s in zip(seen, scorings, strict=True)]
    deciding = [(score, s.operating_point, score) for score, s in zip(own, scorings, strict=True)]
    together: dict[Laterality, tuple[int, ...]] = {}
    for side, views in breasts(images).items():
        places = tuple(k for k in views if not doubted[k])
        scoring = scorings[views[0]]
        complete = {images[k].view for k in places} == {images[k].view for k in views}
        if scoring.breast is not None and complete:
            together[side] = places
            score = breast_score([seen[k] for k in places], scoring)
            point, highest = scoring.breast.operating_point, max(own[k] for k in places)
            deciding = [
                (score, point, highest) if k in places else each for k, each in enumerate(deciding)
            ]
    not_seen = {(image.modality, image.laterality) for image in unread if image.laterality}
    for k, image in enumerate(images):
        if image.view in STANDARD_VIEWS and (image.modality, image.laterality) in not_seen:
            cautions[k] = (*cautions[k], VIEW_NOT_READ)
    judged = []
    for k, (score, point, highest) in enumerate(deciding):
        verdict, said = judge(score, point, frames[k], cautions[k])
        lowest = math.inf
        if verdict is Verdict.POSITIVE:
            lowest = min(scorings[k].operating_point, highest)
            if own[k] < lowest:
                said = (*said, NOT_BY_ITSELF)
        judged.append(Judgement(own[k], seen[k], verdict, lowest, (*cautions[k], *said)))
    readings = tuple(
        BreastReading(
            side, places, deciding[places[0]][0], of_modality(judged[k].verdict for k in places)
        )
        for side, places in together.items()
    )
    return tuple(judged), readings


def judge(
    score: float, operating_point: float, frame: Frame, cautions: Collection[Caution] = ()
) -> tuple[Verdict, tuple[Caution, ...]]:
    """The verdict of a score under the cautions of its image, and what is to be added to these.

    A film in which no breast was found is never negative: software must not clear it.
    """
    effects = {caution.effect for caution in cautions}
    if score >= operating_point and Effect.NO_VERDICT not in effects:
        return Verdict.POSITIVE, ()
    if effects - {Effect.NONE}:
        return Verdict.INDETERMINATE, ()
    return (Verdict.NEGATIVE, ()) if frame.found else (Verdict.INDETERMINATE, (NO_BREAST,))


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
