"""Tables of a report, from metrics.json: Table I, lesions, pairs.

Table I sets the paper's rows as printed beside ours with n and interval. The paper is Kumar et al.,
ETASR 15(5), 2025, doi 10.48084/etasr.11951. Its figures are its publisher's, so they are not in
this program: type them once into a CSV file with the columns COLUMNS, and they stand in the table
as typed.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mammosono.tools.evaluation.hospital_tables import hospital_tables
from mammosono.tools.evaluation.table import LESION_NAMES, PART_NAMES
from mammosono.tools.report.evaluation_folder import StoredEvaluation, estimate

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

PAIR_NAMES = {
    "tpr": "TPR",
    "tnr": "TNR",
    "bcr": "BCR",
    "youden": "Youden's index",
    "gain_tpr": "TPR that the OR gains",
    "price_tnr": "TNR that it costs",
}


def read_paper(path: Path) -> list[dict[str, str]]:
    """The paper's rows, each by COLUMNS. Raises ValueError if the header differs; OSError."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path.name}: the header must read {','.join(COLUMNS)}")
        return [{name: (row[name] or "").strip() for name in COLUMNS} for row in rows]


class TableCell(NamedTuple):
    """small: what stands below in small print."""

    text: str
    small: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """printed: whether it is the paper's own."""

    name: str
    cells: Sequence[TableCell]
    printed: bool = False


@dataclass(frozen=True, slots=True)
class CellTable:
    """heads: of the names' column too."""

    heads: Sequence[str]
    rows: Sequence[TableRow]


@dataclass(frozen=True, slots=True)
class PairsTable:
    """What the OR gains and costs, and how it is simulated."""

    table: CellTable
    sentences: Sequence[str]


def table_one(
    evaluations: Sequence[StoredEvaluation], paper: Sequence[Mapping[str, str]]
) -> CellTable:
    """paper: rows of `read_paper`."""
    rows = []
    for line in paper:
        texts = ("not given", "not given", *(line[name] or "–" for name in COLUMNS[1:]))
        rows.append(TableRow(line["row"], [TableCell(text) for text in texts], printed=True))
    for evaluation in evaluations:
        rows += _own_rows(evaluation, f"{evaluation.name}: " if len(evaluations) > 1 else "Ours: ")
    return CellTable(["", "n", "Majority baseline", *MEASURES.values()], rows)


def _own_rows(evaluation: StoredEvaluation, prefix: str) -> list[TableRow]:
    rows = []
    for name in evaluation.groups():
        group = evaluation.metrics["groups"][name]
        n = TableCell(f"{group['n']}", f"{group['malignant']} malignant")
        share = group["majority_baseline"]
        baseline = TableCell("–" if share is None else f"{share:.3f}")
        figures = (_figure(group["estimates"][key]) for key in MEASURES)
        rows.append(TableRow(f"{prefix}{name}", [n, baseline, *figures]))
    pairs = evaluation.metrics["pairs"]
    if pairs:
        count = pairs["malignant"] + pairs["non_malignant"]
        n = TableCell(f"{count} pairs", f"{pairs['malignant']} malignant")
        fused = (_figure(pairs["estimates"].get(f"fused.{key}"), "–") for key in MEASURES)
        rows.append(TableRow(f"{prefix}fused, simulated pairs", [n, TableCell("–"), *fused]))
    return rows


def lesion_table(evaluation: StoredEvaluation) -> CellTable:
    """A column a set."""
    groups = _groups(evaluation)
    columns = groups.values()
    rows = [
        TableRow("n, images (cases)", [TableCell(f"{g['n']} ({g['cases']})") for g in columns]),
        TableRow("n, located lesions", [TableCell(f"{g['lesions']}") for g in columns]),
    ]
    for key, name in LESION_NAMES.items():
        figures = [group["estimates"][key] for group in columns]
        if any(figure["value"] is not None for figure in figures):
            rows.append(TableRow(name, [_figure(figure) for figure in figures]))
    return CellTable(["", *groups], rows)


def hospital_sections(evaluation: StoredEvaluation) -> list[tuple[str, CellTable, str]]:
    """The tables by hospital: title, table, note. An interval stands in small print."""
    return [
        (table.title, CellTable(table.rows[0], [_row(row) for row in table.rows[1:]]), table.note)
        for table in hospital_tables(evaluation.metrics)
    ]


def _row(row: Sequence[str]) -> TableRow:
    return TableRow(row[0], [_split(text) for text in row[1:]])


def _split(text: str) -> TableCell:
    value, _, rest = text.partition(" (")
    interval, _, more = rest.partition(")")
    return TableCell(f"{value}{more}", interval) if " to " in interval else TableCell(text)


def part_table(evaluation: StoredEvaluation) -> CellTable:
    """A row a size class or label of a set."""
    rows = []
    for group, figures in _groups(evaluation).items():
        for name, part in figures["parts"].items():
            n = (TableCell(f"{part[key]}") for key in ("lesions", "images"))
            cells = (_figure(part["estimates"][key]) for key in PART_NAMES)
            rows.append(TableRow(f"{group}, {name}", [*n, *cells]))
    return CellTable(["", "n, lesions", "n, images", *PART_NAMES.values()], rows)


def pairs_of(evaluation: StoredEvaluation) -> PairsTable | None:
    """None if there are no pairs."""
    pairs = evaluation.metrics["pairs"]
    if not pairs:
        return None
    columns = ("MG", "US", "fused")
    n = f"n = {pairs['malignant']} malignant and {pairs['non_malignant']} other pairs"
    rows = [
        TableRow(name, [_figure(pairs["estimates"].get(f"{column}.{key}")) for column in columns])
        for key, name in PAIR_NAMES.items()
    ]
    sentences = [pairs["protocol"], f"Drawn: {pairs['drawn_protocol']}."]
    sentences += [
        f"{d['pairs']} {name.replace('_', '-')}: both right {d['both']}, mammogram alone "
        f"{d['mg_only']}, ultrasound alone {d['us_only']}, neither {d['neither']}; fused right "
        f"{d['fused']}."
        for name, d in pairs["drawn"].items()
    ]
    return PairsTable(CellTable([n, *columns], rows), sentences)


def _figure(plain: Mapping[str, Any] | None, absent: str = "") -> TableCell:
    """Value, and its interval in small print; `absent` where there is no such figure."""
    if plain is None:
        return TableCell(absent)
    figure = estimate(plain)
    if math.isnan(figure.value):
        return TableCell("–")
    return TableCell(f"{figure.value:.3f}", f"{figure.low:.2f} to {figure.high:.2f}")


def _groups(evaluation: StoredEvaluation) -> dict[str, dict[str, Any]]:
    figures = evaluation.metrics["found"]["groups"]
    return {name: figures[name] for name in evaluation.groups() if name in figures}
