"""Readings built by hand, for the tests of everything that shows one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mammosono.appliance.pipeline.fusion import fuse, reasons
from mammosono.appliance.pipeline.measure import describe
from mammosono.appliance.pipeline.study import not_read as not_read_caution
from mammosono.appliance.values import (
    BreastReading,
    BreastScoring,
    Calibration,
    DenoiseRecord,
    Evidence,
    Finding,
    ImageReading,
    Label,
    Laterality,
    Modality,
    ModelInfo,
    Pictures,
    Reading,
    Scoring,
    SourceImage,
    UnreadImage,
    Verdict,
)

MODEL = ModelInfo(
    name="compact",
    version="1.2.3",
    sha256="ab" * 32,
    runtime="onnxruntime 1.31.1 cpu",
    operating_points={"MG": 0.41, "US": 0.47},
)


def finding(
    label: Label,
    score: float,
    *,
    centre: tuple[float, float],
    radius: float,
    size: tuple[int, int],
    spacing_mm: tuple[float, float] | None = None,
) -> Finding:
    """A round finding: centre (x, y) and radius in pixels, size (height, width)."""
    (x, y), (height, width) = centre, size
    rows, columns = np.mgrid[:height, :width] + 0.5
    mask = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    box = (x - radius, y - radius, x + radius, y + radius)
    return describe(mask, 0, 0, size, spacing_mm, box, label, score, 0.9)


def image(
    index: int,
    modality: Modality,
    verdict: Verdict,
    findings: tuple[Finding, ...] = (),
    *,
    size: tuple[int, int],
    score: float | None = None,
    warnings: tuple[str, ...] = (),
    reasons: tuple[str, ...] = (),
) -> ImageReading:
    return ImageReading(
        index=index,
        modality=modality,
        width=size[1],
        height=size[0],
        sha256=hashlib.sha256(f"{index}".encode()).hexdigest(),
        verdict=verdict,
        score=max((f.score for f in findings), default=score),
        findings=findings,
        denoise=DenoiseRecord("anscombe", {"gain": 0.0123456, "sigma": 1.5}, 3.21, 1.07),
        warnings=warnings,
        reasons=reasons,
    )


def as_seen(read: ImageReading, image: SourceImage) -> ImageReading:
    """`read` with all that a reading takes over from its image."""
    return replace(
        read,
        sha256=image.sha256,
        warnings=tuple(caution.text for caution in image.warnings),
        reasons=tuple(caution.code for caution in image.warnings),
        spacing_mm=image.spacing_mm,
        laterality=image.laterality,
        laterality_from=image.laterality_from,
        view=image.view,
        view_from=image.view_from,
        name=image.name,
    )


def pictures(size: tuple[int, int]) -> Pictures:
    ramp = np.linspace(20, 180, size[0] * size[1]).reshape(size).astype(np.uint8)
    return Pictures(original=ramp, denoised=ramp // 2)


def of_exam(
    images: Iterable[SourceImage | UnreadImage], see: Callable[[int, SourceImage], ImageReading]
) -> Reading:
    """The reading of a study of which `see` says what an image shows; what is not read stands in
    its place."""
    placed = list(enumerate(images))
    seen = [see(place, image) for place, image in placed if isinstance(image, SourceImage)]
    unread = [replace(i, index=place) for place, i in placed if isinstance(i, UnreadImage)]
    return reading(*seen, unread=unread)


def not_read(index: int, modality: Modality, **more: Any) -> UnreadImage:
    return UnreadImage(
        modality, f"{index:02x}" * 32, ("The image is damaged; send it again.",),
        ("corrupt_image",), index, **more,
    )  # fmt: skip


def reading(*images: ImageReading, unread: Sequence[UnreadImage] = ()) -> Reading:
    by_modality = {
        modality: [one.verdict for one in images if one.modality is modality]
        for modality in Modality
    }
    cautions = [not_read_caution(len(unread))] if unread else []
    fused = fuse(by_modality, cautions=cautions, unread=[image.modality for image in unread])
    return Reading(
        verdict=fused.verdict,
        decided_by=fused.decided_by,
        incomplete=fused.incomplete,
        images=images,
        pictures=tuple(pictures((one.height, one.width)) for one in images),
        model=MODEL,
        timings_ms={"denoise": 120.04, "network": 431.26, "total": 700.0},
        warnings=tuple(caution.text for caution in cautions),
        reasons=reasons(fused, images, cautions),
        unread=tuple(unread),
    )


def pair() -> Reading:
    """A malignant finding with millimetres in the mammogram, a benign one in the ultrasound."""
    tall, wide = (120, 80), (90, 110)
    grave = finding(
        Label.MALIGNANT, 0.87654, centre=(50, 40), radius=12, size=tall, spacing_mm=(0.1, 0.1)
    )
    mild = finding(Label.BENIGN, 0.1234, centre=(30, 60), radius=20, size=wide)
    return reading(
        image(0, Modality.MG, Verdict.POSITIVE, (grave,), size=tall),
        image(
            1,
            Modality.US,
            Verdict.NEGATIVE,
            (mild,),
            size=wide,
            warnings=("The pixel size is not known.",),
            reasons=("no_pixel_size",),
        ),
    )


def by_views():
    """A breast judged by two views, positive by the second alone; the model says how."""
    scoring = Scoring(0.4, 0.05, 0.5, Calibration(0.8, -0.3), BreastScoring(Calibration(1, 0), 0.4))
    images = tuple(
        replace(
            image(k, Modality.MG, Verdict.POSITIVE, size=(70, 60), score=score),
            laterality=Laterality.LEFT,
            view=view,
            evidence=Evidence(0.2 + 0.3 * k, score),
        )
        for k, (view, score) in enumerate((("CC", 0.31), ("MLO", 0.72)))
    )
    return replace(
        reading(*images),
        breasts=(BreastReading(Laterality.LEFT, (0, 1), 0.52, Verdict.POSITIVE),),
        model=replace(MODEL, scoring={"MG": scoring}),
    )
