"""Folders and files in, a report out."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from mammosono.tools.data.index import read_index
from mammosono.tools.report.judged import read_judged
from mammosono.tools.report.page import Sources, html
from mammosono.tools.report.table_one import read_paper


def make_report(
    evaluations: Sequence[Path],
    out: Path,
    *,
    index: Path | None = None,
    runs: Sequence[Path] = (),
    paper: Path | None = None,
) -> None:
    """Write the report of evaluation folders to the file `out`.

    index: without it the report has no pictures. Raises BadEvaluation, BadIndex, ValueError if a
    run has no curves, the paper's rows are malformed or the index lacks an evaluated image;
    OSError.
    """
    judged = [read_judged(folder) for folder in evaluations]
    records = {record.name: record for record in read_index(index)} if index else {}
    lacking = {image.name for each in judged for image in each.images} - set(records)
    if index and lacking:
        raise ValueError(f"the index lacks {len(lacking)} of the images; give the evaluation's own")
    sources = Sources(
        judged,
        read_paper(paper) if paper else [],
        {run.resolve().name: _epochs(run) for run in runs},
        records,
    )
    text = html(sources)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")


def _epochs(run: Path) -> list[dict[str, str]]:
    with (run / "curves.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{run.name}: its curves.csv has no epoch yet")
    return rows
