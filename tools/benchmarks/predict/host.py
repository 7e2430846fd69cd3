"""What the host does for an image besides the network, timed here with a network that is a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import process_time

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.denoise.network import STAGE
from mammosono.appliance.pipeline.detector.detector import Detector
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.appliance.pipeline.model import SHIPPED, Model, model_of
from mammosono.appliance.pipeline.prepare import Denoise, denoiser, prepare
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.pipeline.verdict import findings_of
from mammosono.engines.bundle import open_bundle
from mammosono.engines.interface import DeviceTensor, Engine, Tensor
from mammosono.tools.benchmarks.pair import Posted, draw_pair

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
    bundle = open_bundle(SHIPPED)
    model = replace(model_of(bundle, "none"), geometry=geometry, denoises=denoises)
    engine = _Canned(geometry)
    detector, remove = Detector(engine, geometry), denoiser(engine, model, 1)
    return tuple(
        _least([_once(posted, model, remove, detector) for _ in range(repeats)])
        for posted in draw_pair()
    )


def _once(posted: Posted, model: Model, remove: Denoise, detector: Detector) -> HostWork:
    watch = _ProcessorWatch()
    with watch.lap("decode"):
        image = read_image(posted.data, posted.modality)
    prepared = prepare(image, model, remove, watch)
    with watch.lap("after"):
        seen = detector.detect(prepared.canvas, finding_threshold=_SURE / 2)
        findings_of(image, prepared.frame, seen, model)
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


class _Canned(Engine):
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
