"""Read validation images, choose both operating points together, write them into a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.model import open_model
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.runtime import Runtime
from mammosono.appliance.values import ImageReading, Modality, Verdict
from mammosono.engines.bundle import open_bundle, write_manifest
from mammosono.tools.data.index import Record, split_hash
from mammosono.tools.evaluation.evaluate import Progress, Reads
from mammosono.tools.evaluation.joint_operating_point import JointPoint, Target, choose_jointly
from mammosono.tools.evaluation.metrics import Bools, Floats

RULE = (
    "over all pairs of a mammogram and an ultrasound image of the same truth, fused by OR: of the "
    "thresholds that meet the target those with most of the other rate"
)


def choose_for_bundle(
    bundle: Path, records: Sequence[Record], target: Target, progress: Progress
) -> dict[str, Any]:
    """The operating points of a bundle and what they reach on these records, as plain values.

    Raises ModelUnavailable, IntakeError, ModelFault, and ValueError as `choose_jointly` does.
    """
    engine, model = open_model(bundle, Runtime())
    # With the operating point out of reach a verdict says only whether the device could clear it.
    silent = replace(model, operating_point=dict.fromkeys(Modality, 1.0))
    with Reader(engine, silent) as reader:
        scores, truth = read_scores(reader, records, progress)
    return as_plain(choose_jointly(scores, truth, target), records, target)


def read_scores(
    reader: Reads, records: Sequence[Record], progress: Progress
) -> tuple[dict[Modality, Floats], dict[Modality, Bools]]:
    """Image scores and truth by modality, in the records' order.

    What the device cannot read, or would never clear, is wrong at every threshold, as in an
    evaluation: score 0 with a malignant lesion, 1 without.
    """
    scores: dict[Modality, list[float]] = {modality: [] for modality in Modality}
    truth: dict[Modality, list[bool]] = {modality: [] for modality in Modality}
    for done, record in enumerate(records, start=1):
        image = read_image(record.image.read_bytes(), record.modality)
        reading = reader.read([image]).images[0]
        malignant = record.label == "malignant"
        scores[record.modality].append(_score(reading, malignant))
        truth[record.modality].append(malignant)
        progress(done, len(records))
    return (
        {m: np.array(values, np.float64) for m, values in scores.items()},
        {m: np.array(values, bool) for m, values in truth.items()},
    )


def _score(reading: ImageReading, malignant: bool) -> float:
    unclear = reading.verdict is Verdict.INDETERMINATE and not malignant
    if reading.score is None or unclear:
        return 0.0 if malignant else 1.0
    return reading.score


def as_plain(chosen: JointPoint, records: Sequence[Record], target: Target) -> dict[str, Any]:
    """What is printed, written and entered into the manifest."""
    counts = {m: [r.label == "malignant" for r in records if r.modality is m] for m in Modality}
    reached: dict[str, Any] = {
        m.value: {
            "n": len(counts[m]),
            "malignant": sum(counts[m]),
            "tpr": round(point.tpr, 4),
            "tnr": round(point.tnr, 4),
        }
        for m, point in chosen.points.items()
    }
    reached["fused"] = {"tpr": round(chosen.tpr, 4), "tnr": round(chosen.tnr, 4)}
    return {
        # Not rounded: each lies midway between two scores, which may be closer than any rounding.
        "operating_points": {m.value: point.threshold for m, point in chosen.points.items()},
        "operating_points_chosen": {
            "on": ", ".join(sorted({record.split for record in records})),
            "for": f"fused {target.name} of at least {target.rate:g}, either modality alone "
            f"keeping a sensitivity of at least {target.least:g}",
            "rule": RULE,
            "target": asdict(target),
            "split_sha256": split_hash(records),
            "reached": reached,
        },
    }


def enter(bundle: Path, chosen: Mapping[str, Any]) -> str:
    """Write chosen operating points into the bundle's manifest, whole or not at all.

    The stages and their hashes stay; the manifest's own hash, which is the bundle's identity,
    changes. Metrics in the manifest were measured at other points: it says at which.
    Returns the bundle's new sha256. Raises BundleError.
    """
    before = dict(open_bundle(bundle).manifest)
    training = dict(before.get("training", {}))
    if "metrics" in training:
        training.setdefault("metrics_operating_points", before["operating_points"])
    after = {**before, **chosen, **({"training": training} if training else {})}
    write_manifest(bundle, after)
    return open_bundle(bundle).sha256
