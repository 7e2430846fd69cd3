"""What fewer proposals and findings cost a trained bundle, measured on labelled images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.detector.detector import Detector
from mammosono.appliance.pipeline.detector.frame import frame
from mammosono.appliance.pipeline.model import SHIPPED, Model, open_model
from mammosono.appliance.pipeline.prepare import Prepared, denoiser, prepare
from mammosono.appliance.pipeline.runtime import Runtime
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.pipeline.verdict import findings_of, judge, malignancy
from mammosono.appliance.values import ImageReading, Modality, SourceImage
from mammosono.engines.interface import Engine, Tensor
from mammosono.tools.data.index import read_index, select
from mammosono.tools.evaluation.figures import Figures, figures
from mammosono.tools.evaluation.outcome import Outcome, read_outcome

Caps = tuple[int, int]
"""Proposals and findings at most."""


@dataclass(frozen=True, slots=True)
class CapFigures:
    """What a bundle reaches with these caps. figures: by modality."""

    caps: Caps
    figures: Mapping[Modality, Figures]


@dataclass(frozen=True, slots=True)
class ValCheck:
    """caps: the bundle as it is, then with fewer and fewer RoIs.

    narrower: by modality, the scale of a picture on a canvas of NARROW over its scale on SQUARE,
    mean over the images: what a narrower canvas takes from the resolution.
    """

    caps: tuple[CapFigures, ...]
    narrower: Mapping[Modality, float]


SQUARE, NARROW = (1024, 1024), (1024, 768)
"""(height, width) px."""


def cap_ladder(proposals: int, findings: int) -> tuple[Caps, ...]:
    """A bundle's own caps, then half and a quarter of them."""
    fewer = [max(findings * 2 // 3, 1), max(findings // 3, 1)]
    return (
        (proposals, findings),
        (proposals, fewer[0]),
        (proposals // 2, findings),
        (proposals // 2, fewer[0]),
        (proposals // 4, fewer[1]),
    )


def check_on_val(
    bundle: Path | None,
    index: Path,
    sources: Sequence[str],
    on_image: Callable[[int, int], None],
) -> ValCheck:
    """Read the `val` images with fewer and fewer proposals and findings; the first row is the
    bundle as it is, thresholds stay.

    Raises BadIndex, IntakeError, ModelUnavailable, EngineError, ValueError if no image fits.
    """
    records = select(read_index(index), split="val", sources=sources)
    if not records:
        raise ValueError("the index has no val image of these sources: check --source")
    engine, model = open_model(bundle or SHIPPED, Runtime(threads=1, name="onnxruntime"))
    try:
        readers, remove = _readers(engine, model), denoiser(engine, model, 1)
        outcomes: dict[Caps, list[Outcome]] = {caps: [] for caps in readers}
        narrower: dict[Modality, list[float]] = {}
        for done, record in enumerate(records, start=1):
            image = read_image(record.image.read_bytes(), record.modality)
            prepared = prepare(image, model, remove, Stopwatch())
            narrower.setdefault(image.modality, []).append(_narrower(image))
            for caps, read in readers.items():
                reading = read(image, prepared)
                outcomes[caps].append(read_outcome(record, reading, Path.read_bytes))
            on_image(done, len(records))
    finally:
        engine.close()
    return ValCheck(
        tuple(CapFigures(caps, _by_modality(of)) for caps, of in outcomes.items()),
        {modality: float(np.mean(ratios)) for modality, ratios in narrower.items()},
    )


def _narrower(image: SourceImage) -> float:
    narrow, square = (frame(image.pixels, image.modality, size) for size in (NARROW, SQUARE))
    return narrow.scale / square.scale


def _by_modality(outcomes: Sequence[Outcome]) -> dict[Modality, Figures]:
    groups = {m: [o for o in outcomes if o.record.modality is m] for m in Modality}
    return {modality: figures(group) for modality, group in groups.items() if group}


def _readers(
    engine: Engine, model: Model
) -> dict[Caps, Callable[[SourceImage, Prepared], ImageReading]]:
    geometry = model.geometry
    once = _TrunkOnce(engine)
    readers = {}
    for proposals, findings in cap_ladder(geometry.proposals, geometry.findings):
        fewer = replace(geometry, proposals=proposals, findings=findings)
        static = {"heads": geometry.proposals, "masks": geometry.findings}
        detector = Detector(_Padding(once, static), fewer)
        readers[proposals, findings] = _reader(detector, replace(model, geometry=fewer))
    return readers


def _reader(detector: Detector, model: Model) -> Callable[[SourceImage, Prepared], ImageReading]:
    def read(image: SourceImage, prepared: Prepared) -> ImageReading:
        seen = detector.detect(prepared.canvas, model.finding_threshold[image.modality])
        score, _ = malignancy(seen, model.head_weight[image.modality])
        verdict, _ = judge(score, model.operating_point[image.modality], prepared.frame)
        findings = findings_of(image, prepared.frame, seen, model)
        return ImageReading(
            0, image.modality, image.width, image.height, image.sha256,
            verdict, score, findings, prepared.denoise, (),
        )  # fmt: skip

    return read


class _TrunkOnce(Engine):
    """Another engine, whose trunk is not run again on the canvas that it saw last."""

    def __init__(self, engine: Engine) -> None:
        self.runtime = engine.runtime
        self._engine = engine
        self._canvas: NDArray[np.generic] | None = None
        self._seen: dict[str, Tensor] = {}

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        if stage != "trunk":
            return self._engine.run(stage, inputs, keep)
        canvas = np.asarray(inputs["image"])
        if self._canvas is None or not np.array_equal(self._canvas, canvas):
            self._seen, self._canvas = self._engine.run(stage, inputs, keep), canvas.copy()
        return self._seen

    def close(self) -> None:
        """The engine inside is its owner's."""


class _Padding(Engine):
    """Another engine, whose static stages take fewer RoIs: zero rows fill them up."""

    def __init__(self, engine: Engine, static: Mapping[str, int]) -> None:
        self.runtime = engine.runtime
        self._engine, self._static = engine, static

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        count = self._static.get(stage)
        if count is None:
            return self._engine.run(stage, inputs, keep)
        filled = {
            name: value if name == "pyramid" else _filled(np.asarray(value), count)
            for name, value in inputs.items()
        }
        return self._engine.run(stage, filled, keep)

    def close(self) -> None:
        """The engine inside is its owner's."""


def _filled(values: NDArray[np.generic], count: int) -> NDArray[np.generic]:
    filled = np.zeros((count, *values.shape[1:]), values.dtype)
    filled[: len(values)] = values
    return filled
