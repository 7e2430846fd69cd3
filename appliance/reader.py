"""A study in, a reading out: denoise each image by its own physics, read it, fuse the verdicts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from appliance.detector.detector import Detector
from appliance.errors import ModelFault
from appliance.fusion import fuse
from appliance.model import Model, open_model
from appliance.prepare import Prepared, prepare
from appliance.runtime import Runtime
from appliance.stopwatch import Stopwatch
from appliance.values import (
    ImageReading,
    Label,
    Modality,
    ModelInfo,
    Reading,
    SourceImage,
    Verdict,
)
from appliance.verdict import NO_REGION, findings_of, judge, malignancy
from engines.errors import EngineError, EngineLost
from engines.interface import Engine

logger = logging.getLogger(__name__)


class Reader:
    """Pure: no network, no disk but the bundle, same input same output. One study at a time."""

    def __init__(self, engine: Engine, model: Model, threads: int = 2) -> None:
        self._engine, self._model, self._threads = engine, model, threads
        self._detector = Detector(engine, model.geometry)

    @classmethod
    def open(cls, bundle_folder: Path | None = None, runtime: Runtime | None = None) -> Reader:
        """The reader of a bundle; None is the shipped one. Raises ModelUnavailable."""
        runtime = runtime or Runtime()
        engine, model = open_model(bundle_folder, runtime)
        return cls(engine, model, runtime.threads or 2)

    @property
    def model(self) -> ModelInfo:
        return self._model.info

    def read(self, images: Sequence[SourceImage]) -> Reading:
        """Read a study of at least one image; once more, if the engine is lost meanwhile.

        Raises ModelFault if the network fails or answers with NaN: that is never a "negative".
        """
        try:
            return self._read(images)
        except EngineLost:
            logger.warning("the engine was lost; the study is read again by a new one")
        try:
            return self._read(images)
        except EngineLost as error:
            raise ModelFault(f"the engine was lost twice over this study: {error}") from error

    def _read(self, images: Sequence[SourceImage]) -> Reading:
        """While the network reads one image the next is already denoised."""
        watch = Stopwatch()
        readings, pictures = [], []
        verdicts: dict[Modality, list[Verdict]] = {}
        with watch.lap("total"), ThreadPoolExecutor(1) as ahead:
            coming = [
                ahead.submit(prepare, image, self._model, self._threads, watch) for image in images
            ]
            for index, (image, future) in enumerate(zip(images, coming, strict=True)):
                prepared = future.result()
                reading = self._read_one(index, image, prepared, watch)
                readings.append(reading)
                pictures.append(prepared.pictures)
                verdicts.setdefault(image.modality, []).append(reading.verdict)
        fused = fuse(verdicts)
        return Reading(
            fused.verdict, fused.decided_by, fused.incomplete,
            tuple(readings), tuple(pictures), self.model, watch.milliseconds(),
        )  # fmt: skip

    def _read_one(
        self, index: int, image: SourceImage, prepared: Prepared, watch: Stopwatch
    ) -> ImageReading:
        try:
            threshold = self._model.finding_threshold[image.modality]
            seen = self._detector.detect(prepared.canvas, threshold, watch.add)
        except EngineLost:
            raise
        except EngineError as error:
            raise ModelFault(str(error)) from error
        with watch.lap("findings"):
            score, _ = malignancy(seen, self._model.head_weight[image.modality])
            point = self._model.operating_point[image.modality]
            verdict, said = judge(score, point, prepared.frame)
            findings = findings_of(image, prepared.frame, seen, self._model)
        outlined = any(finding.label is Label.MALIGNANT for finding in findings)
        if verdict is Verdict.POSITIVE and not outlined:
            said = (*said, NO_REGION)
        return ImageReading(
            index, image.modality, image.width, image.height, image.sha256,
            verdict, score, findings, prepared.denoise, (*image.warnings, *said), image.spacing_mm,
        )  # fmt: skip

    def close(self) -> None:
        self._engine.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()
