"""Evaluation of a bundle: the device's own reader, run over labelled images and measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.errors import IntakeError, ModelFault
from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.model import BundleModel, open_model
from mammosono.appliance.pipeline.prepare import RemoveNoise, denoiser
from mammosono.appliance.pipeline.reader import ImageReader, Reader
from mammosono.appliance.values import DenoiseRecord, Modality, ModelInfo
from mammosono.engines.interface import Engine, Tensor
from mammosono.engines.options import EngineOptions
from mammosono.tools.data.index import Record, split_hash
from mammosono.tools.evaluation.breasts import breast_outcomes
from mammosono.tools.evaluation.detection_metrics import LesionFigures, lesion_figures, located
from mammosono.tools.evaluation.figures import GroupCurves, GroupFigures, curves, figures
from mammosono.tools.evaluation.log_shrinkage import shrink_logarithm
from mammosono.tools.evaluation.outcome import (
    ImageOutcome,
    ReadBytes,
    Search,
    read_outcome,
    search_of,
    unread_outcome,
)
from mammosono.tools.evaluation.pairs import PairFigures, Side, pair_figures
from mammosono.tools.evaluation.promises import Kept, Promise, kept
from mammosono.tools.evaluation.roles import ONE_HOSPITAL, Roles
from mammosono.tools.progress import OnCount

LOWEST = 0.05
"""Lesion score down to which lesions are searched for."""
THREADS = 2
BREASTS = " breasts"
T = TypeVar("T")
U = TypeVar("U")


class Denoising(str, Enum):
    """on: as on the device; off: the picture as it came; log: ultrasound by the second way."""

    on = "on"
    off = "off"
    log = "log"


def open_readers(bundle: Path, denoising: Denoising = Denoising.on) -> tuple[Reader, Reader]:
    """The device's reader, and one that reports every finding down to LOWEST.

    They share one engine, whose trunk runs once for both; closing either closes it. Raises
    ModelUnavailable.
    """
    opened, model = open_model(bundle, EngineOptions())
    engine = TrunkOnce(opened, model)
    own = denoiser(engine, model, THREADS)
    remove = {Denoising.on: own, Denoising.off: untouched, Denoising.log: by_logarithm(own)}
    once = _DenoisedOnce(remove[denoising])
    everything = model.everywhere(finding_threshold=LOWEST)
    return Reader(engine, model, THREADS, once), Reader(engine, everything, THREADS, once)


def untouched(
    working: NDArray[np.float32], modality: Modality, peak: float
) -> tuple[NDArray[np.float32], DenoiseRecord]:
    """No noise is removed."""
    return working, DenoiseRecord("none")


def by_logarithm(own: RemoveNoise) -> RemoveNoise:
    """Ultrasound by mammosono.tools.evaluation.log_shrinkage, mammograms by `own`."""

    def remove(
        working: NDArray[np.float32], modality: Modality, peak: float
    ) -> tuple[NDArray[np.float32], DenoiseRecord]:
        if modality is Modality.US:
            return shrink_logarithm(working, peak=peak)
        return own(working, modality, peak)

    return remove


class TrunkOnce(Engine):
    """Another engine, where a trunk is not run again on the canvas that was seen last."""

    def __init__(self, engine: Engine, model: BundleModel) -> None:
        self.runtime = engine.runtime
        self._engine = engine
        self._trunks = {own.stages.trunk for own in model.modalities.values()}
        self._last: tuple[str, NDArray[np.generic]] | None = None
        self._outputs: dict[str, Tensor] = {}

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        if stage not in self._trunks:
            return self._engine.run(stage, inputs, keep)
        canvas, last = np.asarray(inputs["image"]), self._last
        if last is None or last[0] != stage or not np.array_equal(last[1], canvas):
            self._last = None  # what was kept ends with this run, even if it fails
            self._outputs = self._engine.run(stage, inputs, keep)
            self._last = stage, canvas.copy()
        return self._outputs

    def close(self) -> None:
        self._engine.close()


class _DenoisedOnce:
    """The last answer: both readers ask for the same picture, one after the other."""

    def __init__(self, remove: RemoveNoise) -> None:
        self._remove = remove
        self._asked: tuple[NDArray[np.float32], Modality, float] | None = None
        self._answer: tuple[NDArray[np.float32], DenoiseRecord]

    def __call__(
        self, working: NDArray[np.float32], modality: Modality, peak: float
    ) -> tuple[NDArray[np.float32], DenoiseRecord]:
        last = self._asked
        if last is None or last[1:] != (modality, peak) or not np.array_equal(last[0], working):
            self._asked = working.copy(), modality, peak
            self._answer = self._remove(working, modality, peak)
        return self._answer


@dataclass(frozen=True, slots=True)
class Terms:
    """What is judged by: the sources' roles, what the bundle promised, and pairs of a mammogram's
    source and an ultrasound's (by name) to be fused besides the pooled ones.
    """

    roles: Roles = ONE_HOSPITAL
    promises: tuple[Promise, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


AS_ONE = Terms()
"""Nothing is known: all sources are pooled."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Every image's outcome, and the figures of groups of them.

    split_hash: which image belonged to which split, see mammosono.tools.data.index.
    groups: by modality ("MG": those of its sources that Roles.pooled) and by source ("US/BUSI");
    so for breasts that the model judges by two views ("MG breasts", "MG breasts/CBIS-DDSM").
    pairs: None unless both modalities have pooled images.
    source_pairs: by "MAMMOGRAMS:ULTRASOUNDS", see Terms. kept: what became of the promises.
    searches, lesions, curves: every image searched for lesions, and what came of it by group; empty
    if the images were read only as the device reads them. A group without a located lesion is not
    in `lesions`.
    split_kept: whether the index divides the model's own training sources as its training did; None
    where its manifest does not say. If not, images judged here may have trained it.
    denoising: "on" as on the device, "off" or "log", see Denoising.
    """

    model: ModelInfo
    split_hash: str
    outcomes: tuple[ImageOutcome, ...]
    groups: Mapping[str, GroupFigures]
    pairs: PairFigures | None
    searches: tuple[Search, ...]
    lesions: Mapping[str, LesionFigures]
    curves: Mapping[str, GroupCurves]
    split_kept: bool | None = None
    denoising: str = "on"
    roles: Roles = ONE_HOSPITAL
    source_pairs: Mapping[str, PairFigures] = field(default_factory=dict)
    kept: tuple[Kept, ...] = ()


def evaluate(
    reader: ImageReader,
    records: Sequence[Record],
    *,
    searcher: ImageReader | None = None,
    read_bytes: ReadBytes = Path.read_bytes,
    progress: OnCount = lambda done, total: None,
    terms: Terms = AS_ONE,
) -> Evaluation:
    """Read every record as a study of its own and measure the answers.

    searcher: the same model with a low finding threshold; with it every image is read twice, and
    the lesions are searched for as well.
    An image the device refuses, or whose answer it does not trust, counts as wrong.
    Raises ValueError if there is no record, no image could be read, a mask does not fit its image,
    or a pair of the terms has no images; ModelUnavailable and OSError as they come.
    """
    _refuse_lacking(terms, records)
    outcomes: list[ImageOutcome] = []
    searches: list[Search] = []
    model: ModelInfo | None = None
    for done, record in enumerate(records, start=1):
        try:
            image = read_image(read_bytes(record.image), record.modality)
            answer = reader.read([image])
            search = searcher.read([image]) if searcher else None
        except (IntakeError, ModelFault) as error:
            outcomes.append(unread_outcome(record, error.code))
            if searcher:
                searches.append(search_of(record, None, (), read_bytes))
        else:
            model = answer.model
            outcomes.append(read_outcome(record, answer.images[0], read_bytes))
            if search:
                findings = search.images[0].findings
                searches.append(search_of(record, answer.images[0], findings, read_bytes))
        progress(done, len(records))
    if model is None:
        raise ValueError("no image could be read: check the index, its split and sources")
    return evaluation_of(model, outcomes, searches, terms)


def evaluation_of(
    model: ModelInfo,
    outcomes: Sequence[ImageOutcome],
    searches: Sequence[Search],
    terms: Terms = AS_ONE,
) -> Evaluation:
    """All figures of the outcomes; searches: of the same images, or none."""
    roles = terms.roles
    breasts = _breasts(model, outcomes, roles)
    by_image = dict(sorted(grouped(outcomes, roles).items()))
    groups = by_image | dict(sorted(grouped(breasts, roles, BREASTS).items()))
    measured = _each(groups, lambda group: figures(group, by_class(group, roles)))
    pairs = _pairs([o for o in outcomes if roles.pooled(o.record.source)])
    source_pairs = {f"{mg}:{us}": _pairs(_of_pair(outcomes, mg, us)) for mg, us in terms.pairs}
    if breasts:
        ultrasounds = [o for o in outcomes if o.record.modality is Modality.US]
        source_pairs |= {
            f"{mg}{BREASTS}:{us}": _pairs(_of_pair([*breasts, *ultrasounds], mg, us))
            for mg, us in terms.pairs
        }
    by_name = {o.record.name: o for o in outcomes}
    search = {s.record.name: s for s in searches}
    located_searches = {
        name: located([search[o.record.name] for o in group])
        for name, group in by_image.items()
        if searches
    }
    return Evaluation(
        model=model,
        split_hash=split_hash([o.record for o in outcomes]),
        outcomes=tuple(outcomes),
        groups=measured,
        pairs=pairs,
        searches=tuple(searches),
        lesions=_each(
            {
                name: group
                for name, group in located_searches.items()
                if any(s.lesions for s in group)
            },
            lambda group: lesion_figures(group, by_name),
        ),
        curves={
            name: curves(groups[name], group, by_class(groups[name], roles))
            for name, group in located_searches.items()
        },
        roles=roles,
        source_pairs={name: each for name, each in source_pairs.items() if each is not None},
        kept=kept(
            terms.promises,
            {name: group for name, group in groups.items() if by_class(group, roles)},
            measured,
            {"pooled pairs": pairs, **source_pairs},
        ),
    )


def _refuse_lacking(terms: Terms, records: Sequence[Record]) -> None:
    """Raises ValueError if a pair of the terms cannot be judged on these records."""
    for pair in terms.pairs:
        for modality, source in zip(Modality, pair, strict=True):
            if source in terms.roles.class_free:
                raise ValueError(f"{source} is judged by its lesions alone: it cannot be paired")
            if not any(r.modality is modality and r.source == source for r in records):
                raise ValueError(f"no {modality.value} image of {source} is judged here to pair")


def _each(groups: Mapping[str, list[T]], measure: Callable[[list[T]], U]) -> dict[str, U]:
    """Every group measured; a modality with one source is measured once."""
    out: dict[str, U] = {}
    for name, group in groups.items():
        same = next((other for other in out if groups[other] == group), None)
        out[name] = measure(group) if same is None else out[same]
    return out


def grouped(
    outcomes: Sequence[ImageOutcome], roles: Roles = ONE_HOSPITAL, what: str = ""
) -> dict[str, list[ImageOutcome]]:
    """By source ("US/BUSI"), and by modality those that are pooled ("US").

    what: said after the modality, where the outcomes are not of images.
    """
    groups: defaultdict[str, list[ImageOutcome]] = defaultdict(list)
    for outcome in outcomes:
        for name in roles.groups(outcome.record, what):
            groups[name].append(outcome)
    return groups


def _breasts(
    model: ModelInfo, outcomes: Sequence[ImageOutcome], roles: Roles
) -> list[ImageOutcome]:
    """Those that the model judges by two views, of sources that are judged by class."""
    scoring = model.scoring.get(Modality.MG.value)
    if scoring is None or scoring.breast is None:
        return []
    judged = [o for o in outcomes if o.record.source not in roles.class_free]
    return breast_outcomes(judged, scoring)


def by_class(group: Sequence[ImageOutcome], roles: Roles) -> bool:
    """Whether benign and malignant are judged on a group."""
    return not any(o.record.source in roles.class_free for o in group)


def _of_pair(outcomes: Sequence[ImageOutcome], mg: str, us: str) -> list[ImageOutcome]:
    wanted = {(Modality.MG, mg), (Modality.US, us)}
    return [o for o in outcomes if (o.record.modality, o.record.source) in wanted]


def _pairs(outcomes: Sequence[ImageOutcome]) -> PairFigures | None:
    sides = [[o for o in outcomes if o.record.modality is modality] for modality in Modality]
    if not all(sides):
        return None
    mg, us = (
        Side(
            [o.malignant for o in side],
            [o.verdict for o in side],
            [o.record.case for o in side],
        )
        for side in sides
    )
    return pair_figures(mg, us)
