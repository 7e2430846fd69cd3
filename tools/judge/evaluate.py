"""The device's own reader, run over labelled images and measured."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

from appliance.errors import IntakeError, ModelFault
from appliance.intake import read_image
from appliance.reader import Reader
from appliance.values import Modality, ModelInfo, Reading, SourceImage
from tools.data.index import Record, read_index, select, split_hash
from tools.judge.evaluation import OUTSIDE, Evaluation
from tools.judge.figures import figures
from tools.judge.outcome import Outcome, ReadBytes, read_outcome, unread_outcome
from tools.judge.pairs import PairFigures, Side, pair_figures
from tools.judge.table import as_dict, as_markdown, write_per_image

Progress = Callable[[int, int], None]
"""Told how many images are done, and of how many."""


class Reads(Protocol):
    """What is judged: the device's reader."""

    def read(self, images: Sequence[SourceImage]) -> Reading: ...


def evaluate(
    reader: Reads,
    records: Sequence[Record],
    *,
    read_bytes: ReadBytes = Path.read_bytes,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Read every record as a study of its own and measure the answers.

    An image the device refuses, or whose answer it does not trust, counts as wrong.
    Raises ValueError if there is no record, no image could be read, or a mask does not fit its
    image; ModelUnavailable and OSError as they come.
    """
    outcomes: list[Outcome] = []
    model: ModelInfo | None = None
    for done, record in enumerate(records, start=1):
        try:
            image = read_image(read_bytes(record.image), record.modality)
            reading = reader.read([image])
        except (IntakeError, ModelFault) as error:
            outcomes.append(unread_outcome(record, error.code))
        else:
            model = reading.model
            outcomes.append(read_outcome(record, reading.images[0], read_bytes))
        progress(done, len(records))
    if model is None:
        raise ValueError("no image could be read: check the index, its split and sources")
    return Evaluation(
        model=model,
        split_hash=split_hash(records),
        outcomes=tuple(outcomes),
        groups={name: figures(group) for name, group in sorted(_groups(outcomes).items())},
        pairs=_pairs(outcomes),
    )


def run_evaluation(
    bundle: Path,
    index: Path,
    split: str,
    out: Path,
    *,
    sources: Collection[str] | None = None,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Evaluate a bundle on one split; write metrics.json, table.md and per_image.csv into `out`.

    Raises BadIndex, BundleError or EngineUnavailable, and what `evaluate` raises.
    """
    records = select(read_index(index), split=split, sources=sources)
    evaluation = evaluate(Reader.open(bundle), records, progress=progress)
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_dict(evaluation), indent=2, allow_nan=False)
    (out / "metrics.json").write_text(text + "\n", encoding="utf-8")
    (out / "table.md").write_text(as_markdown(evaluation), encoding="utf-8")
    with (out / "per_image.csv").open("w", newline="", encoding="utf-8") as file:
        write_per_image(evaluation, file)
    return evaluation


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
