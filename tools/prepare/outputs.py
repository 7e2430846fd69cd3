"""Files that describe a prepared set: index.csv, VIA, COCO, split.json, skipped.csv."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.values import Label
from mammosono.tools.data.index import (
    COLUMNS,
    OPTIONAL_COLUMNS,
    SPLITS,
    read_index,
    split_hash,
)
from mammosono.tools.prepare.item import Entry, Remark, StoredLesion
from mammosono.tools.prepare.split import MAX_DISTANCE
from mammosono.tools.prepare.via import write_via

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


INDEX, SPLIT, SKIPPED = "index.csv", "split.json", "skipped.csv"
_WORDS = {modality.value: record.part for modality, record in MODALITIES.items()}


@dataclass(frozen=True, slots=True)
class Placed:
    """A stored picture, the group it belongs to, and its split."""

    entry: Entry
    group: str
    split: str


def write_outputs(out: Path, placed: Sequence[Placed], seed: int, kept: bool) -> dict[str, Any]:
    """Write every file but skipped.csv; return split.json's content without its list of images.

    Raises OSError.
    """
    _write_index(out / INDEX, placed)
    write_via(out / "via_trainval.json", _with_split(placed, "train", "val"))
    write_via(out / "via_test.json", _with_split(placed, "test"))
    for split in SPLITS:
        write_coco(out / f"coco_{split}.json", [p.entry for p in placed if p.split == split])
    manifest = _manifest(out / INDEX, placed, seed, kept)
    images = sorted([p.entry.sha256, p.split] for p in placed)
    text = json.dumps({**manifest, "images": images}, indent=1)
    (out / SPLIT).write_text(text + "\n", encoding="utf-8")
    return manifest


def write_remarks(path: Path, remarks: Iterable[tuple[str, Remark]]) -> None:
    """kind (skipped or noted), reason, what: a row each. Raises OSError."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("kind", "reason", "what"))
        writer.writerows((kind, one.reason, one.what) for kind, one in remarks)


def stratum(entry: Entry) -> str:
    """What is spread evenly over the splits."""
    return f"{entry.source}/{entry.modality}/{entry.label}"


def _write_index(path: Path, placed: Sequence[Placed]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*COLUMNS, *OPTIONAL_COLUMNS))
        writer.writerows(_row(one) for one in placed)


def _row(one: Placed) -> tuple[str, ...]:
    entry = one.entry
    return (
        _WORDS[entry.modality],
        entry.label,
        entry.image,
        ";".join(lesion.mask for lesion in entry.lesions if lesion.mask),
        ";".join(lesion.mark for lesion in entry.lesions),
        one.group,
        entry.source,
        one.split,
        entry.licence,
        entry.sha256,
        "yes" if entry.denoised else "",
    )


def _manifest(index: Path, placed: Sequence[Placed], seed: int, kept: bool) -> dict[str, Any]:
    records = read_index(index)
    sources = sorted({record.source for record in records})
    sizes = Counter(one.group for one in placed)
    counts = Counter((one.split, stratum(one.entry)) for one in placed)
    return {
        "schema": 1,
        "seed": seed,
        "kept": kept,
        "near_duplicates": {
            "hash": "64-bit DCT",
            "max_distance_bits": {m.value: bits for m, bits in MAX_DISTANCE.items()},
        },
        "sha256": split_hash(records),
        "sha256_of_source": {
            source: split_hash(record for record in records if record.source == source)
            for source in sources
        },
        "groups": len(sizes),
        "largest_group": max(sizes.values(), default=0),
        "counts": {
            split: {k: n for (s, k), n in sorted(counts.items()) if s == split} for split in SPLITS
        },
    }


def _with_split(placed: Sequence[Placed], *splits: str) -> list[tuple[Entry, str]]:
    return [(one.entry, one.split) for one in placed if one.split in splits]
