"""Reader, a study in and a reading out: denoise each image by its physics, read it, fuse."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol

from mammosono.appliance.errors import ModelFault
from mammosono.appliance.modality import PAIR, StudyProtocol
from mammosono.appliance.pipeline.detector.detector import Detections
from mammosono.appliance.pipeline.detector.frame import Frame
from mammosono.appliance.pipeline.fusion import fuse, reasons
from mammosono.appliance.pipeline.kind import kind_of, mismatches
from mammosono.appliance.pipeline.model import BundleModel, detectors, open_model
from mammosono.appliance.pipeline.prepare import (
    Prepared,
    Reduced,
    RemoveNoise,
    denoiser,
    pictures,
    prepare,
    reduce,
    source,
)
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.pipeline.study import study_cautions
from mammosono.appliance.pipeline.verdict import NO_REGION, Judgement, findings_of, judge_study
from mammosono.appliance.values import (
    Caution,
    DenoiseRecord,
    ImageKind,
    ImageReading,
    Label,
    Modality,
    ModelInfo,
    Pictures,
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

    def reduce(self, image: SourceImage) -> Reduced: ...

    def read(self, images: Sequence[SourceImage | Reduced]) -> Reading: ...

    def pictures(self, image: SourceImage) -> Pictures: ...


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

    def reduce(self, image: SourceImage) -> Reduced:
        """What is seen of an image, so that its pixels need not be kept for the rest of its study.
        Raises ModalityNotRead."""
        return reduce(image, self._model, Stopwatch())

    def read(self, images: Sequence[SourceImage | Reduced]) -> Reading:
        """Read a study of at least one image; once more, if the engine is lost meanwhile.

        Images with their pixels have `pictures` of them in the reading; a study of which one was
        reduced before has none.
        Raises ModelFault if the network fails or answers with NaN, and ModalityNotRead if the
        bundle has no network for one of the images: that is never a "negative". Raises
        PatientsDiffer or RepeatedImage if the images do not belong together.
        """
        for image in map(source, images):
            self._model.of(image.modality)
        cautions = study_cautions(images)
        with self._faults():
            return self._read_again_if_lost(images, cautions)

    def pictures(self, image: SourceImage) -> Pictures:
        """The pictures of one image, as `read` has them. Raises ModelFault and ModalityNotRead."""
        with self._faults():
            return pictures(image, prepare(image, self._model, self._denoise, Stopwatch()))

    @staticmethod
    @contextmanager
    def _faults() -> Iterator[None]:
        try:
            yield
        except EngineLost as error:
            raise ModelFault(f"the engine was lost twice over this study: {error}") from error
        except EngineError as error:
            raise ModelFault(str(error)) from error

    def _read_again_if_lost(
        self, images: Sequence[SourceImage | Reduced], cautions: tuple[Caution, ...]
    ) -> Reading:
        try:
            return self._read(images, cautions)
        except EngineLost:
            logger.warning("the engine was lost; the study is read again by a new one")
        return self._read(images, cautions)

    def _read(
        self, given: Sequence[SourceImage | Reduced], cautions: tuple[Caution, ...]
    ) -> Reading:
        """While the network reads one image the next, and no other, is already denoised."""
        watch = Stopwatch()
        images = [source(image) for image in given]
        frames: list[Frame] = []
        denoised: list[DenoiseRecord] = []
        detections: list[Detections] = []
        kinds: list[ImageKind | None] = []
        drawn: list[Pictures] = []
        draws = not any(isinstance(image, Reduced) for image in given)
        with watch.lap("total"), ThreadPoolExecutor(1) as ahead:

            def begin(place: int) -> Future[Prepared]:
                return ahead.submit(prepare, given[place], self._model, self._denoise, watch)

            coming = begin(0)
            for place, image in enumerate(images):
                prepared = coming.result()
                if place + 1 < len(images):
                    coming = begin(place + 1)
                frames.append(prepared.frame)
                denoised.append(prepared.denoise)
                detections.append(self._detect(image, prepared, watch))
                kinds.append(self._kind(prepared, watch))
                if draws:
                    with watch.lap("frame"):
                        drawn.append(pictures(image, prepared))
            with watch.lap("findings"):
                doubts = mismatches(images, kinds, self._model.kind)
                judged, breasts = judge_study(images, frames, detections, self._model, doubts)
                readings = tuple(
                    self._reading(index, image, place, record, found, judgement, kind)
                    for index, (image, place, record, found, judgement, kind) in enumerate(
                        zip(images, frames, denoised, detections, judged, kinds, strict=True)
                    )
                )
        verdicts: dict[Modality, list[Verdict]] = {}
        for reading in readings:
            verdicts.setdefault(reading.modality, []).append(reading.verdict)
        fused = fuse(verdicts, self._protocol, cautions)
        return Reading(
            fused.verdict, fused.decided_by, fused.incomplete, readings,
            tuple(drawn), self.model, watch.milliseconds(),
            breasts, tuple(c.text for c in cautions), reasons(fused, readings, cautions),
        )  # fmt: skip

    def _detect(self, image: SourceImage, prepared: Prepared, watch: Stopwatch) -> Detections:
        own = self._model.of(image.modality)
        return self._detectors[image.modality].detect(
            prepared.canvas, min(own.finding_threshold, own.scoring.region_floor), watch.add
        )

    def _kind(self, prepared: Prepared, watch: Stopwatch) -> ImageKind | None:
        if self._model.kind is None or prepared.shown is None:
            return None
        with watch.lap("kind"):
            return kind_of(self._engine, self._model.kind, prepared.shown)

    def _reading(
        self, index: int, image: SourceImage, place: Frame, denoised: DenoiseRecord,
        detections: Detections, judgement: Judgement, kind: ImageKind | None,
    ) -> ImageReading:  # fmt: skip
        own = self._model.of(image.modality)
        findings = findings_of(image, place, detections, own, judgement.malignant_from)
        cautions = judgement.cautions
        outlined = any(finding.label is Label.MALIGNANT for finding in findings)
        if judgement.score >= judgement.malignant_from and not outlined:
            cautions = (*cautions, NO_REGION)
        return ImageReading(
            index, image.modality, image.width, image.height, image.sha256,
            judgement.verdict, judgement.score, findings, denoised,
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
