"""Evaluation folder: what `evaluate` wrote, read back."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammosono.appliance.values import Rle
from mammosono.tools.evaluation.bootstrap import Estimate
from mammosono.tools.evaluation.hospital_tables import shown_groups

SCHEMA = 2


class BadEvaluation(ValueError):
    """The folder holds no evaluation that can be reported; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image's row, and what was found in it; see tools.evaluation.files for the columns.

    by_class: whether it is judged benign or malignant. score: NaN if unread. dice: NaN without a
    mask. lesions, findings: COCO annotations and results, malignant findings last.
    """

    name: str
    modality: str
    source: str
    case: str
    label: str
    by_class: bool
    verdict: str
    score: float
    dice: float
    lesions: tuple[Mapping[str, Any], ...]
    findings: tuple[Mapping[str, Any], ...]

    @property
    def malignant(self) -> bool:
        return self.label == "malignant"


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """name: the folder's own; metrics, curves: as written; images: in the order of the rows."""

    name: str
    metrics: Mapping[str, Any]
    curves: Mapping[str, Any]
    images: tuple[ImageRow, ...]

    def groups(self) -> list[str]:
        """The sources, and a modality's own group where it has several."""
        return shown_groups({name: each["n"] for name, each in self.metrics["groups"].items()})


def read_evaluation(folder: Path) -> StoredEvaluation:
    """Raises BadEvaluation if a file is missing, damaged or of another schema."""
    try:
        metrics, curves, truth, results = (
            json.loads((folder / name).read_text("utf-8"))
            for name in ("metrics.json", "curves.json", "truth.coco.json", "findings.coco.json")
        )
        with (folder / "per_image.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if metrics["schema"] != SCHEMA:
            raise ValueError("another schema")
        return StoredEvaluation(
            folder.resolve().name,
            metrics,
            curves,
            _images(rows, truth, results, metrics["data"].get("class_free", ())),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadEvaluation(
            f"{folder.name} is no evaluation that this version wrote; run mammosono-tools evaluate"
        ) from error


def estimate(plain: Mapping[str, Any]) -> Estimate:
    """An estimate as metrics.json holds it: undefined is null there and NaN here."""
    value, low, high = (
        math.nan if plain[key] is None else float(plain[key]) for key in ("value", "low", "high")
    )
    return Estimate(value, low, high, int(plain["skipped"]))


def rle_of(plain: Mapping[str, Any]) -> Rle:
    height, width = plain["size"]
    return Rle((int(height), int(width)), plain["counts"])


def _images(
    rows: list[dict[str, str]],
    truth: Mapping[str, Any],
    results: list[dict[str, Any]],
    class_free: Collection[str],
) -> tuple[ImageRow, ...]:
    names = {image["id"]: image["file_name"] for image in truth["images"]}
    lesions: dict[str, list[Mapping[str, Any]]] = {row["image"]: [] for row in rows}
    findings: dict[str, list[Mapping[str, Any]]] = {row["image"]: [] for row in rows}
    for each in truth["annotations"]:
        lesions[names[each["image_id"]]].append(each)
    for each in results:
        if each["reported"]:
            findings[names[each["image_id"]]].append(each)
    return tuple(
        ImageRow(
            row["image"],
            row["modality"],
            row["source"],
            row["patient_or_case"],
            row["label"],
            row["source"] not in class_free,
            row["verdict"],
            _number(row["score"]),
            _number(row["dice"]),
            tuple(lesions[row["image"]]),
            tuple(sorted(findings[row["image"]], key=lambda f: (f["label"], f["malignancy"]))),
        )
        for row in rows
    )


def _number(text: str) -> float:
    return float(text) if text else math.nan
