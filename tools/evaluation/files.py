"""Files of an evaluation, one folder.

metrics.json          every figure with n and interval; keys are stable
table.md              the same for people
per_image.csv         a row an image
curves.json           points of ROC, precision-recall, FROC and reliability, by group
truth.coco.json       the lesions, in COCO's format
findings.coco.json    everything seen, in COCO's results format
hospitals.csv, reported_lesions.csv, promised.csv, calibration.csv, reliability.csv,
source_pairs.csv      the tables by hospital; only those that there is something to say in
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO

from mammosono.engines.bundle import open_bundle
from mammosono.tools.data.index import Record, read_index, select, split_hash
from mammosono.tools.evaluation.coco import findings_file, truth_file
from mammosono.tools.evaluation.evaluate import (
    Denoising,
    Evaluation,
    Terms,
    evaluate,
    open_readers,
)
from mammosono.tools.evaluation.hospital_tables import hospital_tables
from mammosono.tools.evaluation.promises import promises_of
from mammosono.tools.evaluation.roles import roles_of
from mammosono.tools.evaluation.table import as_dict, as_markdown
from mammosono.tools.progress import OnCount

COLUMNS = (
    "image",
    "modality",
    "source",
    "split",
    "patient_or_case",
    "label",
    "verdict",
    "score",
    "lesion_score",
    "findings",
    "dice",
    "jaccard",
    "box_hit",
    "centre_hit",
    "error",
)


def run_evaluation(
    bundle: Path,
    index: Path,
    split: str,
    out: Path,
    *,
    sources: Collection[str] | None = None,
    denoising: Denoising = Denoising.on,
    class_free: Collection[str] = (),
    pairs: Sequence[tuple[str, str]] = (),
    progress: OnCount = lambda done, total: None,
) -> Evaluation:
    """Evaluate a bundle on one split and write the folder `out`.

    class_free: sources of which only lesions are judged, besides the bundle's own such sources.
    pairs: sources of mammograms and of ultrasounds to be fused besides the pooled ones.
    Raises BadIndex, ModelUnavailable, ValueError if the bundle does not read a modality of the
    split, and what `evaluate` raises.
    """
    everything = read_index(index)
    records = select(everything, split=split, sources=sources)
    reader, searcher = open_readers(bundle, denoising)
    with reader:
        unread = {
            record.modality.value for record in records
        } - reader.model.operating_points.keys()
        if unread:  # said now, not by the first such image an hour later
            raise ValueError(
                f"the bundle reads no {' and no '.join(sorted(unread))}: "
                "give an index without such images"
            )
        manifest = open_bundle(bundle).manifest
        terms = Terms(roles_of(manifest, class_free), promises_of(manifest), tuple(pairs))
        evaluation = evaluate(reader, records, searcher=searcher, progress=progress, terms=terms)
    evaluation = replace(
        evaluation,
        split_hash=split_hash(everything),
        split_kept=split_kept(bundle, everything),
        denoising=denoising.value,
    )
    write_evaluation(evaluation, out)
    return evaluation


def split_kept(bundle: Path, records: Sequence[Record]) -> bool | None:
    """Whether `records`, of the whole index, divide the bundle's training sources as its training
    did; None if its manifest does not state it. Raises BundleError."""
    training = open_bundle(bundle).manifest.get("training", {})
    if not {"sources", "split_sha256"} <= training.keys():
        return None
    own = split_hash(select(records, sources=training["sources"]))
    return bool(own == training["split_sha256"])


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """Every file of the folder; those of the search only if there was one."""
    out.mkdir(parents=True, exist_ok=True)
    _write_json(out / "metrics.json", as_dict(evaluation), indent=2)
    (out / "table.md").write_text(as_markdown(evaluation), encoding="utf-8")
    with (out / "per_image.csv").open("w", newline="", encoding="utf-8") as file:
        write_per_image(evaluation, file)
    if evaluation.searches:
        curves = {name: asdict(each) for name, each in evaluation.curves.items()}
        _write_json(out / "curves.json", curves)
        _write_json(out / "truth.coco.json", truth_file(evaluation.searches))
        _write_json(out / "findings.coco.json", findings_file(evaluation.searches))
    for table in hospital_tables(as_dict(evaluation)):
        with (out / f"{table.name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(table.rows)


def write_per_image(evaluation: Evaluation, file: TextIO) -> None:
    """One CSV row an image, COLUMNS; an empty field is undefined."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for o in evaluation.outcomes:
        record = o.record
        numbers = (o.score, o.lesion_score, o.findings, o.dice, o.jaccard, o.box_hit, o.centre_hit)
        writer.writerow(
            (
                record.name,
                record.modality.value,
                record.source,
                record.split,
                record.case,
                record.label,
                o.verdict.value,
                *("" if math.isnan(number) else f"{number:.6g}" for number in numbers),
                o.error,
            )
        )


def _write_json(path: Path, value: Any, indent: int | None = None) -> None:
    text = json.dumps(value, indent=indent, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
