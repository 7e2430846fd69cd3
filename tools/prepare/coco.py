"""COCO detection JSON of one split: boxes, and masks as exact run lengths."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mammosono.appliance.values import Label
from mammosono.tools.prepare.entry import Entry, StoredLesion

CATEGORIES = {label.value: number for number, label in enumerate(Label, 1)}


def write_coco(path: Path, entries: Iterable[Entry]) -> None:
    """Lesions known by a circle or box alone have an empty `segmentation`: their outline is not
    known. Raises OSError."""
    licences: dict[str, int] = {}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for entry in entries:
        images.append(
            {
                "id": len(images) + 1,
                "file_name": entry.image,
                "width": entry.width,
                "height": entry.height,
                "license": licences.setdefault(entry.licence, len(licences) + 1),
                "modality": entry.modality,
                "label": entry.label,
                "case": entry.case,
                "source": entry.source,
            }
        )
        for lesion in entry.lesions:
            annotations.append(
                {"id": len(annotations) + 1, "image_id": len(images), **_annotation(entry, lesion)}
            )
    document = {
        "info": {"description": "prepared by mammosono-tools"},
        "licenses": [{"id": k, "name": name or "not stated"} for name, k in licences.items()],
        "categories": [{"id": k, "name": name} for name, k in CATEGORIES.items()],
        "images": images,
        "annotations": annotations,
    }
    path.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")


def _annotation(entry: Entry, lesion: StoredLesion) -> dict[str, Any]:
    return {
        "category_id": CATEGORIES[lesion.label],
        "bbox": list(lesion.box),
        "area": lesion.area,
        "iscrowd": 0,
        "segmentation": (
            {"size": [entry.height, entry.width], "counts": lesion.rle} if lesion.rle else []
        ),
    }
