"""Table I: the paper's rows as printed, and ours with n and interval.

The paper is Kumar et al., ETASR 15(5), 2025, doi 10.48084/etasr.11951. Its figures are its
publisher's, so they are not in this program: type them once into a CSV file with the columns
COLUMNS, and they stand in the table as typed.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from mammosono.tools.evaluation.bootstrap import Estimate
from mammosono.tools.report.judged import Judged, estimate

MEASURES = {
    "accuracy": "Accuracy",
    "precision": "Precision",
    "tpr": "TPR",
    "tnr": "TNR",
    "f_score": "F-score",
    "bcr": "BCR",
    "youden": "Youden",
    "jaccard_mean": "Jaccard",
    "dice_mean": "Dice",
}
"""The paper's nine, by our keys."""
COLUMNS = ("row", *(name.removesuffix("_mean") for name in MEASURES))

COMPARABLE = (
    "Comparable: the definitions of the nine measures. Not comparable: the images. The paper's "
    "rows are of other images under a split of its own, and are what was printed there; how "
    "many images stand behind each, with what interval, and whether images of one woman or "
    "near-duplicates are on both sides of that split, is not known here. Accuracy, precision "
    "and F-score depend on the share of malignant images: compare them with the majority "
    "baseline of their own row only. The fused row is of simulated pairs, ours without "
    "accuracy, precision and F-score, which would be those of an invented prevalence."
)


def read_paper(path: Path) -> list[dict[str, str]]:
    """The paper's rows, each by COLUMNS. Raises ValueError if the header differs; OSError."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path.name}: the header must read {','.join(COLUMNS)}")
        return [{name: (row[name] or "").strip() for name in COLUMNS} for row in rows]


def table_one(evaluations: Sequence[Judged], paper: Sequence[Mapping[str, str]]) -> str:
    """The table's HTML."""
    heads = ("", "n", "Majority baseline", *MEASURES.values())
    lines = ["<table>", "<tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"]
    for row in paper:
        cells = (row["row"], "not given", "not given", *(row[name] or "–" for name in COLUMNS[1:]))
        lines.append(_row([escape(cell) for cell in cells], "paper"))
    for judged in evaluations:
        lines += [_row(cells, "") for cells in _ours(judged, len(evaluations) > 1)]
    return "\n".join([*lines, "</table>"])


def cell(found: Estimate) -> str:
    """Value, and its interval below in small print."""
    if found.value != found.value:
        return "–"
    return f"{found.value:.3f}<small>{found.low:.2f} to {found.high:.2f}</small>"


def _ours(judged: Judged, several: bool) -> list[list[str]]:
    who = f"{escape(judged.name)}: " if several else "Ours: "
    out = []
    for name in judged.groups():
        group = judged.metrics["groups"][name]
        figures = [cell(estimate(group["estimates"][key])) for key in MEASURES]
        baseline = f"{group['majority_baseline']:.3f}"
        n = f"{group['n']}<small>{group['malignant']} malignant</small>"
        out.append([f"{who}{escape(name)}", n, baseline, *figures])
    pairs = judged.metrics["pairs"]
    if pairs:
        out.append([f"{who}fused, simulated pairs", _pairs(pairs), "–", *_fused(pairs)])
    return out


def _fused(pairs: Mapping[str, Any]) -> list[str]:
    known = ("tpr", "tnr", "bcr", "youden")
    return [
        cell(estimate(pairs["estimates"][f"fused.{key}"])) if key in known else "–"
        for key in MEASURES
    ]


def _pairs(pairs: Mapping[str, Any]) -> str:
    both = pairs["malignant"] + pairs["non_malignant"]
    return f"{both} pairs<small>{pairs['malignant']} malignant</small>"


def _row(cells: Sequence[str], kind: str) -> str:
    head, *rest = cells
    body = "".join(f"<td>{each}</td>" for each in rest)
    return f'<tr class="{kind}"><th>{head}</th>{body}</tr>'
