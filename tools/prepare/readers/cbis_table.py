"""The case tables of CBIS-DDSM, joined to films: a row is an abnormality, a film may have several.

Column names come with spaces or underscores, and paths with line ends inside their quotes.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PATTERN = "*_case_description_*_set.csv"
_PATHOLOGIES = {
    "BENIGN": "benign",
    "BENIGN_WITHOUT_CALLBACK": "benign",
    "MALIGNANT": "malignant",
}
_COLUMNS = (
    "patient_id",
    "left_or_right_breast",
    "image_view",
    "pathology",
    "image_file_path",
    "cropped_image_file_path",
    "roi_mask_file_path",
)


@dataclass(frozen=True, slots=True)
class Abnormality:
    """film, crop, mask: paths as the table gives them. label: None for an unknown pathology."""

    patient: str
    side: str
    view: str
    label: str | None
    split: str
    film: str
    crop: str
    mask: str

    @property
    def name(self) -> str:
        return f"{self.patient}_{self.side}_{self.view}"


def find(root: Path) -> list[Path]:
    return sorted(root.rglob(PATTERN))


def read_films(tables: list[Path]) -> dict[str, list[Abnormality]]:
    """Abnormalities by film: masses and calcifications of one view stand in one record.

    Raises ValueError if a table lacks a column; OSError.
    """
    films: dict[str, list[Abnormality]] = defaultdict(list)
    for table in tables:
        for one in _rows(table):
            films[one.name].append(one)
    return dict(films)


def _rows(table: Path) -> Iterator[Abnormality]:
    split = "test" if "_test_" in table.name else "train"
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        names = ["_".join(name.split()).lower() for name in next(reader, [])]
        lacking = [name for name in _COLUMNS if name not in names]
        if lacking:
            raise ValueError(f"{table.name} has no column {', '.join(lacking)}")
        places = [names.index(name) for name in _COLUMNS]
        for row in reader:
            if len(row) <= max(places):
                continue
            patient, side, view, pathology, *paths = ("".join(row[k].split()) for k in places)
            yield Abnormality(
                patient, side, view, _PATHOLOGIES.get(pathology.upper()), split, *paths
            )
