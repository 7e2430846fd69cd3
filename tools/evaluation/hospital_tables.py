"""Tables by hospital, from the figures as metrics.json holds them: for the terminal, Markdown, CSV
and the report.

One row a source, the pooled figure of a modality first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mammosono.tools.tables import Rows

Metrics = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HospitalTable:
    """name: of its CSV file. labels: how many columns hold words. note: what must be known."""

    name: str
    title: str
    rows: Rows
    labels: int = 1
    note: str = ""


def hospital_tables(metrics: Metrics) -> list[HospitalTable]:
    """Those that there is anything to put into."""
    each = [_hospitals(metrics), _reported(metrics), _promised(metrics)]
    each += [_calibration(metrics), _reliability(metrics), *_pairs(metrics)]
    return [table for table in each if len(table.rows) > 1]


def shown_groups(sizes: Mapping[str, int]) -> list[str]:
    """Names of groups, without a modality's own where it only repeats its one source."""
    alone = {(name.split("/")[0], n) for name, n in sizes.items() if "/" in name}
    return [name for name, n in sizes.items() if "/" in name or (name, n) not in alone]


def _groups(metrics: Metrics) -> dict[str, Mapping[str, Any]]:
    groups = metrics["groups"]
    shown = shown_groups({name: group["n"] for name, group in groups.items()})
    return {name: groups[name] for name in shown}


def _hospitals(metrics: Metrics) -> HospitalTable:
    names = {"auc": "AUC", "tpr": "TPR", "tnr": "TNR", "dice_mean": "Dice"}
    rows = [["", "Role", "Images (cases)", "Malignant", *names.values()]]
    for name, group in _groups(metrics).items():
        cells = (_cell(group["estimates"][key]) for key in names)
        counts = [f"{group['n']} ({group['cases']})", f"{group['malignant']}"]
        rows.append([name, _role(metrics, name), *counts, *cells])
    return HospitalTable("hospitals", "By hospital", rows, labels=2)


def _role(metrics: Metrics, group: str) -> str:
    _, _, source = group.partition("/")
    if not source:
        return "pooled"
    data = metrics["data"]
    words = ["outside"] if source in data["outside"] else []
    words += ["lesions only"] if source in data.get("class_free", ()) else []
    return ", ".join(words) or "trained"


def _reported(metrics: Metrics) -> HospitalTable:
    names = {
        "sensitivity": "Found as reported",
        "false_positives": "False positives an image",
        "froc_reported": "FROC at as many",
        "froc_lost": "Lost",
        "froc_1": "FROC at 1",
    }
    rows = [["", "Lesions", *names.values()]]
    found = metrics["found"]["groups"]
    for name in _groups(metrics):
        if name in found and "froc_reported" in found[name]["estimates"]:
            cells = (_cell(found[name]["estimates"][key]) for key in names)
            rows.append([name, f"{found[name]['lesions']}", *cells])
    return HospitalTable("reported_lesions", "Lesions, reported and searched for", rows)


def _promised(metrics: Metrics) -> HospitalTable:
    rows = [["Operating point", "Judged on", "n (cases)", "Promised", "Kept", ""]]
    repeated = set(metrics["groups"]) - set(_groups(metrics))
    for row in metrics.get("promises", ()):
        if row["group"] in repeated:
            continue
        promise = row["promise"]
        of = f", n = {promise['n']}" if promise["n"] else ""
        rows.append([
            f"{promise['point']} {promise['rate'].upper()}",
            row["group"],
            f"{row['n']} ({row['cases']})" if row["cases"] else f"{row['n']}",
            _cell(promise) + of,
            _cell(row),
            _verdict(row),
        ])  # fmt: skip
    note = (
        "Failed: the promised rate lies outside the 95 % interval of the kept one. Promised: what "
        "was reached where the point was chosen, Wilson's interval. Kept: bootstrap over cases; of "
        "a rate of 0 or 1 Wilson's, over cases."
    )
    return HospitalTable("promised", "Promised and kept", rows, labels=2, note=note)


def _verdict(row: Mapping[str, Any]) -> str:
    if row["held"] is None:
        return ""
    if row["held"]:
        return "kept"
    return f"FAILED, {'less' if row['value'] < row['promise']['value'] else 'more'}"


def _calibration(metrics: Metrics) -> HospitalTable:
    rows = [[
        "", "Images", "Mean score", "Share malignant", "ECE, equal mass", "were it right",
        "Brier",
    ]]  # fmt: skip
    for name, group in _groups(metrics).items():
        estimates = group["estimates"]
        if group["prevalence"] is not None and "brier" in estimates:
            rows.append([
                name,
                f"{group['n'] - group['unread']}",
                _number(group["mean_score"]),
                _number(group["prevalence"]),
                _cell(estimates["ece_equal_mass"]),
                _number(group["ece_equal_mass_if_calibrated"]),
                _cell(estimates["brier"]),
            ])  # fmt: skip
    return HospitalTable(
        "calibration",
        "Calibration of the image score, read as the probability of a malignant lesion",
        rows,
    )


def _reliability(metrics: Metrics) -> HospitalTable:
    """A row a hospital, its images in ten parts of equal size by score."""
    rows = [["", *(f"{k}" for k in range(1, 11))]]
    for name, group in _groups(metrics).items():
        bins = group.get("reliability", ())
        cells = [f"{b['score']:.2f}: {b['malignant']:.2f} ({b['n']})" for b in bins]
        if cells:
            rows.append([name, *cells, *[""] * (10 - len(cells))])
    note = "Ten parts of equally many images, by score. Each: mean score, share malignant, images."
    return HospitalTable("reliability", "Reliability", rows, note=note)


def _pairs(metrics: Metrics) -> list[HospitalTable]:
    rows = [["Mammograms and ultrasounds of", "Pairs, malignant", "other", "TPR, fused",
             "TNR, fused", "TPR, MG", "TNR, MG", "TPR, US", "TNR, US"]]  # fmt: skip
    keys = [f"{who}.{rate}" for who in ("fused", "MG", "US") for rate in ("tpr", "tnr")]
    for name, pairs in metrics.get("source_pairs", {}).items():
        counts = [f"{pairs['malignant']}", f"{pairs['non_malignant']}"]
        rows.append([name, *counts, *(_cell(pairs["estimates"][key]) for key in keys)])
    note = "Simulated pairs of two hospitals, at the bundle's operating points."
    return [HospitalTable("source_pairs", "Both tests, of two hospitals", rows, note=note)]


def _cell(estimate: Mapping[str, Any]) -> str:
    """As 0.714 (0.60 to 0.82); "-" where undefined, no brackets without an interval."""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None:
        return "-"
    return f"{value:.3f}" + ("" if low is None else f" ({low:.2f} to {high:.2f})")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
