"""Labelled images in memory, and a reader that gives each the answer written for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from mammosono.appliance.output.rle import encode
from mammosono.appliance.values import (
    DenoiseRecord,
    Finding,
    ImageReading,
    Label,
    Modality,
    ModelInfo,
    Reading,
    SourceImage,
    Verdict,
)
from mammosono.tools.data.index import COLUMNS, LesionMark, Record
from mammosono.tools.evaluation.evaluate import Evaluation, Terms, evaluate
from mammosono.tools.evaluation.roles import Roles

SIZE = 256
MODEL = ModelInfo("test", "1", "ab" * 32, "no runtime", {"MG": 0.4, "US": 0.5})
TERMS = Terms(Roles(trained=frozenset({"BUSI", "CBIS-DDSM", "elsewhere"})))
Square = tuple[int, int, int, int]
"""x, y, width, height"""


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def picture(seed: int) -> bytes:
    noise = np.random.default_rng(seed).normal(0, 20, (SIZE, SIZE))
    ramp = np.linspace(20, 200, SIZE)[:, None]
    return png(np.clip(ramp + noise, 0, 255).astype(np.uint8))


def mask(square: Square) -> bytes:
    x, y, w, h = square
    pixels = np.zeros((SIZE, SIZE), np.uint8)
    pixels[y : y + h, x : x + w] = 255
    return png(pixels)


def finding(square: Square, score: float, lesion_score: float = 0.5) -> Finding:
    x, y, w, h = square
    return Finding(
        label=Label.MALIGNANT if score >= 0.5 else Label.BENIGN,
        score=score,
        lesion_score=lesion_score,
        box=(x, y, x + w, y + h),
        centroid=(x + w / 2, y + h / 2),
        area_px=w * h,
        area_mm2=None,
        diameter_mm=None,
        contour=(),
        mask=encode(np.ones((h, w), bool), y, x, (SIZE, SIZE)),
    )


class World:
    """Also the reader itself."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.files: dict[Path, bytes] = {}
        self.answers: dict[str, Callable[[SourceImage], ImageReading]] = {}
        self.reads = 0

    def add(
        self,
        label: str,
        score: float | None,
        *findings: Finding,
        modality: Modality = Modality.US,
        source: str = "BUSI",
        lesions: Sequence[Square] = (),
        circles: Sequence[tuple[int, int, int]] = (),
        fault: Exception | None = None,
        data: bytes | None = None,
    ) -> None:
        n = len(self.records)
        name = f"{n}.png"
        masks = tuple(Path(f"{n}_mask_{i}.png") for i in range(len(lesions)))
        marks = [LesionMark(Label.BENIGN, (x, y, x + w, y + h)) for x, y, w, h in lesions]
        marks += [
            LesionMark(Label.BENIGN, (x - r, y - r, x + r, y + r), is_circle=True)
            for x, y, r in circles
        ]
        self.files |= {path: mask(square) for path, square in zip(masks, lesions, strict=True)}
        posted = picture(n) if data is None else data
        self.files[Path(name)] = posted
        self.records.append(
            Record(modality, label, name, Path(name), masks, tuple(marks), str(n), source, "test")
        )
        sha256 = hashlib.sha256(posted).hexdigest()
        self.answers[sha256] = self._answer(score, findings, fault)

    def _answer(
        self, score: float | None, findings: tuple[Finding, ...], fault: Exception | None
    ) -> Callable[[SourceImage], ImageReading]:
        def answer(image: SourceImage) -> ImageReading:
            if fault is not None:
                raise fault
            point = MODEL.operating_points[image.modality.value]
            verdict = Verdict.INDETERMINATE
            if score is not None:
                verdict = Verdict.POSITIVE if score >= point else Verdict.NEGATIVE
            return ImageReading(
                0,
                image.modality,
                image.width,
                image.height,
                image.sha256,
                verdict,
                score,
                findings,
                DenoiseRecord("none"),
            )

        return answer

    def read(self, images: Sequence[SourceImage]) -> Reading:
        (image,) = images
        self.reads += 1
        reading = self.answers[image.sha256](image)
        return Reading(reading.verdict, (), True, (reading,), (), MODEL, {"total": 1.0})

    def evaluate(self, terms: Terms = TERMS) -> Evaluation:
        return evaluate(self, self.records, read_bytes=self.files.__getitem__, terms=terms)

    def search(self, terms: Terms = TERMS) -> Evaluation:
        """Evaluated by a reader that sees no more than it reports."""
        return evaluate(
            self, self.records, searcher=self, read_bytes=self.files.__getitem__, terms=terms
        )

    def write(self, folder: Path) -> Path:
        """Pictures, masks and index.csv, all of split test; the index."""
        names = {Modality.MG: "mammogram", Modality.US: "ultrasound"}
        rows = [",".join(COLUMNS)]
        for r in self.records:
            masks = ";".join(map(str, r.masks))
            rows.append(f"{names[r.modality]},{r.label},{r.name},{masks},,{r.case},{r.source},test")
        (folder / "index.csv").write_text("\n".join(rows), encoding="utf-8")
        for path, data in self.files.items():
            (folder / path).write_bytes(data)
        return folder / "index.csv"


def busi() -> World:
    """Six images: half found, all found, missed, false alarm, benign, normal."""
    world = World()
    world.add("malignant", 0.9, finding((30, 20, 20, 20), 0.9), lesions=[(20, 20, 20, 20)])
    world.add(
        "malignant",
        0.6,
        finding((20, 20, 20, 20), 0.6),
        finding((100, 100, 10, 10), 0.3),
        lesions=[(20, 20, 20, 20), (100, 100, 10, 10)],
    )
    world.add("malignant", 0.1, lesions=[(50, 50, 20, 20)])
    world.add("benign", 0.7, finding((200, 200, 9, 9), 0.7), lesions=[(20, 20, 20, 20)])
    world.add("benign", 0.2, finding((5, 5, 30, 30), 0.2, 0.8), lesions=[(5, 5, 30, 30)])
    world.add("normal", 0.05, finding((9, 9, 9, 9), 0.05, 0.6))
    return world


def both() -> World:
    world = busi()
    for source, score in (("CBIS-DDSM", 0.9), ("mini-MIAS", 0.1)):
        for label in ("benign", "malignant"):
            world.add(label, score, modality=Modality.MG, source=source)
    return world
