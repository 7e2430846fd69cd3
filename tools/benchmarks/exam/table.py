"""An exam's figures as tables and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType

from mammosono.tools import tables
from mammosono.tools.benchmarks.exam.files import Encoding
from mammosono.tools.benchmarks.exam.measure import Agreement, EncodingFigures, ExamBench, Side

SCHEMA = 1
MOST_RATIO = {Encoding.UNCOMPRESSED: 1 / 3, Encoding.JPEG_2000: 1 / 2}
"""Processor seconds of an exam beside version 1.3.0's."""
MOST_PEAK = 1.5
"""Of the reader's memory above its idle, in pixels of a film."""

_WHAT = (
    "Seconds of processor an exam, medians: from the order to the document, and to the pictures "
    "where a version draws them with each reading. Looking: all pictures, where they are drawn "
    "when somebody looks; no part of the exam. Peak: memory until the document, in the pixels of "
    "one film, above the process as its first exam left it. Ratio: document and pictures over the "
    "other's, median of the rounds' own."
)


def as_dict(bench: ExamBench) -> dict[str, Any]:
    """Plain values for JSON with stable keys."""
    plain: dict[str, Any] = {"schema": SCHEMA, **tables.plain(bench)}
    plain["encodings"] = [
        {**tables.plain(each), "encoding": each.encoding.title} for each in bench.encodings
    ]
    return plain


def as_rich(bench: ExamBench) -> RenderableType:
    machine = bench.machine
    head = (
        f"{bench.day}, {machine.processor}, {machine.cores} cores. An exam of {bench.images} "
        f"images, films of {bench.film[0]} x {bench.film[1]} px; both with bundle {bench.bundle}; "
        f"medians of {bench.runs}."
    )
    busy = [f"! The machine was busy (load {machine.load:.1f} before the start)."]
    notes = [line for each in bench.encodings for line in _floors(each)]
    return Group(
        head, *(busy if machine.busy else []), tables.terminal(_rows(bench), "An exam", labels=2),
        _WHAT, tables.terminal(_agreements(bench), "The same pixels", labels=2),
        tables.terminal(_board(bench), "Predicted on a Jetson Nano", labels=1), *notes,
    )  # fmt: skip


def _rows(bench: ExamBench) -> tables.Rows:
    rows = [["files", "by", "MB", "document s", "pictures s", "looking s", "peak", "ratio"]]
    for each in bench.encodings:
        ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
        rows.append(
            [each.encoding.title, "this", f"{each.megabytes:.0f}", *_side(each.ours), ratio]
        )
        if each.theirs is not None:
            rows.append(["", "other", "", *_side(each.theirs), ""])
    return rows


def _side(side: Side) -> list[str]:
    times = (side.seconds, side.drawing, side.looking)
    return [*(f"{seconds:.2f}" if seconds else "" for seconds in times), f"{side.peak:.2f}"]


def _agreements(bench: ExamBench) -> tables.Rows:
    rows = [["files", "beside", "verdicts", "findings", "masks px", "scores", "pictures"]]
    for each in bench.encodings:
        beside = {"the other version": each.same, "uncompressed": each.whole}
        rows += [
            [each.encoding.title, name, *_agreement(found)]
            for name, found in beside.items()
            if found is not None
        ]
    return rows


def _agreement(found: Agreement) -> list[str]:
    same = {True: "same", False: "DIFFER", None: ""}
    return [
        same[found.verdicts], same[found.findings], str(found.masks), f"{found.scores:.4f}",
        same[found.pictures],
    ]  # fmt: skip


def _board(bench: ExamBench) -> tables.Rows:
    rows = [["files", "intake here, s", "at best, s", "planned, s", "at worst, s"]]
    for title, span in bench.board.items():
        seconds = (bench.intake[title], span.low, span.plan, span.high)
        rows.append([title, *(f"{each:.1f}" for each in seconds)])
    return rows


def _floors(each: EncodingFigures) -> list[str]:
    lines = []
    most = MOST_RATIO.get(each.encoding)
    if most is not None and each.ratio is not None:
        met = "met" if each.ratio <= most else "NOT met"
        lines.append(f"{each.encoding.title}, at most {most:.2f} of the other's seconds: {met}.")
    met = "met" if each.ours.peak <= MOST_PEAK else "NOT met"
    lines.append(f"{each.encoding.title}, a peak of at most {MOST_PEAK} films: {met}.")
    return lines
