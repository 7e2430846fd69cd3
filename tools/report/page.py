"""Page of a report: one HTML file that loads nothing, for the screen and for A4; its PDF.

templates/report.html holds the words and the looks; everything put into it is escaped.
"""

from __future__ import annotations

import csv
import math
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from mammosono.appliance.errors import IntakeError
from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.values import Modality
from mammosono.tools.data.index import Record, read_index
from mammosono.tools.report import plots
from mammosono.tools.report.caveats import caveats
from mammosono.tools.report.evaluation_folder import ImageRow, StoredEvaluation, read_evaluation
from mammosono.tools.report.pictures import (
    Choice,
    false_alarms,
    missed_lesions,
    misses,
    spread,
    tiles,
)
from mammosono.tools.report.tables import (
    COMPARABLE,
    CellTable,
    PairsTable,
    hospital_sections,
    lesion_table,
    pairs_of,
    part_table,
    read_paper,
    table_one,
)

TEMPLATES = Path(__file__).parent / "templates"
SPREAD, WORST = 6, 3
PARTS = ("picture", "truth", "detection")
PAPER_FIGURES = {Modality.MG: "6", Modality.US: "7"}
Rank = Callable[[Sequence[ImageRow], int], Choice]
RANKS: tuple[tuple[str, Rank], ...] = (
    ("positive without a malignant lesion, the highest score first", false_alarms),
    ("malignant and not positive, the lowest score first", misses),
    ("with lesions of which nothing was outlined, the largest first", missed_lesions),
)

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Run:
    """plots: SVG of accuracy and of losses by epoch."""

    name: str
    epochs: int
    plots: tuple[str, str]


@dataclass(frozen=True, slots=True)
class ExampleTiles:
    """tiles: JPEGs by what they show; none, and why, if the image cannot be read."""

    tiles: Mapping[str, bytes]
    error: str
    words: str


@dataclass(frozen=True, slots=True)
class ExampleFigure:
    """of: how many images these were chosen from."""

    title: str
    examples: Sequence[ExampleTiles]
    of: int
    paper_figure: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One evaluation. hospitals: title, table and note of each. roc, pr, froc, reliability: SVG;
    spread, worst: empty without an index."""

    name: str
    images: int
    roc: str
    pr: str
    froc: str
    reliability: str
    hospitals: Sequence[tuple[str, CellTable, str]]
    lesions: CellTable
    parts: CellTable
    pairs: PairsTable | None
    spread: Sequence[ExampleFigure]
    worst: Sequence[ExampleFigure]


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
    stored = [read_evaluation(folder) for folder in evaluations]
    records = {record.name: record for record in read_index(index)} if index else {}
    lacking = {image.name for each in stored for image in each.images} - set(records)
    if index and lacking:
        raise ValueError(f"the index lacks {len(lacking)} of the images; give the evaluation's own")
    printed = read_paper(paper) if paper else []
    text = _template().render(
        number=count(1).__next__,
        evaluations=stored,
        table_one=table_one(stored, printed),
        paper=printed,
        comparable=COMPARABLE,
        runs=[_run(run) for run in runs],
        sections=[_section(each, records) for each in stored],
        pictures=bool(records),
        caveats=caveats(image.source for each in stored for image in each.images),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["data_uri"] = _data_uri
    return environment.get_template("report.html")


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64," + b64encode(data).decode("ascii")


def _run(folder: Path) -> Run:
    with (folder / "curves.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{folder.name}: its curves.csv has no epoch yet")
    return Run(folder.resolve().name, len(rows), plots.training(rows))


def _section(evaluation: StoredEvaluation, records: Mapping[str, Record]) -> Section:
    return Section(
        name=evaluation.name,
        images=len(evaluation.images),
        roc=plots.roc(evaluation),
        pr=plots.pr(evaluation),
        froc=plots.froc(evaluation),
        reliability=plots.reliability(evaluation),
        hospitals=hospital_sections(evaluation),
        lesions=lesion_table(evaluation),
        parts=part_table(evaluation),
        pairs=pairs_of(evaluation),
        spread=list(_spread(evaluation, records)) if records else [],
        worst=list(_worst(evaluation, records)) if records else [],
    )


def _spread(evaluation: StoredEvaluation, records: Mapping[str, Record]) -> Iterator[ExampleFigure]:
    outside = evaluation.metrics["data"]["outside"]
    for modality, record in MODALITIES.items():
        own = [image for image in evaluation.images if image.modality == modality]
        images = [image for image in own if image.source not in outside]
        word, figure = record.plural.capitalize(), PAPER_FIGURES[modality]
        yield _examples(word, spread(images, SPREAD), records, PARTS, figure)


def _worst(evaluation: StoredEvaluation, records: Mapping[str, Record]) -> Iterator[ExampleFigure]:
    for modality, record in MODALITIES.items():
        word = record.plural.capitalize()
        images = [image for image in evaluation.images if image.modality == modality]
        for what, rank in RANKS if images else ():
            yield _examples(f"{word} {what}", rank(images, WORST), records, PARTS[1:])


def _examples(
    title: str,
    choice: Choice,
    records: Mapping[str, Record],
    parts: Sequence[str],
    paper_figure: str = "",
) -> ExampleFigure:
    examples = [_example(image, records[image.name], parts) for image in choice.images]
    return ExampleFigure(title, examples, choice.of, paper_figure)


def _example(image: ImageRow, record: Record, parts: Sequence[str]) -> ExampleTiles:
    score = "not read" if math.isnan(image.score) else f"score {image.score:.3f}"
    dice = "" if math.isnan(image.dice) else f", Dice {image.dice:.2f}"
    words = f"{image.name}: {image.label}; {image.verdict}, {score}{dice}"
    try:
        every = dict(zip(PARTS, tiles(record, image), strict=True))
    except IntakeError as error:
        return ExampleTiles({}, str(error), words)
    return ExampleTiles({part: every[part] for part in parts}, "", words)


def print_pdf(html: Path, pdf: Path) -> None:
    """Raises ValueError if no Chromium is found or it does not print."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise ValueError(
            "no Chromium for --pdf: install chromium, or print the HTML from a browser"
        )
    with TemporaryDirectory() as profile:
        command = [browser, "--headless", "--disable-gpu", "--no-sandbox", "--no-pdf-header-footer"]
        command += [f"--user-data-dir={profile}", f"--print-to-pdf={pdf.resolve()}"]
        try:
            done = subprocess.run(
                [*command, html.resolve().as_uri()],
                capture_output=True, check=False, timeout=LIMIT_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ValueError(f"Chromium did not print within {LIMIT_S} s") from None
    if done.returncode or not pdf.is_file():
        raise ValueError("Chromium could not print the report; print the HTML from a browser")
