"""An evaluation for machines (JSON, CSV) and for people (Markdown, terminal)."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TextIO

from rich.console import Group, RenderableType
from rich.table import Table

from tools.judge.bootstrap import DRAWS, LEVEL, SEED, Estimate
from tools.judge.evaluation import OUTSIDE, Evaluation
from tools.judge.figures import DEFINITIONS, Figures
from tools.judge.pairs import PROTOCOL, PairFigures

SCHEMA = 1
NAMES = {
    "accuracy": "Accuracy",
    "tpr": "TPR (sensitivity)",
    "tnr": "TNR (specificity)",
    "precision": "Precision",
    "f_score": "F-score",
    "bcr": "BCR",
    "youden": "Youden's index",
    "auc": "AUC, malignant against the rest",
    "auc_malignant_benign": "AUC, malignant against benign",
    "auc_lesion_normal": "AUC, lesion against normal",
    "dice_mean": "Dice, mean on lesion images",
    "dice_median": "Dice, median on lesion images",
    "dice_over_half": "Share with Dice > 0.5",
    "jaccard_mean": "Jaccard, mean on lesion images",
    "box_hit": "Lesion images hit (box IoU >= 0.25)",
    "centre_hit": "Lesion images hit (centre in lesion)",
    "findings_per_image": "Findings per image",
    "findings_per_normal": "Findings per normal image",
}
FUSED_NAMES = {
    "tpr": "TPR (sensitivity)",
    "tnr": "TNR (specificity)",
    "bcr": "BCR",
    "youden": "Youden's index",
    "gain_tpr": "TPR gained by fusing",
    "price_tnr": "TNR given for it",
}
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
Rows = list[list[str]]


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Plain values for JSON with stable keys; undefined figures are None."""
    model, pairs = evaluation.model, evaluation.pairs
    plain = {
        "schema": SCHEMA,
        "model": {
            "name": model.name,
            "version": model.version,
            "sha256": model.sha256,
            "runtime": model.runtime,
            "operating_points": dict(model.operating_points),
        },
        "data": {
            "images": len(evaluation.outcomes),
            "splits": sorted({o.record.split for o in evaluation.outcomes}),
            "split_sha256": evaluation.split_hash,
            "outside": sorted(OUTSIDE),
        },
        "bootstrap": {"draws": DRAWS, "level": LEVEL, "seed": SEED, "unit": "patient_or_case"},
        "definitions": DEFINITIONS,
        "groups": {name: asdict(group) for name, group in evaluation.groups.items()},
        "pairs": None if pairs is None else {"protocol": PROTOCOL, **asdict(pairs)},
    }
    out: dict[str, Any] = _without_nan(plain)
    return out


def as_markdown(evaluation: Evaluation) -> str:
    """The tables for the model card, with what one needs to read them."""
    lines = [*_markdown(_figure_rows(evaluation)), ""]
    if evaluation.pairs is not None:
        lines += [*_markdown(_fused_rows(evaluation.pairs)), "", PROTOCOL, ""]
    lines += _notes(evaluation)
    return "\n".join(lines) + "\n"


def as_rich(evaluation: Evaluation) -> RenderableType:
    """The same tables for the terminal."""
    tables: list[RenderableType] = [_rich(_figure_rows(evaluation))]
    if evaluation.pairs is not None:
        tables += [_rich(_fused_rows(evaluation.pairs)), PROTOCOL]
    return Group(*tables)


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


def _figure_rows(evaluation: Evaluation) -> Rows:
    shown = _shown(evaluation.groups)
    points = evaluation.model.operating_points
    rows = [
        ["", *shown],
        ["Images (cases)", *(f"{g.n} ({g.cases})" for g in shown.values())],
        ["Malignant", *(f"{g.malignant}" for g in shown.values())],
        ["Not read", *(f"{g.unread}" for g in shown.values())],
        ["Operating point", *(_number(points.get(_modality(name), math.nan)) for name in shown)],
        ["Prevalence", *(_number(g.prevalence) for g in shown.values())],
        ["Majority baseline", *(_number(g.majority_baseline) for g in shown.values())],
    ]
    for key, name in NAMES.items():
        cells = [group.estimates[key] for group in shown.values()]
        if not all(math.isnan(cell.value) for cell in cells):
            rows.append([name, *map(_cell, cells)])
    return rows


def _shown(groups: Mapping[str, Figures]) -> dict[str, Figures]:
    """All groups but a modality's own where it only repeats its one source."""
    sizes = {(_modality(name), group.n) for name, group in groups.items() if "/" in name}
    return {
        name: group for name, group in groups.items() if "/" in name or (name, group.n) not in sizes
    }


def _modality(group: str) -> str:
    return group.split("/")[0]


def _fused_rows(pairs: PairFigures) -> Rows:
    columns = ("MG", "US", "fused")
    rows = [
        ["", *columns],
        ["Pairs, malignant", "", "", f"{pairs.malignant}"],
        ["Pairs, other", "", "", f"{pairs.non_malignant}"],
    ]
    for key, name in FUSED_NAMES.items():
        cells = (pairs.estimates.get(f"{column}.{key}") for column in columns)
        rows.append([name, *("" if cell is None else _cell(cell) for cell in cells)])
    return rows


def _notes(evaluation: Evaluation) -> list[str]:
    model = evaluation.model
    return [
        f"Model {model.name} {model.version} (sha256 {model.sha256[:12]}), {model.runtime}; "
        f"split sha256 {evaluation.split_hash[:12]}. In brackets: {DEFINITIONS['interval']}. "
        f"Positive: {DEFINITIONS['positive']}. Unread: {DEFINITIONS['unread']}. "
        f"Never trained on, reported by itself: {', '.join(sorted(OUTSIDE))}."
    ]


def _cell(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "-"
    return f"{estimate.value:.3f} ({_short(estimate.low)} to {_short(estimate.high)})"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _markdown(rows: Rows) -> list[str]:
    rule = ["---", *("---:" for _ in rows[0][1:])]
    return ["| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:])]


def _rich(rows: Rows) -> Table:
    table = Table()
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if i else "left")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
