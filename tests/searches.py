"""Searched images for tests: lesions and findings as squares of a small picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mammosono.appliance.output.rle import encode
from mammosono.appliance.values import Finding, Label, Modality, Rle
from mammosono.tools.data.index import Record
from mammosono.tools.evaluation.outcome import Search, TrueLesion

SIZE = (64, 96)
Square = tuple[float, float, float, float]
"""x, y, width, height"""


def mask_of(square: Square) -> Rle:
    x, y, w, h = (round(v) for v in square)
    return encode(np.ones((h, w), bool), y, x, SIZE)


def finding(square: Square, lesion_score: float) -> Finding:
    x, y, w, h = square
    return Finding(
        label=Label.BENIGN,
        score=0.5,
        lesion_score=lesion_score,
        box=(x, y, x + w, y + h),
        centroid=(x + w / 2, y + h / 2),
        area_px=round(w * h),
        area_mm2=None,
        diameter_mm=None,
        contour=(),
        mask=mask_of(square),
    )


def lesion(square: Square, label: Label = Label.BENIGN, circle: bool = False) -> TrueLesion:
    x, y, w, h = square
    return TrueLesion(label, (x, y, x + w, y + h), circle, None if circle else mask_of(square))


def search(
    name: str,
    lesions: list[TrueLesion],
    seen: list[Finding],
    *,
    threshold: float = 0.5,
    case: str | None = None,
    label: str | None = None,
) -> Search:
    """threshold: lesion score from which on the device reports a finding."""
    label = label or (lesions[0].label.value if lesions else "normal")
    record = Record(Modality.US, label, name, Path(name), (), (), case or name, "BUSI", "test")
    reported = tuple(f for f in seen if f.lesion_score >= threshold)
    return Search(record, SIZE, tuple(lesions), tuple(seen), reported)


def drawn_searches(seed: int, images: int) -> list[Search]:
    """Lesions and findings at random, some of which fit; two images a case."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(images):
        lesions, seen = [], []
        for _ in range(rng.integers(0, 4)):
            x, y, w, h = rng.integers((0, 0, 8, 8), (60, 30, 30, 30)).tolist()
            lesions.append(lesion((x, y, w, h)))
            if rng.random() < 0.7:
                dx, dy, dw, dh = rng.integers(-3, 4, 4).tolist()
                near = (max(x + dx, 0), max(y + dy, 0), w + dw, h + dh)
                seen.append(finding(near, float(rng.integers(1, 20)) / 20))
        for _ in range(rng.integers(0, 3)):
            square = tuple(rng.integers((0, 0, 5, 5), (60, 30, 30, 30)).tolist())
            seen.append(finding(square, float(rng.integers(1, 20)) / 20))
        seen.sort(key=lambda f: -f.lesion_score)
        out.append(search(f"{i}.png", lesions, seen, case=f"case {i // 2}"))
    return out
