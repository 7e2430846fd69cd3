"""Tables of an evaluation for people, and the same figures for machines (JSON)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from rich.console import Group, RenderableType

from mammosono.tools.evaluation.bootstrap import DRAWS, LEVEL, SEED, Estimate
from mammosono.tools.evaluation.detection_metrics import LESION_DEFINITIONS, LesionFigures
from mammosono.tools.evaluation.evaluate import Evaluation
from mammosono.tools.evaluation.figures import DEFINITIONS, GroupFigures
from mammosono.tools.evaluation.hospital_tables import hospital_tables, shown_groups
from mammosono.tools.evaluation.pairs import DRAWN, PAIRS, PROTOCOL, PairFigures
from mammosono.tools.evaluation.promises import PROMISE_DEFINITIONS
from mammosono.tools.tables import Rows, markdown, plain, terminal

LESION_NAMES = {
    "sensitivity": "Lesions found as the device reports",
    "false_positives": "False positives an image, as reported",
    "froc_0.25": "FROC, at 0.25 false positives an image",
    "froc_0.5": "FROC, at 0.5",
    "froc_1": "FROC, at 1",
    "froc_2": "FROC, at 2",
    "froc_reported": "FROC, at as many false positives as reported",
    "froc_lost": "Lost by what is reported",
    "box_ap50": "Box AP50",
    "box_ap": "Box AP50:95",
    "mask_ap50": "Mask AP50",
    "mask_ap": "Mask AP50:95",
}
PART_NAMES = {
    "sensitivity": "Found as reported",
    "froc_1": "FROC, at 1 false positive an image",
    "dice": "Dice, mean over images",
}
SCHEMA = 2
AnyFigures = TypeVar("AnyFigures", GroupFigures, LesionFigures)
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
    "average_precision": "Average precision, malignant",
    "ece": "ECE of the image score",
    "ece_equal_mass": "ECE in bins of equally many images",
    "brier": "Brier score",
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


def cell(estimate: Estimate) -> str:
    """Value and interval, as 0.714 (0.60 to 0.82); "-" where undefined."""
    if math.isnan(estimate.value):
        return "-"
    return f"{estimate.value:.3f} ({_short(estimate.low)} to {_short(estimate.high)})"


def number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def lesion_rows(groups: Mapping[str, LesionFigures]) -> Rows:
    """A column a group."""
    rows = [
        ["", *groups],
        ["Images (cases)", *(f"{g.n} ({g.cases})" for g in groups.values())],
        ["Located lesions", *(f"{g.lesions}" for g in groups.values())],
    ]
    for key, name in LESION_NAMES.items():
        cells = [group.estimates[key] for group in groups.values()]
        if not all(math.isnan(each.value) for each in cells):
            rows.append([name, *map(cell, cells)])
    return rows


def part_rows(groups: Mapping[str, LesionFigures]) -> Rows:
    """A row a size class or label of a group."""
    rows = [["", "Lesions", "Images", *PART_NAMES.values()]]
    for group, figures in groups.items():
        for name, part in figures.parts.items():
            cells = (cell(part.estimates[key]) for key in PART_NAMES)
            rows.append([f"{group}, {name}", f"{part.lesions}", f"{part.images}", *cells])
    return rows


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Plain values for JSON with stable keys; undefined figures are None."""
    model, pairs = evaluation.model, evaluation.pairs
    whole = {
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
            "split_kept": evaluation.split_kept,
            "outside": outside(evaluation),
            "class_free": class_free(evaluation),
            "denoising": evaluation.denoising,
        },
        "bootstrap": {"draws": DRAWS, "level": LEVEL, "seed": SEED, "unit": "patient_or_case"},
        "definitions": DEFINITIONS,
        "groups": {name: asdict(group) for name, group in evaluation.groups.items()},
        "pairs": None
        if pairs is None
        else {"protocol": PROTOCOL, "drawn_protocol": DRAWN, "draws": PAIRS, **asdict(pairs)},
        "found": {
            "definitions": LESION_DEFINITIONS,
            "groups": {name: asdict(group) for name, group in evaluation.lesions.items()},
        },
        "source_pairs": {name: asdict(each) for name, each in evaluation.source_pairs.items()},
        "promises": [asdict(row) for row in evaluation.kept],
        "promise_definitions": PROMISE_DEFINITIONS,
    }
    out: dict[str, Any] = plain(whole)
    return out


def outside(evaluation: Evaluation) -> list[str]:
    """The judged sources that were never trained on."""
    return sorted(filter(evaluation.roles.outside, _sources(evaluation)))


def class_free(evaluation: Evaluation) -> list[str]:
    """The judged sources of which only lesions are judged."""
    return sorted(evaluation.roles.class_free & _sources(evaluation))


def _sources(evaluation: Evaluation) -> set[str]:
    return {o.record.source for o in evaluation.outcomes}


def as_markdown(evaluation: Evaluation) -> str:
    """The tables for the model card, with what one needs to read them."""
    lines = [*_warnings(evaluation), *markdown(_figure_rows(evaluation)), ""]
    if evaluation.pairs is not None:
        lines += [*markdown(_fused_rows(evaluation.pairs)), "", PROTOCOL, ""]
        lines += [*_drawn_lines(evaluation.pairs), ""]
    if evaluation.lesions:
        groups = shown(evaluation.lesions)
        lines += [*markdown(lesion_rows(groups)), "", *markdown(part_rows(groups)), ""]
        lines += [_lesion_note(), ""]
    for table in hospital_tables(as_dict(evaluation)):
        lines += [f"**{table.title}**", "", *markdown(table.rows, labels=table.labels), ""]
        lines += [table.note, ""] if table.note else []
    lines += _notes(evaluation)
    return "\n".join(lines) + "\n"


def as_rich(evaluation: Evaluation) -> RenderableType:
    """The same tables for the terminal."""
    tables: list[RenderableType] = [*_warnings(evaluation), terminal(_figure_rows(evaluation))]
    if evaluation.pairs is not None:
        tables += [terminal(_fused_rows(evaluation.pairs)), PROTOCOL]
        tables += _drawn_lines(evaluation.pairs)
    if evaluation.lesions:
        groups = shown(evaluation.lesions)
        tables += [terminal(lesion_rows(groups)), terminal(part_rows(groups)), _lesion_note()]
    for table in hospital_tables(as_dict(evaluation)):
        tables.append(terminal(table.rows, table.title, labels=table.labels, note=table.note))
    return Group(*tables)


def _warnings(evaluation: Evaluation) -> list[str]:
    if evaluation.split_kept is not False:
        return []
    return [
        "! This index divides the model's training sources otherwise than its training did: "
        "images judged here may have trained it, and the figures flatter. Judge with the index "
        "that it was trained with.",
        "",
    ]


def _figure_rows(evaluation: Evaluation) -> Rows:
    columns = shown(evaluation.groups)
    points = evaluation.model.operating_points
    rows = [
        ["", *columns],
        ["Images (cases)", *(f"{g.n} ({g.cases})" for g in columns.values())],
        ["Malignant", *(f"{g.malignant}" for g in columns.values())],
        ["Not read", *(f"{g.unread}" for g in columns.values())],
        ["Operating point", *(number(points.get(_modality(name), math.nan)) for name in columns)],
        ["Prevalence", *(number(g.prevalence) for g in columns.values())],
        ["Majority baseline", *(number(g.majority_baseline) for g in columns.values())],
    ]
    for key, name in NAMES.items():
        cells = [group.estimates[key] for group in columns.values()]
        if not all(math.isnan(each.value) for each in cells):
            rows.append([name, *map(cell, cells)])
        if key == "ece":
            floors = (number(g.ece_if_calibrated) for g in columns.values())
            rows.append(["ECE that these scores would have were they right", *floors])
    return rows


def shown(groups: Mapping[str, AnyFigures]) -> dict[str, AnyFigures]:
    """All groups but a modality's own where it only repeats its one source."""
    names = shown_groups({name: group.n for name, group in groups.items()})
    return {name: groups[name] for name in names}


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
        rows.append([name, *("" if each is None else cell(each) for each in cells)])
    return rows


def _drawn_lines(pairs: PairFigures) -> list[str]:
    """What drawn pairs show, in one paragraph; none if nothing could be drawn."""
    if not pairs.drawn:
        return []
    counts = [
        f"{d.pairs} {name.replace('_', '-')}: both right {d.both}, mammogram alone {d.mg_only}, "
        f"ultrasound alone {d.us_only}, neither {d.neither}; fused right {d.fused}"
        for name, d in pairs.drawn.items()
    ]
    return [f"Drawn: {DRAWN}. {'. '.join(counts)}."]


def _lesion_note() -> str:
    d = LESION_DEFINITIONS
    return (
        f"Lesions: {d['hit']}. A false positive is {d['false_positive']}. FROC: {d['froc']}. "
        f"AP: {d['ap']}. Size: {d['size']}. Left out: {d['left_out']}."
    )


def _notes(evaluation: Evaluation) -> list[str]:
    model = evaluation.model
    note = (
        f"Model {model.name} {model.version} (sha256 {model.sha256[:12]}), {model.runtime}; "
        f"denoising {evaluation.denoising}; split sha256 "
        f"{evaluation.split_hash[:12]}. In brackets: {DEFINITIONS['interval']}. "
        f"Positive: {DEFINITIONS['positive']}. Unread: {DEFINITIONS['unread']}."
    )
    for words, sources in (
        ("Never trained on, reported by itself", outside(evaluation)),
        ("Of lesions alone, not of their kind", class_free(evaluation)),
    ):
        note += f" {words}: {', '.join(sources)}." if sources else ""
    return [note]
