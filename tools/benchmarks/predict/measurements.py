"""Measurements beside the prediction: the host's own work, and a bundle with fewer RoIs.

The host's work besides the network is timed here with a network that is a list of answers. What
fewer proposals and findings cost a trained bundle is measured on labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.denoise.network import STAGE
from mammosono.appliance.pipeline.detector.detector import Detector
from mammosono.appliance.pipeline.detector.frame import frame
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.appliance.pipeline.model import SHIPPED, BundleModel, model_of, open_model
from mammosono.appliance.pipeline.prepare import Prepared, RemoveNoise, denoiser, prepare
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.pipeline.verdict import findings_of, judge_study
from mammosono.appliance.values import ImageReading, Modality, SourceImage
from mammosono.engines.bundle import open_bundle
from mammosono.engines.interface import DeviceTensor, Engine, Tensor
from mammosono.engines.options import EngineOptions
from mammosono.tools.benchmarks.workload import Posted, draw_pair
from mammosono.tools.data.index import read_index, select
from mammosono.tools.evaluation.evaluate import TrunkOnce
from mammosono.tools.evaluation.figures import GroupFigures, figures
from mammosono.tools.evaluation.outcome import ImageOutcome, read_outcome

_FOUND = 4
"""Findings an image is given: more than most have."""
_SURE = 0.9
_REPEATS = 2


@dataclass(frozen=True, slots=True)
class HostWork:
    """Seconds of one core of this machine, for one image.

    prepare: decode, frame and the rest of making it ready, without denoise. denoise: without the
    denoiser's network, if there is one. after: proposals, RoI sampling, findings.
    """

    prepare: float
    denoise: float
    after: float


def host_work(geometry: Geometry, denoises: bool, repeats: int = _REPEATS) -> tuple[HostWork, ...]:
    """Of each image of the bench's pair, the least of some runs; processor time, not wall.

    denoises: whether a network denoises mammograms, in place of the host.
    The proposals are random, so hardly any of them is dropped: NMS at its slowest.
    Raises BundleError or ModelUnavailable if the shipped bundle, whose grey levels are taken, is
    damaged.
    """
    shipped = model_of(open_bundle(SHIPPED), "none")
    model = replace(
        shipped,
        modalities={
            modality: replace(
                own, geometry=geometry, denoiser=STAGE if denoises and own.denoiser else None
            )
            for modality, own in shipped.modalities.items()
        },
    )
    engine = _FixedAnswers(geometry)
    detector, remove = Detector(engine, geometry), denoiser(engine, model, 1)
    return tuple(
        _least([_once(posted, model, remove, detector) for _ in range(repeats)])
        for posted in draw_pair()
    )


def _once(posted: Posted, model: BundleModel, remove: RemoveNoise, detector: Detector) -> HostWork:
    watch = _ProcessorWatch()
    with watch.lap("decode"):
        image = read_image(posted.data, posted.modality)
    prepared = prepare(image, model, remove, watch)
    with watch.lap("after"):
        detections = detector.detect(prepared.canvas, finding_threshold=_SURE / 2)
        own = model.of(image.modality)
        findings_of(image, prepared.frame, detections, own, own.scoring.operating_point)
    laps = watch.milliseconds()
    return HostWork(
        1e-3 * (laps["decode"] + laps["frame"]), 1e-3 * laps["denoise"], 1e-3 * laps["after"]
    )


def _least(runs: Sequence[HostWork]) -> HostWork:
    return HostWork(
        min(run.prepare for run in runs),
        min(run.denoise for run in runs),
        min(run.after for run in runs),
    )


class _ProcessorWatch(Stopwatch):
    """Counts what this process computed, whatever others did meanwhile."""

    @contextmanager
    def lap(self, step: str) -> Iterator[None]:
        started = process_time()
        try:
            yield
        finally:
            self.add(step, (process_time() - started) * 1e3)


class _FixedAnswers(Engine):
    """Answers at once with what was drawn beforehand."""

    runtime = "none"

    def __init__(self, geometry: Geometry) -> None:
        rng = np.random.default_rng(1)
        cells = [h * w for h, w in geometry.level_shapes(geometry.rpn_strides)]
        per_cell = len(geometry.anchor_sizes[0]) * len(geometry.anchor_ratios)
        anchors = sum(cells) * per_cell
        classes = np.zeros((geometry.proposals, 3), np.float32)
        classes[:_FOUND, 2] = _SURE
        self._answers: dict[str, dict[str, Tensor]] = {
            "trunk": {
                "objectness": rng.normal(size=(1, anchors)).astype(np.float32),
                "deltas": rng.normal(scale=0.2, size=(1, anchors, 4)).astype(np.float32),
                "pyramid": DeviceTensor(None, (geometry.pyramid_rows, 1)),
                "image_classes": np.full((1, 3), 1 / 3, np.float32),
            },
            "heads": {
                "classes": classes,
                "box_deltas": np.zeros((geometry.proposals, 4), np.float32),
            },
            STAGE: {"noise": np.zeros((1, 1, *geometry.input_size), np.float32)},
            "masks": {"masks": np.repeat(_disc(geometry.mask_size), geometry.findings, axis=0)},
        }

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        return dict(self._answers[stage])

    def close(self) -> None:
        """Holds nothing."""


def _disc(side: int) -> NDArray[np.float32]:
    at = (np.arange(side) + 0.5) / side - 0.5
    return (np.hypot(at[:, None], at) < 0.45).astype(np.float32)[None]


Caps = tuple[int, int]
"""Proposals and findings at most."""


@dataclass(frozen=True, slots=True)
class CapFigures:
    """What a bundle reaches with these caps. figures: by modality."""

    caps: Caps
    figures: Mapping[Modality, GroupFigures]


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
    engine, model = open_model(bundle or SHIPPED, EngineOptions(threads=1, runtime="onnxruntime"))
    try:
        readers, remove = _readers(engine, model), denoiser(engine, model, 1)
        outcomes: dict[Caps, list[ImageOutcome]] = {caps: [] for caps in readers}
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


def _by_modality(outcomes: Sequence[ImageOutcome]) -> dict[Modality, GroupFigures]:
    groups = {m: [o for o in outcomes if o.record.modality is m] for m in Modality}
    return {modality: figures(group) for modality, group in groups.items() if group}


def _readers(
    engine: Engine, model: BundleModel
) -> dict[Caps, Callable[[SourceImage, Prepared], ImageReading]]:
    """Raises ValueError if several networks read: each would have caps of its own."""
    if len({own.network for own in model.modalities.values()}) > 1:
        raise ValueError("--data with --predict is for a bundle of one network")
    own = next(iter(model.modalities.values()))
    geometry, stages = own.geometry, own.stages
    once = TrunkOnce(engine, model)
    readers = {}
    for proposals, findings in cap_ladder(geometry.proposals, geometry.findings):
        fewer = replace(geometry, proposals=proposals, findings=findings)
        static = {stages.heads: geometry.proposals, stages.masks: geometry.findings}
        detector = Detector(_Padding(once, static), fewer, stages)
        readers[proposals, findings] = _reader(detector, model.everywhere(geometry=fewer))
    return readers


def _reader(
    detector: Detector, model: BundleModel
) -> Callable[[SourceImage, Prepared], ImageReading]:
    def read(image: SourceImage, prepared: Prepared) -> ImageReading:
        own = model.of(image.modality)
        detections = detector.detect(
            prepared.canvas, min(own.finding_threshold, own.scoring.region_floor)
        )
        ((judgement,), _) = judge_study([image], [prepared.frame], [detections], model)
        findings = findings_of(image, prepared.frame, detections, own, judgement.malignant_from)
        return ImageReading(
            0, image.modality, image.width, image.height, image.sha256,
            judgement.verdict, judgement.score, findings, prepared.denoise, (),
        )  # fmt: skip

    return read


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
