"""The device's own reader, run over labelled images and measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from mammosono.appliance.errors import IntakeError, ModelFault
from mammosono.appliance.intake import read_image
from mammosono.appliance.values import Modality, ModelInfo, Reading, SourceImage
from mammosono.tools.data.index import Record, split_hash
from mammosono.tools.evaluation.curves import curves
from mammosono.tools.evaluation.detection_metrics import found, located
from mammosono.tools.evaluation.evaluation import OUTSIDE, Evaluation
from mammosono.tools.evaluation.figures import figures
from mammosono.tools.evaluation.outcome import Outcome, ReadBytes, read_outcome, unread_outcome
from mammosono.tools.evaluation.pairs import PairFigures, Side, pair_figures
from mammosono.tools.evaluation.search import Search, search_of

T = TypeVar("T")
U = TypeVar("U")
Progress = Callable[[int, int], None]
"""Told how many images are done, and of how many."""


class Reads(Protocol):
    """What is judged: the device's reader."""

    def read(self, images: Sequence[SourceImage]) -> Reading: ...


def evaluate(
    reader: Reads,
    records: Sequence[Record],
    *,
    searcher: Reads | None = None,
    read_bytes: ReadBytes = Path.read_bytes,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Read every record as a study of its own and measure the answers.

    searcher: the same model with a low finding threshold; with it every image is read twice, and
    the lesions are searched for as well.
    An image the device refuses, or whose answer it does not trust, counts as wrong.
    Raises ValueError if there is no record, no image could be read, or a mask does not fit its
    image; ModelUnavailable and OSError as they come.
    """
    outcomes: list[Outcome] = []
    searches: list[Search] = []
    model: ModelInfo | None = None
    for done, record in enumerate(records, start=1):
        try:
            image = read_image(read_bytes(record.image), record.modality)
            answer = reader.read([image])
            seen = searcher.read([image]) if searcher else None
        except (IntakeError, ModelFault) as error:
            outcomes.append(unread_outcome(record, error.code))
            if searcher:
                searches.append(search_of(record, None, (), read_bytes))
        else:
            model = answer.model
            outcomes.append(read_outcome(record, answer.images[0], read_bytes))
            if seen:
                findings = seen.images[0].findings
                searches.append(search_of(record, answer.images[0], findings, read_bytes))
        progress(done, len(records))
    if model is None:
        raise ValueError("no image could be read: check the index, its split and sources")
    return judged(model, outcomes, searches)


def judged(model: ModelInfo, outcomes: Sequence[Outcome], searches: Sequence[Search]) -> Evaluation:
    """All figures of the outcomes; searches: of the same images, or none."""
    groups = dict(sorted(_groups(outcomes).items()))
    by_name = {o.record.name: o for o in outcomes}
    search = {s.record.name: s for s in searches}
    searched = {
        name: located([search[o.record.name] for o in group])
        for name, group in groups.items()
        if searches
    }
    return Evaluation(
        model=model,
        split_hash=split_hash([o.record for o in outcomes]),
        outcomes=tuple(outcomes),
        groups=_each(groups, figures),
        pairs=_pairs(outcomes),
        searches=tuple(searches),
        found=_each(
            {name: group for name, group in searched.items() if any(s.lesions for s in group)},
            lambda group: found(group, by_name),
        ),
        curves={name: curves(groups[name], group) for name, group in searched.items()},
    )


def _each(groups: Mapping[str, list[T]], measure: Callable[[list[T]], U]) -> dict[str, U]:
    """Every group measured; a modality with one source is measured once."""
    out: dict[str, U] = {}
    for name, group in groups.items():
        same = next((other for other in out if groups[other] == group), None)
        out[name] = measure(group) if same is None else out[same]
    return out


def _groups(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    groups: defaultdict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        modality, source = outcome.record.modality.value, outcome.record.source
        groups[f"{modality}/{source}"].append(outcome)
        if source not in OUTSIDE:
            groups[modality].append(outcome)
    return groups


def _pairs(outcomes: Sequence[Outcome]) -> PairFigures | None:
    inside = [o for o in outcomes if o.record.source not in OUTSIDE]
    sides = [[o for o in inside if o.record.modality is modality] for modality in Modality]
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
