"""Rows of text about the lesions found."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mammosono.tools.evaluation.cells import Rows, cell
from mammosono.tools.evaluation.detection_metrics import Found

NAMES = {
    "sensitivity": "Lesions found as the device reports",
    "false_positives": "False positives an image, as reported",
    "froc_0.25": "FROC, at 0.25 false positives an image",
    "froc_0.5": "FROC, at 0.5",
    "froc_1": "FROC, at 1",
    "froc_2": "FROC, at 2",
    "box_ap50": "Box AP50",
    "box_ap": "Box AP50:95",
    "mask_ap50": "Mask AP50",
    "mask_ap": "Mask AP50:95",
}
PART_NAMES = {
    "sensitivity": "Found as reported",
    "froc_1": "FROC, at 1 false positive an image",
    "dice": "Dice, mean over images",
}


def found_rows(groups: Mapping[str, Found]) -> Rows:
    """A column a group."""
    rows = [
        ["", *groups],
        ["Images (cases)", *(f"{g.n} ({g.cases})" for g in groups.values())],
        ["Located lesions", *(f"{g.lesions}" for g in groups.values())],
    ]
    for key, name in NAMES.items():
        cells = [group.estimates[key] for group in groups.values()]
        if not all(math.isnan(each.value) for each in cells):
            rows.append([name, *map(cell, cells)])
    return rows


def part_rows(groups: Mapping[str, Found]) -> Rows:
    """A row a size class or label of a group."""
    rows = [["", "Lesions", "Images", *PART_NAMES.values()]]
    for group, found in groups.items():
        for name, part in found.parts.items():
            cells = (cell(part.estimates[key]) for key in PART_NAMES)
            rows.append([f"{group}, {name}", f"{part.lesions}", f"{part.images}", *cells])
    return rows
