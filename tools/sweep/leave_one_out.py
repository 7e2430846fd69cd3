"""Leave one hospital out: what was trained on some hospitals, judged on every one.

Rows are runs or bundles, columns are hospitals; a cell of a hospital that the row was trained on is
marked, the others say what a hospital that it has never seen gets. Read by the device's own reader.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mammosono.appliance.pipeline.reader import Reader
from mammosono.engines.bundle import MANIFEST, open_bundle
from mammosono.tools.data.index import Record
from mammosono.tools.evaluation.bootstrap import Estimate
from mammosono.tools.evaluation.evaluate import THREADS, Terms, evaluate
from mammosono.tools.evaluation.roles import Roles, roles_of
from mammosono.tools.evaluation.table import cell
from mammosono.tools.export.run_model import open_run
from mammosono.tools.progress import OnPhase
from mammosono.tools.tables import Rows, markdown

FIGURES = {"auc": "AUC", "dice_mean": "Dice"}
NOTE = (
    "A column a hospital, with its images, cases and malignant images. *: the row learned from "
    "other images of this hospital; without, it has seen none. In brackets: 95 %, bootstrap of "
    "whole cases. Of a run nothing is calibrated: its image score is the mean of the whole image's "
    "and the most malignant region's."
)


@dataclass(frozen=True, slots=True)
class Crossing:
    """One hospital ("US/NAME") read by one network; trained: whether it learned from it."""

    row: str
    group: str
    trained: bool
    n: int
    cases: int
    malignant: int
    estimates: Mapping[str, Estimate]


def leave_one_out(
    rows: Mapping[str, Path],
    records: Sequence[Record],
    out: Path,
    *,
    class_free: Collection[str] = (),
    denoiser: Path | None = None,
    progress: OnPhase = lambda what, done, total: None,
) -> list[Crossing]:
    """Judge every run or bundle (a folder, by the row's name) on all records that it reads.

    Writes leave_one_out.csv and table.md into `out`, anew after each row. class_free: sources that
    are judged by lesions alone. denoiser: of the runs, see open_run. Raises BadRun,
    ModelUnavailable, BundleError, OSError and what `evaluate` raises.
    """
    out.mkdir(parents=True, exist_ok=True)
    found: list[Crossing] = []
    for name, folder in rows.items():
        reader, roles = _opened(folder, denoiser)
        roles = Roles(roles.trained, roles.class_free | frozenset(class_free))
        with reader:
            read = reader.model.operating_points
            own = [record for record in records if record.modality.value in read]
            judged = evaluate(reader, own, progress=partial(progress, name), terms=Terms(roles))
        found += [
            Crossing(
                name, group, not roles.outside(group.split("/", 1)[1]),
                figures.n, figures.cases, figures.malignant, figures.estimates,
            )
            for group, figures in judged.groups.items()
            if "/" in group
        ]  # fmt: skip
        write(found, out)
    return found


def _opened(folder: Path, denoiser: Path | None) -> tuple[Reader, Roles]:
    if (folder / MANIFEST).exists():
        return Reader.open(folder), roles_of(open_bundle(folder).manifest)
    run = open_run(folder, denoiser)
    return Reader(run.engine, run.model, THREADS, run.remove), run.roles


def table(crossings: Sequence[Crossing]) -> Rows:
    """Two lines a row: AUC and Dice; a dash where a network does not read that hospital."""
    columns: dict[str, Crossing] = {}
    for each in crossings:
        columns.setdefault(each.group, each)
    by_place = {(each.row, each.group): each for each in crossings}
    heads = [f"{g}, {c.n} ({c.cases}), {c.malignant} malignant" for g, c in sorted(columns.items())]
    rows = [["Trained on", "", *heads]]
    for name in dict.fromkeys(each.row for each in crossings):
        for key, figure in FIGURES.items():
            cells = [_shown(by_place.get((name, group)), key) for group in sorted(columns)]
            rows.append([name, figure, *cells])
    return rows


def _shown(crossing: Crossing | None, key: str) -> str:
    if crossing is None:
        return "-"
    shown = cell(crossing.estimates[key])
    return f"{shown} *" if crossing.trained and shown != "-" else shown


def write(crossings: Sequence[Crossing], out: Path) -> None:
    """leave_one_out.csv and table.md."""
    rows = table(crossings)
    with (out / "leave_one_out.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    text = "\n".join([*markdown(rows, labels=2), "", NOTE])
    (out / "table.md").write_text(text + "\n", encoding="utf-8")
