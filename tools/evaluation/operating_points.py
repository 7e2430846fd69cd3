"""Operating points and the image score's mixture, chosen on validation data.

One modality's threshold is chosen by its own scores; both are chosen together so that the fused
verdict meets a target. Over all simulated pairs of the same truth, see mammosono.tools.evaluation
.pairs, the fused rates are
    TPR = 1 - (1 - TPR_MG)(1 - TPR_US),    TNR = TNR_MG TNR_US,
so every pair of thresholds that tells the scores apart can be tried: the search is exact.

Left to itself the search may silence the weaker test: a threshold that nothing reaches costs no
specificity. But a study may hold that test alone. So each must keep a sensitivity of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.model import open_model
from mammosono.appliance.pipeline.reader import ImageReader, Reader
from mammosono.appliance.values import ImageReading, Modality, Verdict
from mammosono.engines.bundle import open_bundle, write_manifest
from mammosono.engines.options import EngineOptions
from mammosono.tools.data.index import Record, split_hash
from mammosono.tools.evaluation.bootstrap import Floats
from mammosono.tools.evaluation.metrics import Bools, auc
from mammosono.tools.progress import OnCount

SENSITIVITY = 0.90
"""Goal of one modality alone where none is stated."""
LEAST = 0.5
"""Sensitivity that either modality keeps alone where no other is stated."""
WEIGHTS = tuple(i / 10 for i in range(11))
TOLERANCE = 1e-12
"""1 - 1/10 must reach 0.9."""
RULE = (
    "over all pairs of a mammogram and an ultrasound image of the same truth, fused by OR: of the "
    "thresholds that meet the target those with most of the other rate"
)


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold in [0, 1]; an image is positive at `score >= threshold`.

    tpr, tnr: what the threshold reaches on the data it was chosen on (optimistic).
    """

    threshold: float
    tpr: float
    tnr: float


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """threshold, tpr, tnr: float [k]."""

    threshold: Floats
    tpr: Floats
    tnr: Floats

    def point(self, index: int) -> OperatingPoint:
        return OperatingPoint(
            float(self.threshold[index]), float(self.tpr[index]), float(self.tnr[index])
        )


@dataclass(frozen=True, slots=True)
class ImageScore:
    """score = weight * head + (1 - weight) * finding, and its AUC where it was chosen."""

    weight: float
    auc: float


def choose_threshold(
    scores: Floats,
    truth: Bools,
    *,
    sensitivity: float | None = None,
    specificity: float | None = None,
) -> OperatingPoint:
    """The threshold that just reaches the stated goal and gives most of the other rate.

    scores: float [n] in [0, 1]; truth: bool [n], malignant or not. At most one goal in (0, 1];
    with none, sensitivity 0.90. The threshold lies midway between neighbouring scores (0 and 1
    count as neighbours of the outermost), so that small changes of a score change no call.
    Raises ValueError if a class is missing, a score is outside [0, 1] or NaN, both goals are
    given, or no threshold in [0, 1] reaches the specificity.
    """
    if sensitivity is not None and specificity is not None:
        raise ValueError("state a sensitivity or a specificity, not both")
    each = cuts(scores, truth)
    if specificity is not None:
        reached = np.flatnonzero(each.tnr >= _goal(specificity))
        if not reached.size:
            raise ValueError(f"no threshold reaches specificity {specificity:g}: scores of 1")
        return each.point(int(reached[0]))
    goal = SENSITIVITY if sensitivity is None else sensitivity
    return each.point(int(np.flatnonzero(each.tpr >= _goal(goal))[-1]))


def cuts(scores: Floats, truth: Bools) -> Cuts:
    """Every threshold that separates neighbouring scores, ascending, and what it reaches.

    Raises ValueError if a class is missing or a score is outside [0, 1] or NaN.
    """
    _check(truth, scores)
    thresholds = _midway(scores)
    positive = scores >= thresholds[:, None]
    return Cuts(thresholds, positive[:, truth].mean(axis=1), 1 - positive[:, ~truth].mean(axis=1))


def choose_image_score(head: Floats, finding: Floats, truth: Bools) -> ImageScore:
    """The mixture of the two scores that ranks one modality's images best, by AUC.

    head: the whole-image head's malignant probability, float [n] in [0, 1]; finding: the
    highest malignancy score of its findings, 0 if there is none; truth: bool [n], malignant or
    not. The weight is one of 0, 0.1, .. 1; of equally good ones that nearest to 0.5, then the
    smaller.
    Raises ValueError if a class is missing or a score is outside [0, 1] or NaN.
    """
    _check(truth, head, finding)
    areas = [float(auc(w * head + (1 - w) * finding, truth)) for w in WEIGHTS]
    good = [i for i, area in enumerate(areas) if np.isclose(area, max(areas), rtol=0, atol=1e-12)]
    chosen = min(good, key=lambda i: (abs(i - 5), i))
    return ImageScore(WEIGHTS[chosen], areas[chosen])


def _midway(scores: Floats) -> Floats:
    """Thresholds that separate neighbouring scores, ascending."""
    levels = np.unique(np.asarray(scores, np.float64))
    low, high = np.concatenate(([0.0], levels)), np.concatenate((levels, [1.0]))
    middle = low + (high - low) / 2
    # Between neighbouring floats the middle rounds to one of them; `>=` needs the upper.
    return np.where(middle > low, middle, high)


def _goal(rate: float) -> float:
    if not 0 < rate <= 1:
        raise ValueError("the goal is a rate above 0 and at most 1")
    return rate - TOLERANCE


def _check(truth: Bools, *scores: Floats) -> None:
    if truth.all() or not truth.any():
        raise ValueError("both malignant and other images are needed to choose on")
    for each in scores:
        if each.shape != truth.shape or not ((each >= 0) & (each <= 1)).all():
            raise ValueError("every image needs a score in [0, 1]")


@dataclass(frozen=True, slots=True)
class Target:
    """What the fused verdict must reach: exactly one of the two rates, in (0, 1].

    least: sensitivity that either modality keeps alone, in [0, 1].
    Raises ValueError otherwise.
    """

    sensitivity: float | None = None
    specificity: float | None = None
    least: float = LEAST

    def __post_init__(self) -> None:
        if (self.sensitivity is None) == (self.specificity is None):
            raise ValueError("state a target sensitivity or a target specificity, one of them")
        if not 0 < self.rate <= 1 or not 0 <= self.least <= 1:
            raise ValueError("a target is a rate above 0 and at most 1")

    @property
    def rate(self) -> float:
        return next(r for r in (self.sensitivity, self.specificity) if r is not None)

    @property
    def name(self) -> str:
        return "sensitivity" if self.specificity is None else "specificity"


@dataclass(frozen=True, slots=True)
class JointPoint:
    """points: by modality, with what each reaches alone; tpr, tnr: of the fused verdict. All on
    the data they were chosen on (optimistic).
    """

    points: dict[Modality, OperatingPoint]
    tpr: float
    tnr: float


def choose_jointly(
    scores: dict[Modality, Floats], truth: dict[Modality, Bools], target: Target
) -> JointPoint:
    """The thresholds whose fused verdict meets the target and gives most of the other rate.

    scores: float [n] in [0, 1], truth: bool [n], malignant or not; of both modalities.
    Of equally good ones: most of the targeted rate; then the sensitivities most alike; then the
    higher thresholds, of mammograms first.
    Raises ValueError if a class is missing, a score is outside [0, 1] or NaN, or no thresholds
    meet the target.
    """
    mg, us = (cuts(scores[m], truth[m]) for m in Modality)
    tpr = 1 - np.outer(1 - mg.tpr, 1 - us.tpr)
    tnr = np.outer(mg.tnr, us.tnr)
    goal, other = (tpr, tnr) if target.specificity is None else (tnr, tpr)
    least = target.least - TOLERANCE
    enough = (mg.tpr[:, None] >= least) & (us.tpr >= least)
    met = np.argwhere(enough & (goal >= target.rate - TOLERANCE))
    if not met.size:
        raise ValueError(
            f"no two thresholds give a fused {target.name} of {target.rate:g} and leave either "
            f"modality a sensitivity of {target.least:g} alone; ask for less"
        )
    a, b = met.T
    apart = np.abs(mg.tpr[a] - us.tpr[b])
    # Rounded, so that equal rates reached by different arithmetic count as equal.
    keys = (b, a, -apart.round(12), goal[a, b].round(12), other[a, b].round(12))
    best = np.lexsort(keys)[-1]
    i, j = int(a[best]), int(b[best])
    return JointPoint(
        {Modality.MG: mg.point(i), Modality.US: us.point(j)}, float(tpr[i, j]), float(tnr[i, j])
    )


def choose_for_bundle(
    bundle: Path, records: Sequence[Record], target: Target, progress: OnCount
) -> dict[str, Any]:
    """The operating points of a bundle and what they reach on these records, as plain values.

    Raises ModelUnavailable, IntakeError, ModelFault, and ValueError as `choose_jointly` does.
    """
    engine, model = open_model(bundle, EngineOptions())
    # With the operating point out of reach a verdict shows only whether the device could clear it.
    silent = replace(
        model,
        modalities={
            modality: replace(own, scoring=replace(own.scoring, operating_point=1.0, breast=None))
            for modality, own in model.modalities.items()
        },
    )
    with Reader(engine, silent) as reader:
        scores, truth = read_scores(reader, records, progress)
    return as_plain(choose_jointly(scores, truth, target), records, target)


def read_scores(
    reader: ImageReader, records: Sequence[Record], progress: OnCount
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
    changes. Metrics in the manifest were measured at other points, which it names.
    Returns the bundle's new sha256. Raises BundleError.
    """
    opened = open_bundle(bundle)
    before = dict(opened.manifest)
    training = dict(before.get("training", {}))
    if "metrics" in training:
        earlier = {code: entry["operating_point"] for code, entry in opened.modalities.items()}
        training.setdefault("metrics_operating_points", earlier)
    after = {**before, **chosen, **({"training": training} if training else {})}
    if before["schema"] != 1:  # where each modality has its own entry
        points = after.pop("operating_points")
        after["modalities"] = {
            code: {**entry, **({"operating_point": points[code]} if code in points else {})}
            for code, entry in opened.modalities.items()
        }
    write_manifest(bundle, after)
    return open_bundle(bundle).sha256
