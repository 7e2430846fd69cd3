"""The report's HTML: one file that loads nothing, for the screen and for A4."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from mammosono.appliance.errors import IntakeError
from mammosono.tools.data.index import Record
from mammosono.tools.report import plots
from mammosono.tools.report.caveats import caveats
from mammosono.tools.report.examples import Chosen, false_alarms, missed_lesions, misses, spread
from mammosono.tools.report.judged import Image, Judged
from mammosono.tools.report.pictures import tiles
from mammosono.tools.report.sheet import HEAD
from mammosono.tools.report.table_one import COMPARABLE, table_one
from mammosono.tools.report.tables import found_table, pairs_table, part_table
from mammosono.tools.tables import Rows

MODALITIES = {"MG": "mammograms", "US": "ultrasound"}
SPREAD, WORST = 6, 3
PARTS = ("picture", "truth", "detection")


@dataclass(frozen=True, slots=True)
class Sources:
    """What a report is made of.

    paper: rows of table_one; runs: by name, the rows of curves.csv; records: by image name, for
    the pictures, none without an index.
    """

    evaluations: Sequence[Judged]
    paper: Sequence[Mapping[str, str]]
    runs: Mapping[str, Sequence[Mapping[str, str]]]
    records: Mapping[str, Record]


class Figures:
    """Numbers figures in the order in which they are asked for."""

    def __init__(self) -> None:
        self._count = 0

    def figure(self, body: str, caption: str, kind: str = "") -> str:
        """caption: plain text that says what is shown and its n."""
        self._count += 1
        said = f"<b>Figure {self._count}.</b> {escape(caption)}"
        return f'<figure class="{kind}">{body}<figcaption>{said}</figcaption></figure>'


def html(sources: Sources) -> str:
    """The whole document. Raises OSError if a picture cannot be read from disk."""
    figures = Figures()
    parts = [_opening(sources), *_training(sources, figures)]
    for judged in sources.evaluations:
        parts += _evaluation(judged, sources.records, figures, len(sources.evaluations) > 1)
    parts.append(_caveats(sources.evaluations))
    return "\n".join([HEAD, *parts, "</main>", "</body>", "</html>", ""])


def _opening(sources: Sources) -> str:
    missing = "" if sources.paper else "<p>The paper's printed rows were not given (--paper).</p>"
    models = "".join(f"<li>{_model(judged)}</li>" for judged in sources.evaluations)
    return (
        "<h1>What the network can do, and what it cannot</h1>"
        f"<ul>{models}</ul>"
        "<p>In small print and brackets: 95 % intervals, by resampling whole cases. Research and "
        "engineering use only; not for diagnosis.</p>"
        "<h2>Table I</h2>"
        f"{table_one(sources.evaluations, sources.paper)}{missing}"
        f"<p>{escape(COMPARABLE)}</p>"
    )


def _model(judged: Judged) -> str:
    model, data = judged.metrics["model"], judged.metrics["data"]
    return escape(
        f"{judged.name}: model {model['name']} {model['version']} (sha256 {model['sha256'][:12]}), "
        f"{model['runtime']}; n = {data['images']} images of {', '.join(data['splits'])}, split "
        f"sha256 {data['split_sha256'][:12]}; denoising {data['denoising']}"
    )


def _training(sources: Sources, figures: Figures) -> list[str]:
    if not sources.runs:
        return []
    out = ["<h2>Training</h2>"]
    for name, rows in sources.runs.items():
        both = "".join(_svg(svg) for svg in plots.training(rows))
        caption = f"Accuracy and loss by epoch, run {name} (the paper's figure 5). "
        out.append(figures.figure(both, f"{caption}n = {len(rows)} epochs.", "pair"))
    return out


def _evaluation(
    judged: Judged, records: Mapping[str, Record], figures: Figures, several: bool
) -> list[str]:
    of = f" of {escape(judged.name)}" if several else ""
    counts = f"n = {len(judged.images)} images; legends give the n of each set."
    return [
        f"<h2>Curves{of}</h2>",
        figures.figure(
            _svg(plots.roc(judged)) + _svg(plots.pr(judged)),
            "Left: ROC, with the operating point and the intervals of its two rates. Right: "
            f"precision and recall; thin lines are the prevalence. {counts}",
            "pair",
        ),
        figures.figure(
            _svg(plots.froc(judged)) + _svg(plots.reliability(judged)),
            "Left: FROC, with intervals at 0.25, 0.5, 1 and 2 false positives an image. Right: "
            "reliability in ten bins of width 0.1; the area of a dot is its number of images; ECE "
            f"and what it would be of a score that is right. {counts}",
            "pair",
        ),
        f"<h2>Lesions{of}</h2>",
        _table(found_table(judged)),
        _table(part_table(judged)),
        *(
            ["<h2>Both tests" + of + "</h2>", *pairs_table(judged)]
            if judged.metrics["pairs"]
            else []
        ),
        *_pictures(judged, records, figures, of),
    ]


def _pictures(
    judged: Judged, records: Mapping[str, Record], figures: Figures, of: str
) -> list[str]:
    if not records:
        return ["<p>Pictures were left out: no index was given (--data).</p>"]
    outside = judged.metrics["data"]["outside"]
    out = [f"<h2>Truth and detection{of}</h2>"]
    for code, name in MODALITIES.items():
        inside = [i for i in judged.images if i.modality == code and i.source not in outside]
        chosen = spread(inside, SPREAD)
        paper = "6" if code == "MG" else "7"
        if chosen.images:
            said = f"{name.capitalize()} with outlined lesions (the paper's figure {paper}): "
            said += f"n = {len(chosen.images)} of {chosen.of}, at equal steps of rank by Dice from "
            said += "the worst to the best. Each: picture, truth (white), detection."
            out.append(figures.figure(_grid(chosen, records, PARTS), said, "grid"))
    out.append(f"<h2>Worst cases{of}</h2>")
    ranks: tuple[tuple[str, Callable[[Sequence[Image], int], Chosen]], ...] = (
        ("positive without a malignant lesion, the highest score first", false_alarms),
        ("malignant and not positive, the lowest score first", misses),
        ("with lesions of which nothing was outlined, the largest first", missed_lesions),
    )
    for code, name in MODALITIES.items():
        images = [i for i in judged.images if i.modality == code]
        for what, rank in ranks if images else ():
            out.append(_worst(f"{name.capitalize()} {what}", rank(images, WORST), records, figures))
    return out


def _worst(what: str, chosen: Chosen, records: Mapping[str, Record], figures: Figures) -> str:
    if not chosen.images:
        return f"<p>{escape(what)}: none (n = 0).</p>"
    said = f"{what}: n = {len(chosen.images)} of {chosen.of}, one a case. Each: truth, "
    said += "detection."
    return figures.figure(_grid(chosen, records, PARTS[1:]), said, "grid three")


def _grid(chosen: Chosen, records: Mapping[str, Record], parts: Sequence[str]) -> str:
    return "".join(_example(image, records[image.name], parts) for image in chosen.images)


def _example(image: Image, record: Record, parts: Sequence[str]) -> str:
    try:
        every = dict(zip(PARTS, tiles(record, image), strict=True))
        pictures = "".join(
            f'<img alt="{part}" src="{_data_uri(every[part], "image/jpeg")}">' for part in parts
        )
    except IntakeError as error:
        pictures = f"<em>{escape(str(error))}</em>"
    score = "not read" if image.score != image.score else f"score {image.score:.3f}"
    dice = "" if image.dice != image.dice else f", Dice {image.dice:.2f}"
    words = f"{image.name}: {image.label}; {image.verdict}, {score}{dice}"
    return f'<div class="example">{pictures}<span>{escape(words)}</span></div>'


def _caveats(evaluations: Sequence[Judged]) -> str:
    sources = {image.source for judged in evaluations for image in judged.images}
    lists = (f"<h3>{escape(head)}</h3><ul>{_items(said)}</ul>" for head, said in caveats(sources))
    return "<h2>Caveats</h2>" + "".join(lists)


def _items(sentences: Iterable[str]) -> str:
    return "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)


def _table(rows: Rows) -> str:
    head, *body = rows
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    for name, *cells in body:
        lines.append(f"<tr><th>{escape(name)}</th>{''.join(f'<td>{c}</td>' for c in cells)}</tr>")
    return "<table>" + "\n".join(lines) + "</table>"


def _svg(svg: str) -> str:
    return f'<img class="plot" alt="" src="{_data_uri(svg.encode(), "image/svg+xml")}">'


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64," + b64encode(data).decode("ascii")
