"""Reader, a study in and a reading out: denoise each image by its physics, read it, fuse."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.errors import ImageTooLarge, ModelFault, NoImages
from mammosono.appliance.intake.unread import unread_image
from mammosono.appliance.modality import PAIR, StudyProtocol
from mammosono.appliance.pipeline.detector.detector import Detections
from mammosono.appliance.pipeline.detector.frame import Frame
from mammosono.appliance.pipeline.fusion import fuse, reasons
from mammosono.appliance.pipeline.kind import kind_of, mismatches
from mammosono.appliance.pipeline.likeness import Likeness
from mammosono.appliance.pipeline.model import BundleModel, detectors, open_model
from mammosono.appliance.pipeline.prepare import (
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
    BreastReading,
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
    UnreadImage,
    Verdict,
)
from mammosono.engines.errors import EngineError, EngineLost
from mammosono.engines.interface import Engine
from mammosono.engines.locked import LockedEngine
from mammosono.engines.options import EngineOptions

logger = logging.getLogger(__name__)

Posted = SourceImage | Reduced | UnreadImage


class ImageReader(Protocol):
    """What reads the images of a study: `Reader`, or a test's stand-in."""

    @property
    def model(self) -> ModelInfo: ...

    def reduce(self, image: SourceImage) -> Reduced: ...

    def read(self, images: Iterable[Posted]) -> Reading: ...

    def pictures(self, image: SourceImage) -> Pictures: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Begun:
    """What is kept of an image for the network, while the next is decoded. index: as posted.
    canvas, shown: as of Prepared. drawn: if it came with its pixels."""

    index: int
    image: SourceImage
    likeness: Likeness
    frame: Frame
    denoise: DenoiseRecord
    canvas: NDArray[np.float32]
    shown: NDArray[np.uint8] | None
    drawn: Pictures | None


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What is kept of an image until all of the study are judged."""

    index: int
    image: SourceImage
    likeness: Likeness
    frame: Frame
    denoise: DenoiseRecord
    detections: Detections
    kind: ImageKind | None
    drawn: Pictures | None


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

    def read(self, images: Iterable[Posted]) -> Reading:
        """Read a study of at least one image; once more, if the engine is lost meanwhile.

        images: in the order posted; gone through once, or twice if the engine is lost. Where they
        are decoded only then, no more than one is held with its pixels. The reading has `pictures`
        of images that have theirs; none, if one of the study was reduced before.

        Raises ModelFault if the network fails or answers with NaN, and ModalityNotRead if the
        bundle has no network for one of the images: that is never a "negative". Raises
        PatientsDiffer or RepeatedImage if the images do not belong together, NoImages if none
        could be read, and whatever `images` raise.
        """
        with self._faults():
            return self._read_again_if_lost(images)

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

    def _read_again_if_lost(self, images: Iterable[Posted]) -> Reading:
        try:
            return self._read(images)
        except EngineLost:
            logger.warning("the engine was lost; the study is read again by a new one")
        return self._read(images)

    def _read(self, images: Iterable[Posted]) -> Reading:
        watch = Stopwatch()
        with watch.lap("total"):
            seen, unread = self._look(images, watch)
            cautions = _belong_together(seen, unread)
            with watch.lap("findings"):
                readings, breasts = self._judge(seen, unread)
        verdicts: dict[Modality, list[Verdict]] = {}
        for reading in readings:
            verdicts.setdefault(reading.modality, []).append(reading.verdict)
        not_read = {image.modality for image in unread}
        drawn = tuple(each.drawn for each in seen if each.drawn is not None)
        fused = fuse(verdicts, self._protocol, cautions, not_read)
        return Reading(
            fused.verdict, fused.decided_by, fused.incomplete, readings,
            drawn if len(drawn) == len(seen) else (), self.model, watch.milliseconds(),
            breasts, tuple(c.text for c in cautions), reasons(fused, readings, cautions),
            tuple(unread),
        )  # fmt: skip

    def _look(
        self, images: Iterable[Posted], watch: Stopwatch
    ) -> tuple[list[_Seen], list[UnreadImage]]:
        """While the network reads one image the next is denoised; each is decoded when the pixels
        of the one before are gone."""
        seen: list[_Seen] = []
        unread: list[UnreadImage] = []
        ready: _Begun | None = None
        with ThreadPoolExecutor(1) as ahead:
            places = count()  # not enumerate: it keeps its last image until it has the next
            for image in images:
                index = next(places)
                self._model.of(image.modality)
                if isinstance(image, UnreadImage):
                    unread.append(replace(image, index=index))
                    continue
                coming = ahead.submit(self._begin, index, image, watch)
                if ready is not None:
                    seen.append(self._finish(ready, watch))
                begun = coming.result()
                if isinstance(begun, UnreadImage):
                    unread.append(begun)
                ready = begun if isinstance(begun, _Begun) else None
                del image, coming, begun  # or it would still be there while the next is decoded
            if ready is not None:
                seen.append(self._finish(ready, watch))
        return seen, unread

    def _begin(
        self, index: int, image: SourceImage | Reduced, watch: Stopwatch
    ) -> _Begun | UnreadImage:
        try:
            seen = image if isinstance(image, Reduced) else reduce(image, self._model, watch)
            prepared = prepare(seen, self._model, self._denoise, watch)
            with watch.lap("frame"):
                drawn = None if isinstance(image, Reduced) else pictures(image, prepared)
        except MemoryError:
            error = ImageTooLarge("It needs more memory than one image may take; reduce it.")
            return unread_image(source(image), error, index)
        return _Begun(
            index, seen.image, seen.likeness, prepared.frame, prepared.denoise,
            prepared.canvas, prepared.shown, drawn,
        )  # fmt: skip

    def _finish(self, ready: _Begun, watch: Stopwatch) -> _Seen:
        return _Seen(
            ready.index, ready.image, ready.likeness, ready.frame, ready.denoise,
            self._detect(ready, watch), self._kind(ready, watch), ready.drawn,
        )  # fmt: skip

    def _judge(
        self, seen: Sequence[_Seen], unread: Sequence[UnreadImage]
    ) -> tuple[tuple[ImageReading, ...], tuple[BreastReading, ...]]:
        images = [each.image for each in seen]
        doubts = mismatches(images, [each.kind for each in seen], self._model.kind)
        judged, breasts = judge_study(
            images, [each.frame for each in seen], [each.detections for each in seen],
            self._model, doubts, unread,
        )  # fmt: skip
        readings = tuple(
            self._reading(each, judgement) for each, judgement in zip(seen, judged, strict=True)
        )
        posted = [
            replace(breast, images=tuple(seen[k].index for k in breast.images))
            for breast in breasts
        ]
        return readings, tuple(posted)

    def _detect(self, ready: _Begun, watch: Stopwatch) -> Detections:
        own = self._model.of(ready.image.modality)
        return self._detectors[ready.image.modality].detect(
            ready.canvas, min(own.finding_threshold, own.scoring.region_floor), watch.add
        )

    def _kind(self, ready: _Begun, watch: Stopwatch) -> ImageKind | None:
        if self._model.kind is None or ready.shown is None:
            return None
        with watch.lap("kind"):
            return kind_of(self._engine, self._model.kind, ready.shown)

    def _reading(self, seen: _Seen, judgement: Judgement) -> ImageReading:
        image, own = seen.image, self._model.of(seen.image.modality)
        findings = findings_of(image, seen.frame, seen.detections, own, judgement.malignant_from)
        cautions = judgement.cautions
        outlined = any(finding.label is Label.MALIGNANT for finding in findings)
        if judgement.score >= judgement.malignant_from and not outlined:
            cautions = (*cautions, NO_REGION)
        return ImageReading(
            seen.index, image.modality, image.width, image.height, image.sha256,
            judgement.verdict, judgement.score, findings, seen.denoise,
            tuple(c.text for c in cautions), image.spacing_mm, image.laterality, image.view,
            judgement.evidence, seen.kind, tuple(c.code for c in cautions),
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


def _belong_together(seen: Sequence[_Seen], unread: Sequence[UnreadImage]) -> tuple[Caution, ...]:
    """As `study_cautions`. Raises NoImages as well."""
    if not seen:
        raise NoImages("None of the images could be read; send them again from their source.")
    given: dict[int, tuple[SourceImage | UnreadImage, Likeness | None]] = {
        each.index: (each.image, each.likeness) for each in seen
    }
    given |= {image.index: (image, None) for image in unread}
    images, likenesses = zip(*(given[index] for index in sorted(given)), strict=True)
    return study_cautions(images, likenesses)
