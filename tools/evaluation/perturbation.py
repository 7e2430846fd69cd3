"""Perturbation test: what AUC and lesion sensitivity lose when pictures are changed by what no
reading should hang on.

Every reading is a line of a file, so a test goes on where it was stopped. Losses are paired: the
same images, as they are and perturbed, resampled together by whole cases.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mammosono.appliance.errors import IntakeError, ModelFault
from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.model import open_model
from mammosono.appliance.pipeline.reader import ImageReader, Reader
from mammosono.appliance.values import Box, SourceImage, Verdict
from mammosono.engines.bundle import open_bundle
from mammosono.engines.options import EngineOptions
from mammosono.tools.data.index import Record
from mammosono.tools.evaluation.bootstrap import SEED, Estimate, Floats, estimates
from mammosono.tools.evaluation.evaluate import THREADS, untouched
from mammosono.tools.evaluation.figures import ranked
from mammosono.tools.evaluation.metrics import Bools, auc, hits, mean
from mammosono.tools.evaluation.outcome import TrueLesion, lesions_of
from mammosono.tools.evaluation.perturbed import AS_IS, PERTURBATIONS, Perturbation
from mammosono.tools.evaluation.roles import Roles, roles_of
from mammosono.tools.evaluation.table import cell, number
from mammosono.tools.progress import OnPhase
from mammosono.tools.tables import Rows, markdown

READINGS = "readings.jsonl"
GOAL = 0.02
"""What AUC and lesion sensitivity may lose."""


@dataclass(frozen=True, slots=True)
class PerturbedReading:
    """The device's answer to one perturbed picture.

    score: None where it was refused or is not trusted; boxes: of the findings reported, in px of
    the picture as it was.
    """

    perturbation: str
    image: str
    score: float | None
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class PerturbationRow:
    """One perturbation on one group: n images, cases, lesions; what is left and what is lost of
    the AUC and of the lesions found as reported. NaN where undefined.
    """

    group: str
    perturbation: str
    n: int
    cases: int
    lesions: int
    auc: Estimate
    auc_lost: Estimate
    found: Estimate
    found_lost: Estimate

    @property
    def within_goal(self) -> bool:
        lost = (self.auc_lost.value, self.found_lost.value)
        return all(math.isnan(each) or each <= GOAL + 1e-12 for each in lost)


def limited(records: Sequence[Record], limit: int | None, seed: int = SEED) -> tuple[Record, ...]:
    """At most `limit` images of each source, its labels as frequent as they are there (to the next
    image), drawn with the seed; in the records' order. None: all."""
    if limit is None:
        return tuple(records)
    strata: defaultdict[str, defaultdict[str, list[Record]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for record in records:
        strata[record.source][record.label].append(record)
    kept: set[str] = set()
    for source, labels in sorted(strata.items()):
        counts = _shares({label: len(each) for label, each in labels.items()}, limit)
        for label, count in sorted(counts.items()):
            rng = np.random.default_rng((seed, zlib.crc32(f"{source}/{label}".encode())))
            own = labels[label]
            kept |= {own[k].name for k in rng.permutation(len(own))[:count]}
    return tuple(record for record in records if record.name in kept)


def _shares(sizes: Mapping[str, int], limit: int) -> dict[str, int]:
    """`limit` divided as the sizes are, by largest remainders; all where there are no more."""
    total = sum(sizes.values())
    if total <= limit:
        return dict(sizes)
    exact = {name: limit * size / total for name, size in sizes.items()}
    counts = {name: int(each) for name, each in exact.items()}
    rest = sorted(exact, key=lambda name: (counts[name] - exact[name], name))
    for name in rest[: limit - sum(counts.values())]:
        counts[name] += 1
    return counts


def perturb_test(
    bundle: Path,
    records: Sequence[Record],
    out: Path,
    *,
    class_free: Iterable[str] = (),
    perturbations: Sequence[Perturbation] = PERTURBATIONS,
    progress: OnPhase = lambda what, done, total: None,
) -> list[PerturbationRow]:
    """Read every record under every perturbation, and write the tables into `out`, anew after each
    perturbation; goes on where an earlier call was stopped.

    Raises ModelUnavailable, BundleError, OSError, and ValueError if there is no record or `out`
    holds the readings of another bundle or of other images.
    """
    if not records:
        raise ValueError("no image: check the index, its split and sources")
    opened = open_bundle(bundle)
    roles = roles_of(opened.manifest, class_free)
    out.mkdir(parents=True, exist_ok=True)
    file = out / READINGS
    readings = _begun(file, {"bundle": opened.sha256, "images": _digest(records)})
    engine, model = open_model(bundle, EngineOptions())
    rows: list[PerturbationRow] = []
    with Reader(engine, model, THREADS) as device:
        by_denoising = {True: device, False: Reader(engine, model, THREADS, untouched)}
        truth = {record.name: lesions_of(record, Path.read_bytes)[0] for record in records}
        for each in perturbations:
            reader = by_denoising[each.denoised]
            fitting = [record for record in records if each.fits(record.modality)]
            for done, record in enumerate(fitting, start=1):
                if (each.name, record.name) not in readings:
                    reading = _read(reader, record, truth[record.name], each)
                    readings[each.name, record.name] = reading
                    _append(file, asdict(reading))
                progress(each.name, done, len(fitting))
            rows = losses(list(readings.values()), records, truth, roles)
            write(rows, out)
    return rows


def _read(
    reader: ImageReader, record: Record, lesions: Sequence[TrueLesion], each: Perturbation
) -> PerturbedReading:
    refused = PerturbedReading(each.name, record.name, None, ())
    try:
        image = read_image(record.image.read_bytes(), record.modality)
        rng = np.random.default_rng((SEED, zlib.crc32(record.name.encode())))
        changed, back = each.apply(image, _box(image, lesions, rng), rng)
        reading = reader.read([changed]).images[0]
    except (IntakeError, ModelFault):
        return refused
    if reading.score is None or reading.verdict is Verdict.INDETERMINATE:
        return refused
    boxes = tuple(back.box(finding.box) for finding in reading.findings)
    return PerturbedReading(each.name, record.name, reading.score, boxes)


def _box(image: SourceImage, lesions: Sequence[TrueLesion], rng: np.random.Generator) -> Box:
    """The largest lesion's, or where none is known one drawn at random: marks must not tell which
    pictures have a lesion."""
    boxes = [lesion.box for lesion in lesions]
    if boxes:
        return max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    width, height = (float(rng.uniform(0.1, 0.3)) * side for side in (image.width, image.height))
    x, y = float(rng.uniform(0, image.width - width)), float(rng.uniform(0, image.height - height))
    return x, y, x + width, y + height


def losses(
    readings: Sequence[PerturbedReading],
    records: Sequence[Record],
    truth: Mapping[str, Sequence[TrueLesion]],
    roles: Roles,
) -> list[PerturbationRow]:
    """A row a perturbation and group of images, of perturbations that all its images were read
    under, the picture as it is first."""
    by_key = {(each.perturbation, each.image): each for each in readings}
    groups: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        for name in roles.groups(record):
            groups[name].append(record)
    names = list(dict.fromkeys(each.perturbation for each in readings))
    rows = []
    for group, own in sorted(groups.items()):
        for name in names:
            pairs = [(by_key.get((AS_IS, r.name)), by_key.get((name, r.name))) for r in own]
            known = [(before, after) for before, after in pairs if before and after]
            if len(known) == len(own):
                rows.append(_row(group, name, own, known, truth, roles))
    return rows


def _row(
    group: str,
    name: str,
    records: Sequence[Record],
    pairs: Sequence[tuple[PerturbedReading, PerturbedReading]],
    truth: Mapping[str, Sequence[TrueLesion]],
    roles: Roles,
) -> PerturbationRow:
    malignant = np.array([record.label == "malignant" for record in records])
    judged = not any(record.source in roles.class_free for record in records)
    lesions = [truth[record.name] for record in records]
    of_image = np.array([k for k, each in enumerate(lesions) for _ in each], np.intp)
    before, after = (
        (_scores(side, malignant), _found(side, lesions)) for side in zip(*pairs, strict=True)
    )

    def figures(w: Floats) -> dict[str, Floats]:
        classes = w if judged else np.zeros_like(w)
        areas = [auc(scores, malignant, classes) for scores, _ in (before, after)]
        shares = [mean(found, w[..., of_image]) for _, found in (before, after)]
        return {
            "auc": areas[1],
            "auc_lost": areas[0] - areas[1],
            "found": shares[1],
            "found_lost": shares[0] - shares[1],
        }

    cases = [record.case for record in records]
    lost = estimates(figures, cases)
    return PerturbationRow(
        group, name, len(records), len(set(cases)), int(of_image.size),
        lost["auc"], lost["auc_lost"], lost["found"], lost["found_lost"],
    )  # fmt: skip


def _scores(readings: Sequence[PerturbedReading], malignant: Bools) -> Floats:
    scores = [math.nan if each.score is None else each.score for each in readings]
    return ranked(np.array(scores), malignant)


def _found(readings: Sequence[PerturbedReading], lesions: Sequence[Sequence[TrueLesion]]) -> Floats:
    """1 or 0 for each lesion of each image in turn."""
    each = [
        hits(
            np.array(reading.boxes, np.float64).reshape(-1, 4),
            np.array([lesion.box for lesion in own], np.float64).reshape(-1, 4),
            np.array([lesion.is_circle for lesion in own], bool),
        ).any(axis=0)
        for reading, own in zip(readings, lesions, strict=True)
    ]
    return np.concatenate([np.zeros(0), *each]).astype(np.float64)


def table(rows: Sequence[PerturbationRow]) -> Rows:
    head = ["", "Perturbation", "Images (cases)", "Lesions", "AUC", "AUC lost", "Lesions found",
            "Lesions lost", f"at most {GOAL:g}"]  # fmt: skip
    return [head] + [
        [
            row.group, row.perturbation, f"{row.n} ({row.cases})", f"{row.lesions}",
            cell(row.auc), cell(row.auc_lost), cell(row.found), cell(row.found_lost),
            "" if row.perturbation == AS_IS else "yes" if row.within_goal else "NO",
        ]
        for row in rows
    ]  # fmt: skip


def brief(rows: Sequence[PerturbationRow]) -> Rows:
    """For a terminal: a row a perturbation, what each group loses of its AUC and of its lesions."""
    groups = list(dict.fromkeys(row.group for row in rows))
    lost = {(row.perturbation, row.group): row for row in rows}
    names = dict.fromkeys(row.perturbation for row in rows if row.perturbation != AS_IS)
    return [
        ["AUC lost, lesions lost", *groups],
        *([name, *(_lost(lost.get((name, group))) for group in groups)] for name in names),
    ]


def _lost(row: PerturbationRow | None) -> str:
    if row is None:
        return "-"
    return ", ".join(number(each.value) for each in (row.auc_lost, row.found_lost))


def write(rows: Sequence[PerturbationRow], out: Path) -> None:
    """perturbations.csv and table.md."""
    with (out / "perturbations.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(table(rows))
    lines = [
        *markdown(table(rows), labels=2),
        "",
        f"Lost: less than of the pictures as they are, paired; goal: at most {GOAL:g} of either. "
        "Lesions: found as the device reports. In brackets: 95 %, bootstrap of whole cases.",
    ]
    (out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _digest(records: Sequence[Record]) -> str:
    names = "\n".join(sorted(f"{record.name}\t{record.sha256}" for record in records))
    return hashlib.sha256(names.encode()).hexdigest()


def _begun(file: Path, of: Mapping[str, str]) -> dict[tuple[str, str], PerturbedReading]:
    """What was read before; the file's first line says of which bundle and images."""
    if not file.exists():
        _append(file, of)
        return {}
    lines = file.read_text("utf-8").splitlines(keepends=True)
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    if not whole or whole[0] != dict(of):
        raise ValueError(
            f"{file.name} there is of another bundle or other images: give another folder"
        )
    if len(whole) < len(lines):  # stopped in the middle of a line
        file.write_text("".join(line for line in lines if line.endswith("\n")), "utf-8")
    readings = [_reading(entry) for entry in whole[1:]]
    return {(each.perturbation, each.image): each for each in readings}


def _reading(entry: Mapping[str, Any]) -> PerturbedReading:
    boxes = tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in entry["boxes"])
    return PerturbedReading(entry["perturbation"], entry["image"], entry["score"], boxes)


def _append(file: Path, entry: Mapping[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(entry) + "\n")
