"""HTML report: one self-contained file, for a dark room and for paper.

No external resource; the views are switched by radio buttons in CSS. The one script, allowed by
its hash, moves the border between original and denoised; without it the border stays in the middle.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from string import Template

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.output import wording
from mammosono.appliance.output.document import SOFTWARE
from mammosono.appliance.output.render import grey_png, overlay, rgb_png
from mammosono.appliance.values import (
    Finding,
    ImageReading,
    Modality,
    Pictures,
    Reading,
    UnreadImage,
    Verdict,
)

LONGEST_SIDE_PX = 1400
"""Pictures in the report are reduced to this; the full ones are files of their own."""

_SLIDE = """
document.addEventListener("input", ({ target }) => {
  if (target.type === "range") {
    target.parentElement.style.setProperty("--at", `${target.value}%`);
  }
});
"""

_SYMBOL = {Verdict.POSITIVE: "+", Verdict.NEGATIVE: "−", Verdict.INDETERMINATE: "?"}


def html_report(study_id: str, reading: Reading, pictures: Iterable[Pictures] | None = None) -> str:
    """The reading as one self-contained HTML document.

    pictures: as of `save_reading`. Raises ValueError if they are missing.
    """
    drawn = reading.pictures if pictures is None else pictures
    views = {
        image.index: _views(image, each) for image, each in zip(reading.images, drawn, strict=True)
    }
    return _template("report.html").substitute(
        study=escape(study_id),
        verdict=reading.verdict.value,
        symbol=_SYMBOL[reading.verdict],
        reason=escape(" ".join((wording.reason(reading), *reading.warnings)).strip()),
        use=wording.INTENDED_USE,
        panes="\n".join(_pane(modality, reading, views) for modality in MODALITIES),
        facts=_facts(study_id, reading),
        script=_SLIDE,
        script_hash=b64encode(hashlib.sha256(_SLIDE.encode()).digest()).decode("ascii"),
    )


def _views(image: ImageReading, pictures: Pictures) -> dict[str, str]:
    return {
        "overlay": _data_uri(rgb_png(_reduced(overlay(pictures.original, image)))),
        "original": _data_uri(grey_png(_reduced(pictures.original))),
        "denoised": _data_uri(grey_png(_reduced(pictures.denoised))),
    }


def _pane(modality: Modality, reading: Reading, views: Mapping[int, Mapping[str, str]]) -> str:
    record = MODALITIES[modality]
    shown = [
        _unread(image, label)
        if isinstance(image, UnreadImage)
        else _image(image, views[image.index], label, reading)
        for image, label in zip(reading.in_order, wording.labels(reading), strict=True)
        if image.modality is modality
    ]
    missing = f'<article><p class="quiet">No {record.part} was given.</p></article>'
    body = "\n".join(shown) or missing
    head = f'<h2>{record.title} <span class="quiet">{modality.value}</span></h2>'
    return f"<section>\n{head}\n{body}\n</section>"


def _unread(image: UnreadImage, label: str) -> str:
    return _template("unread.html").substitute(
        **_head(image, label), word=wording.NOT_READ, warnings=_warnings(image.warnings)
    )


def _head(image: ImageReading | UnreadImage, label: str) -> dict[str, str]:
    origin = wording.origin(image)
    return {
        "label": escape(label),
        "test": MODALITIES[image.modality].part,
        "origin": f"({escape(origin)})" if origin else "",
        "name": escape(image.name or ""),
    }


def _image(image: ImageReading, views: Mapping[str, str], label: str, reading: Reading) -> str:
    return _template("image.html").substitute(
        {**_head(image, label), **views},
        index=image.index,
        dot="· " if image.name else "",
        verdict=image.verdict.value,
        score=escape(wording.score(image, reading)),
        width=image.width,
        height=image.height,
        findings=_findings(image),
        warnings=_warnings(image.warnings),
        denoising=escape(wording.denoising(image)),
    )


def _findings(image: ImageReading) -> str:
    if not image.findings:
        return f"<p>{escape(wording.no_findings(image))}</p>"
    head = _row("th", ("", "finding", "score", "size", "centre"))
    rows = [_finding(number, finding) for number, finding in enumerate(image.findings, start=1)]
    return "\n".join(["<table>", head, *rows, "</table>"])


def _finding(number: int, finding: Finding) -> str:
    label = finding.label.value
    return _row(
        "td",
        (
            str(number),
            f'<span class="{label}">{label}</span>',
            f"{finding.score:.3f}",
            wording.extent(finding),
            wording.position(finding),
        ),
    )


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


def _warnings(warnings: Iterable[str]) -> str:
    items = "\n".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<ul class="warnings">\n{items}\n</ul>' if items else ""


def _facts(study_id: str, reading: Reading) -> str:
    model, timings = reading.model, reading.timings_ms
    points = ", ".join(f"{code} {at:.3f}" for code, at in model.operating_points.items())
    facts = {
        "study": study_id,
        "model": f"{model.name} {model.version}, sha256 {model.sha256}",
        "runtime": model.runtime,
        "operating points": points,
        "time": ", ".join(f"{step} {ms:.0f} ms" for step, ms in timings.items()),
        "software": SOFTWARE,
    }
    return "\n".join(f"<dt>{name}</dt><dd>{escape(fact)}</dd>" for name, fact in facts.items())


def _reduced(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    factor = LONGEST_SIDE_PX / max(height, width)
    if factor >= 1:
        return picture
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + b64encode(png).decode("ascii")


def _template(name: str) -> Template:
    return Template((files("mammosono.appliance.output") / "templates" / name).read_text("utf-8"))
