"""mini-MIAS: mdbNNN.pgm and Info.txt, whose circles count y from the bottom of the picture.

A row: film, tissue, class, severity, centre, radius: `mdb001 G CIRC B 535 425 197`. Normal films
end behind NORM; films with several findings have several rows; `*NOTE 3*` stands for findings too
wide for a circle. Films 2k-1 and 2k are the two breasts of one woman.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mammosono.appliance.intake.decoder_stderr import capture_stderr
from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.index import LesionMark, mark_text
from mammosono.tools.data.truth import decode_grey
from mammosono.tools.prepare.files import picture_of, stamp_of
from mammosono.tools.prepare.item import (
    Item,
    Loaded,
    Offer,
    Remark,
    SourceLesion,
    Unreadable,
    worst,
)

INFO = "Info.txt"
_ROW = re.compile(r"\s*mdb(\d{3})[a-z]{0,2}\s+[FGD]\s+([A-Z]{4})\b\s*(.*)")
_FINDING = re.compile(r"([BM])(?:\s+(\d+)\s+(\d+)\s+(\d+))?(?:\s+(\*NOTE.*))?\s*")
_LABELS = {"B": Label.BENIGN, "M": Label.MALIGNANT}


@dataclass(frozen=True, slots=True)
class _Finding:
    """circle: centre x, y from the bottom, radius in px; None where the table gives none."""

    label: Label
    circle: tuple[int, int, int] | None


def find(root: Path) -> list[Path]:
    """Info.txt, in any spelling of its case."""
    return sorted(p for p in root.rglob("*.txt") if p.name.lower() == INFO.lower())[:1]


def offer(root: Path) -> Offer:
    """Raises ValueError if Info.txt is missing or lists no film."""
    tables = find(root)
    if not tables:
        raise ValueError(f"{INFO} is missing; put mini-MIAS's table beside its films")
    films, remarks = _read_info(tables[0].read_text("latin-1"))
    if not films:
        raise ValueError(f"{INFO} lists no film: it is not mini-MIAS's table")
    return Offer(len(films), _items(tables[0].parent, films, remarks))


def _read_info(text: str) -> tuple[dict[str, list[_Finding]], list[Remark]]:
    films: dict[str, list[_Finding]] = defaultdict(list)
    remarks, bad = [], set()
    for line in text.splitlines():
        row = _ROW.match(line)
        if not row:
            continue
        number, kind, rest = row.groups()
        finding = _FINDING.fullmatch(rest)
        if kind != "NORM" and not finding:
            remarks.append(Remark(f"a row of {INFO} that cannot be read", f"mdb{number}"))
            bad.add(number)
            continue
        own = films[number]
        if kind != "NORM" and finding:
            letter, *circle, _ = finding.groups()
            x, y, radius = (int(value or 0) for value in circle)
            own.append(_Finding(_LABELS[letter], (x, y, radius) if circle[0] else None))
    return {number: found for number, found in films.items() if number not in bad}, remarks


def _items(
    folder: Path, films: dict[str, list[_Finding]], remarks: list[Remark]
) -> Iterator[Item | Remark]:
    yield from remarks
    for number, findings in films.items():
        path = folder / f"mdb{number}.pgm"
        if not path.is_file():
            yield Remark("the film is missing", path.name)
            continue
        right = (int(number) + 1) // 2 * 2 - 1
        yield Item(
            name=f"mini-mias/mdb{number}",
            modality=Modality.MG,
            label=worst([finding.label.value for finding in findings]),
            case=f"mdb{right:03d}-{right + 1:03d}",
            source="mini-MIAS",
            licence="research only",
            split=None,
            stamp=f"{stamp_of(path)}|{findings}",
            load=partial(_load, path, findings),
        )


def _load(path: Path, findings: list[_Finding]) -> Loaded:
    data = path.read_bytes()
    pixels, _ = capture_stderr(lambda: decode_grey(data))
    if pixels is None or pixels.dtype.itemsize != 1:
        raise Unreadable("a damaged film", path.name)
    height, width = pixels.shape
    marks = [_mark(finding, height, width) for finding in findings]
    lesions = tuple(
        SourceLesion(finding.label, mark=mark)
        for finding, mark in zip(findings, marks, strict=True)
        if mark
    )
    if len(lesions) < len(findings):
        # Half of the truth would teach the other half as background.
        remark = Remark("a finding without coordinates: kept as abnormal, not located", path.name)
        return Loaded(picture_of(pixels, data), (), (remark,))
    return Loaded(picture_of(pixels, data), lesions)


def _mark(finding: _Finding, height: int, width: int) -> str | None:
    """None without a circle, or with one wholly outside the film."""
    if not finding.circle:
        return None
    x, from_bottom, radius = finding.circle
    y = height - from_bottom
    box = (float(x - radius), float(y - radius), float(x + radius), float(y + radius))
    visible = radius > 0 and box[0] < width and box[1] < height and box[2] > 0 and box[3] > 0
    return mark_text(LesionMark(finding.label, box, is_circle=True)) if visible else None
