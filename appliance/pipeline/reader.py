"""Reader, a study in and a reading out: denoise each image by its physics, read it, fuse."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Protocol

from mammosono.appliance.errors import ModelFault
from mammosono.appliance.modality import PAIR, StudyProtocol
from mammosono.appliance.pipeline.detector.detector import Detections
from mammosono.appliance.pipeline.fusion import fuse, reasons
from mammosono.appliance.pipeline.kind import kind_of, mismatches
from mammosono.appliance.pipeline.model import BundleModel, detectors, open_model
from mammosono.appliance.pipeline.prepare import Prepared, RemoveNoise, denoiser, prepare
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.pipeline.study import study_cautions
from mammosono.appliance.pipeline.verdict import NO_REGION, Judgement, findings_of, judge_study
from mammosono.appliance.values import (
    Caution,
    ImageKind,
    ImageReading,
    Label,
    Modality,
    ModelInfo,
    Reading,
    SourceImage,
    Verdict,
)
from mammosono.engines.errors import EngineError, EngineLost
from mammosono.engines.interface import Engine
from mammosono.engines.locked import LockedEngine
from mammosono.engines.options import EngineOptions

logger = logging.getLogger(__name__)


class ImageReader(Protocol):
    """What reads the images of a study: `Reader`, or a test's stand-in."""

    @property
    def model(self) -> ModelInfo: ...

    def read(self, images: Sequence[SourceImage]) -> Reading: ...


class Reader:
    """Pure: no network, no disk but the bundle, same input same output. One study at a time."""

    def __init__(
        self, engine: Engine, model: BundleModel, threads: int = 2,
        denoise: RemoveNoise | None = None, protocol: StudyProtocol = PAIR,
    ) -> None:  # fmt: skip
        """denoise: in place of the appliance's own, to measure the difference.
        protocol: which modalities a study must hold to be negative.
        """
        # While the network reads one image, the next is denoised, by the same engine.
        self._engine, self._model = LockedEngine(engine), model
        self._protocol = protocol
        self._denoise = denoise or denoiser(self._engine, model, threads)
        self._detectors = detectors(self._engine, model)

    @classmethod
    def open(
        cls, bundle_folder: Path | None = None, options: EngineOptions | None = None,
        denoise: RemoveNoise | None = None,
    ) -> Reader:  # fmt: skip
        """The reader of a bundle; None is the shipped one. Raises ModelUnavailable."""
        options = options or EngineOptions()
        engine, model = open_model(bundle_folder, options)
        return cls(engine, model, options.threads or 2, denoise)

    @property
    def model(self) -> ModelInfo:
        return self._model.info

    def read(self, images: Sequence[SourceImage]) -> Reading:
        """Read a study of at least one image; once more, if the engine is lost meanwhile.

        Raises ModelFault if the network fails or answers with NaN, and ModalityNotRead if the
        bundle has no network for one of the images: that is never a "negative". Raises
        PatientsDiffer or RepeatedImage if the images do not belong together.
        """
        for image in images:
            self._model.of(image.modality)
        cautions = study_cautions(images)
        try:
            return self._read_again_if_lost(images, cautions)
        except EngineLost as error:
            raise ModelFault(f"the engine was lost twice over this study: {error}") from error
        except EngineError as error:
            raise ModelFault(str(error)) from error

    def _read_again_if_lost(
        self, images: Sequence[SourceImage], cautions: tuple[Caution, ...]
    ) -> Reading:
        try:
            return self._read(images, cautions)
        except EngineLost:
            logger.warning("the engine was lost; the study is read again by a new one")
        return self._read(images, cautions)

    def _read(self, images: Sequence[SourceImage], cautions: tuple[Caution, ...]) -> Reading:
        """While the network reads one image the next is already denoised."""
        watch = Stopwatch()
        seen: list[tuple[Prepared, Detections]] = []
        kinds: list[ImageKind | None] = []
        with watch.lap("total"), ThreadPoolExecutor(1) as ahead:
            coming = [
                ahead.submit(prepare, image, self._model, self._denoise, watch) for image in images
            ]
            try:
                for image, future in zip(images, coming, strict=True):
                    prepared = future.result()
                    seen.append((prepared, self._detect(image, prepared, watch)))
                    kinds.append(self._kind(prepared, watch))
            finally:
                for future in coming:  # where one failed, nobody waits for the others
                    future.cancel()
            with watch.lap("findings"):
                frames = [prepared.frame for prepared, _ in seen]
                doubts = mismatches(images, kinds, self._model.kind)
                judged, breasts = judge_study(
                    images, frames, [d for _, d in seen], self._model, doubts
                )
                readings = tuple(
                    self._reading(index, image, prepared, detections, judgement, kind)
                    for index, (image, (prepared, detections), judgement, kind) in enumerate(
                        zip(images, seen, judged, kinds, strict=True)
                    )
                )
        verdicts: dict[Modality, list[Verdict]] = {}
        for reading in readings:
            verdicts.setdefault(reading.modality, []).append(reading.verdict)
        fused = fuse(verdicts, self._protocol, cautions)
        return Reading(
            fused.verdict, fused.decided_by, fused.incomplete, readings,
            tuple(prepared.pictures for prepared, _ in seen), self.model, watch.milliseconds(),
            breasts, tuple(c.text for c in cautions), reasons(fused, readings, cautions),
        )  # fmt: skip

    def _detect(self, image: SourceImage, prepared: Prepared, watch: Stopwatch) -> Detections:
        own = self._model.of(image.modality)
        return self._detectors[image.modality].detect(
            prepared.canvas, min(own.finding_threshold, own.scoring.region_floor), watch.add
        )

    def _kind(self, prepared: Prepared, watch: Stopwatch) -> ImageKind | None:
        if self._model.kind is None:
            return None
        with watch.lap("kind"):
            return kind_of(self._engine, self._model.kind, prepared.pictures.original)

    def _reading(
        self, index: int, image: SourceImage, prepared: Prepared, detections: Detections,
        judgement: Judgement, kind: ImageKind | None,
    ) -> ImageReading:  # fmt: skip
        own = self._model.of(image.modality)
        findings = findings_of(image, prepared.frame, detections, own, judgement.malignant_from)
        cautions = judgement.cautions
        outlined = any(finding.label is Label.MALIGNANT for finding in findings)
        if judgement.score >= judgement.malignant_from and not outlined:
            cautions = (*cautions, NO_REGION)
        return ImageReading(
            index, image.modality, image.width, image.height, image.sha256,
            judgement.verdict, judgement.score, findings, prepared.denoise,
            tuple(c.text for c in cautions), image.spacing_mm, image.laterality, image.view,
            judgement.evidence, kind, tuple(c.code for c in cautions),
            image.laterality_from, image.view_from, image.name,
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
