"""Operating points and the image score's mixture, chosen on validation data.

One modality's threshold is chosen by its own scores; both are chosen together so that the fused
verdict meets a target. Over all simulated pairs of the same truth, see mammosono.tools.evaluation
.pairs, the fused rates are
    TPR = 1 - (1 - TPR_MG)(1 - TPR_US),    TNR = TNR_MG TNR_US,
so every pair of thresholds that tells the scores apart can be tried: the search is exact.

A sensitivity that holds on the images at hand fails in half of all other samples. So it can be
asked to hold in a stated share of bootstrap draws, which take whole hospitals, and of each whole
cases, with replacement: hospitals differ by more than their images tell.

Left to itself the search may silence the weaker test: a threshold that nothing reaches costs no
specificity. But a study may hold that test alone. So each must keep a sensitivity of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.model import open_model
from mammosono.appliance.pipeline.reader import ImageReader, Reader
from mammosono.appliance.pipeline.scoring import breast_score
from mammosono.appliance.values import Evidence, ImageReading, Modality, Scoring, Verdict
from mammosono.engines.bundle import open_bundle, write_manifest
from mammosono.engines.options import EngineOptions
from mammosono.tools.data.index import Record, split_hash
from mammosono.tools.evaluation.bootstrap import SEED, Floats, case_weights
from mammosono.tools.evaluation.breasts import by_breast
from mammosono.tools.evaluation.metrics import Bools, auc, ratio
from mammosono.tools.progress import OnCount

SENSITIVITY = 0.90
"""Goal of one modality alone where none is stated."""
LEAST = 0.5
"""Sensitivity that either modality keeps alone where no other is stated."""
HOSPITALS = 500
"""Draws of hospitals and cases in which a target must hold."""
WEIGHTS = tuple(i / 10 for i in range(11))
AS_GOOD = 0.005
"""Difference of AUC that is no reason to prefer a mixture."""
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
    not. The weight is one of 0, 0.1, .. 1; of those within AS_GOOD of the best that nearest to
    0.5, then the smaller: so small a gain is chance, and two kinds of evidence are safer than
    one.
    Raises ValueError if a class is missing or a score is outside [0, 1] or NaN.
    """
    _check(truth, head, finding)
    areas = [float(auc(w * head + (1 - w) * finding, truth)) for w in WEIGHTS]
    good = [i for i, area in enumerate(areas) if area >= max(areas) - AS_GOOD - TOLERANCE]
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
    confidence: share of the draws of hospitals and cases in which the rate holds, in [0, 1); None:
    on the images themselves.
    Raises ValueError otherwise.
    """

    sensitivity: float | None = None
    specificity: float | None = None
    least: float = LEAST
    confidence: float | None = None

    def __post_init__(self) -> None:
        if (self.sensitivity is None) == (self.specificity is None):
            raise ValueError("state a target sensitivity or a target specificity, one of them")
        if not 0 < self.rate <= 1 or not 0 <= self.least <= 1:
            raise ValueError("a target is a rate above 0 and at most 1")
        if self.confidence is not None and not 0 <= self.confidence < 1:
            raise ValueError("a confidence is a share from 0 to below 1")

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
    scores: dict[Modality, Floats],
    truth: dict[Modality, Bools],
    target: Target,
    weights: Mapping[Modality, Floats] | None = None,
) -> JointPoint:
    """The thresholds whose fused verdict meets the target and gives most of the other rate.

    scores: float [n] in [0, 1], truth: bool [n], malignant or not; of both modalities. weights: of
    each how often an image counts in each draw, float [draws, n], where a confidence is asked for.
    Of equally good ones: most of the targeted rate; then the sensitivities most alike; then the
    higher thresholds, of mammograms first.
    Raises ValueError if a class is missing, a score is outside [0, 1] or NaN, or no thresholds
    meet the target.
    """
    mg, us = (cuts(scores[m], truth[m]) for m in Modality)
    tpr = 1 - np.outer(1 - mg.tpr, 1 - us.tpr)
    tnr = np.outer(mg.tnr, us.tnr)
    goal, other = (tpr, tnr) if target.specificity is None else (tnr, tpr)
    if target.confidence is not None and weights is not None:
        goal = _held(scores, truth, target, weights, (mg, us))
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


def _held(
    scores: dict[Modality, Floats],
    truth: dict[Modality, Bools],
    target: Target,
    weights: Mapping[Modality, Floats],
    each: tuple[Cuts, Cuts],
) -> Floats:
    """[k, l] the fused rate of every pair of cuts that the stated share of draws reaches or passes;
    a draw without an image of the class counts as 0."""
    assert target.confidence is not None
    sensitive, rates = target.specificity is None, []
    for modality, cut in zip(Modality, each, strict=True):
        positive = scores[modality] >= cut.threshold[:, None]
        member = truth[modality] if sensitive else ~truth[modality]
        drawn = weights[modality] * member
        right = drawn @ (positive if sensitive else ~positive).T.astype(np.float64)
        rates.append(np.nan_to_num(ratio(right, drawn.sum(axis=1, keepdims=True))))
    film, probe = rates
    rows = [
        1 - (1 - film[:, [k]]) * (1 - probe) if sensitive else film[:, [k]] * probe
        for k in range(film.shape[1])
    ]
    level = 1 - target.confidence
    return np.array([np.quantile(row, level, axis=0, method="lower") for row in rows])


def hospital_weights(
    hospitals: Sequence[str], cases: Sequence[str], draws: int, rng: np.random.Generator
) -> Floats:
    """How often each image counts in each draw, float [draws, n]: hospitals are drawn with
    replacement, and of each its cases."""
    names, member = np.unique(np.asarray(hospitals, str), return_inverse=True)
    counts = rng.multinomial(names.size, np.full(names.size, 1 / names.size), size=draws)
    out = np.zeros((draws, member.size))
    for k in range(names.size):
        own = np.flatnonzero(member == k)
        out[:, own] = case_weights([cases[int(i)] for i in own], draws, rng) * counts[:, [k]]
    return out


def choose_for_bundle(
    bundle: Path,
    records: Sequence[Record],
    target: Target,
    progress: OnCount,
    scored: Mapping[Modality, Sequence[Scored]] = MappingProxyType({}),
    on: str = "val",
) -> dict[str, Any]:
    """The operating points of a bundle and what they reach on these records, as plain values.

    scored: what other networks made of images, in place of the records of these modalities.
    on: the images in words.
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
        rest = [record for record in records if record.modality not in scored]
        read = read_scores(reader, rest, progress) | {m: list(own) for m, own in scored.items()}
    scores = {m: np.array([one.score for one in own]) for m, own in read.items()}
    truth = {m: np.array([one.malignant for one in own], bool) for m, own in read.items()}
    rng = np.random.default_rng(SEED)
    weights = {
        m: hospital_weights(
            [one.record.source for one in own], [one.record.case for one in own], HOSPITALS, rng
        )
        for m, own in read.items()
    }
    chosen = choose_jointly(scores, truth, target, weights)
    breasts = {}
    for modality, own in read.items():
        scoring = model.of(modality).scoring
        if scoring.breast is not None:
            goal = chosen.points[modality].tpr
            breasts[modality] = choose_for_breasts(own, scoring, goal)
    return as_plain(chosen, read, target, breasts, on)


@dataclass(frozen=True, slots=True)
class Scored:
    """An image's score, and what it is made of where the bundle says so. What the device cannot
    read, or would never clear, is wrong at every threshold, as in an evaluation: score 0 with a
    malignant lesion, 1 without."""

    record: Record
    score: float
    evidence: Evidence | None

    @property
    def malignant(self) -> bool:
        return self.record.label == "malignant"


@dataclass(frozen=True, slots=True)
class BreastPoint:
    """The operating point of breasts seen in two views. n, malignant: breasts."""

    n: int
    malignant: int
    point: OperatingPoint


def read_scores(
    reader: ImageReader, records: Sequence[Record], progress: OnCount
) -> dict[Modality, list[Scored]]:
    """By modality, in the records' order."""
    read: dict[Modality, list[Scored]] = {modality: [] for modality in Modality}
    for done, record in enumerate(records, start=1):
        image = read_image(record.image.read_bytes(), record.modality)
        reading = reader.read([image]).images[0]
        score = _score(reading, record.label == "malignant")
        read[record.modality].append(Scored(record, score, reading.evidence))
        progress(done, len(records))
    return read


def choose_for_breasts(
    images: Sequence[Scored], scoring: Scoring, sensitivity: float
) -> BreastPoint:
    """The threshold for breasts that keeps the sensitivity which one image alone has: two views
    then cost fewer false alarms. Raises ValueError as `choose_threshold`."""
    sides = by_breast(images, lambda one: one.record)
    scores, truth = [], []
    for views in sides.values():
        seen = [one.evidence for one in views if one.evidence is not None]
        scores.append(breast_score(seen, scoring))
        truth.append(any(one.malignant for one in views))
    sick = np.array(truth, bool)
    return BreastPoint(
        len(scores), int(sick.sum()),
        choose_threshold(np.array(scores), sick, sensitivity=sensitivity),
    )  # fmt: skip


def _score(reading: ImageReading, malignant: bool) -> float:
    unclear = reading.verdict is Verdict.INDETERMINATE and not malignant
    if reading.score is None or unclear:
        return 0.0 if malignant else 1.0
    return reading.score


def as_plain(
    chosen: JointPoint,
    images: Mapping[Modality, Sequence[Scored]],
    target: Target,
    breasts: Mapping[Modality, BreastPoint],
    on: str,
) -> dict[str, Any]:
    """What is printed, written and entered into the manifest."""
    reached: dict[str, Any] = {
        m.value: {
            "n": len(images[m]),
            "malignant": sum(one.malignant for one in images[m]),
            "tpr": round(point.tpr, 4),
            "tnr": round(point.tnr, 4),
        }
        for m, point in chosen.points.items()
    }
    for m, breast in breasts.items():
        reached[f"{m.value} breasts"] = {
            "n": breast.n,
            "malignant": breast.malignant,
            "tpr": round(breast.point.tpr, 4),
            "tnr": round(breast.point.tnr, 4),
        }
    reached["fused"] = {"tpr": round(chosen.tpr, 4), "tnr": round(chosen.tnr, 4)}
    held = (
        ""
        if target.confidence is None
        else f" in {target.confidence:.0%} of draws of hospitals and cases"
    )
    return {
        # Not rounded: each lies midway between two scores, which may be closer than any rounding.
        "operating_points": {m.value: point.threshold for m, point in chosen.points.items()},
        "breast_operating_points": {m.value: own.point.threshold for m, own in breasts.items()},
        "operating_points_chosen": {
            "on": on,
            "for": f"fused {target.name} of at least {target.rate:g}{held}, either modality alone "
            f"keeping a sensitivity of at least {target.least:g}",
            "rule": RULE,
            "target": asdict(target),
            "split_sha256": split_hash([one.record for own in images.values() for one in own]),
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
    of_breasts = after.pop("breast_operating_points", {})
    if before["schema"] != 1:  # where each modality has its own entry
        points = after.pop("operating_points")
        modalities = {code: dict(entry) for code, entry in opened.modalities.items()}
        for code, point in points.items():
            modalities[code]["operating_point"] = point
        for code, point in of_breasts.items():
            score = modalities[code]["score"]
            breast = {**score["breast"], "operating_point": point}
            modalities[code]["score"] = {**score, "breast": breast}
        after["modalities"] = modalities
    write_manifest(bundle, after)
    return open_bundle(bundle).sha256
