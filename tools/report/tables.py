"""Rows about lesions and pairs, from metrics.json; cells are HTML."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from mammosono.tools.evaluation.table import LESION_NAMES, PART_NAMES
from mammosono.tools.report.judged import Judged, estimate
from mammosono.tools.report.table_one import cell
from mammosono.tools.tables import Rows


def found_table(judged: Judged) -> Rows:
    """A column a set."""
    groups = _groups(judged)
    rows: Rows = [
        ["", *groups],
        ["n, images (cases)", *(f"{g['n']} ({g['cases']})" for g in groups.values())],
        ["n, located lesions", *(f"{g['lesions']}" for g in groups.values())],
    ]
    for key, name in LESION_NAMES.items():
        found = [estimate(group["estimates"][key]) for group in groups.values()]
        if not all(math.isnan(each.value) for each in found):
            rows.append([name, *map(cell, found)])
    return rows


def part_table(judged: Judged) -> Rows:
    """A row a size class or label of a set."""
    rows: Rows = [["", "n, lesions", "n, images", *PART_NAMES.values()]]
    for group, found in _groups(judged).items():
        for name, part in found["parts"].items():
            cells = (cell(estimate(part["estimates"][key])) for key in PART_NAMES)
            rows.append([f"{group}, {name}", str(part["lesions"]), str(part["images"]), *cells])
    return rows


def pairs_table(judged: Judged) -> list[str]:
    """What the OR gains and costs, and how it is simulated."""
    pairs = judged.metrics["pairs"]
    columns = ("MG", "US", "fused")
    n = f"n = {pairs['malignant']} malignant and {pairs['non_malignant']} other pairs"
    rows = [f"<tr><th>{n}</th>{''.join(f'<th>{c}</th>' for c in columns)}</tr>"]
    for key, name in (
        ("tpr", "TPR"),
        ("tnr", "TNR"),
        ("bcr", "BCR"),
        ("youden", "Youden's index"),
        ("gain_tpr", "TPR that the OR gains"),
        ("price_tnr", "TNR that it costs"),
    ):
        cells = (pairs["estimates"].get(f"{column}.{key}") for column in columns)
        shown = "".join(f"<td>{'' if c is None else cell(estimate(c))}</td>" for c in cells)
        rows.append(f"<tr><th>{name}</th>{shown}</tr>")
    said = [pairs["protocol"], f"Drawn: {pairs['drawn_protocol']}."]
    said += [
        f"{d['pairs']} {name.replace('_', '-')}: both right {d['both']}, mammogram alone "
        f"{d['mg_only']}, ultrasound alone {d['us_only']}, neither {d['neither']}; fused right "
        f"{d['fused']}."
        for name, d in pairs["drawn"].items()
    ]
    return ["<table>" + "\n".join(rows) + "</table>", f"<p>{escape(' '.join(said))}</p>"]


def _groups(judged: Judged) -> dict[str, dict[str, Any]]:
    found = judged.metrics["found"]["groups"]
    return {name: found[name] for name in judged.groups() if name in found}
