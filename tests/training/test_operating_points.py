"""Operating points: one modality's, both together, and into a bundle."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny_bundle import drawn_bundle, drawn_networks
from typer.testing import CliRunner

from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.fusion import fuse
from mammosono.appliance.values import (
    BreastScoring,
    Calibration,
    DenoiseRecord,
    Evidence,
    ImageReading,
    Label,
    Modality,
    ModelInfo,
    Reading,
    Scoring,
    SourceImage,
    Verdict,
)
from mammosono.engines.bundle import open_bundle, write_manifest
from mammosono.tools.cli import app
from mammosono.tools.data.index import COLUMNS, Record, read_index
from mammosono.tools.evaluation.metrics import auc
from mammosono.tools.evaluation.operating_points import (
    JointPoint,
    Scored,
    Target,
    choose_for_breasts,
    choose_image_score,
    choose_jointly,
    choose_threshold,
    enter,
    hospital_weights,
    read_scores,
)

few = settings(max_examples=80, deadline=None)
rows = st.lists(
    st.tuples(st.floats(0, 1, width=32).map(float), st.booleans()), min_size=2, max_size=15
)
TRUTH = np.array([False, False, False, False, True, True, True, True, True])
SCORES = np.array([0.1, 0.2, 0.3, 0.7, 0.25, 0.6, 0.8, 0.9, 0.95])


def test_the_threshold_lies_midway_below_the_last_score_that_the_sensitivity_needs() -> None:
    point = choose_threshold(SCORES, TRUTH, sensitivity=0.8)
    assert point.threshold == pytest.approx((0.3 + 0.6) / 2)
    assert (point.tpr, point.tnr) == pytest.approx((0.8, 0.75))


def test_the_default_goal_is_a_sensitivity_of_90_percent() -> None:
    point = choose_threshold(SCORES, TRUTH)
    assert point == choose_threshold(SCORES, TRUTH, sensitivity=0.9)
    assert point.threshold == pytest.approx((0.2 + 0.25) / 2)


def test_the_threshold_lies_midway_above_the_last_score_that_the_specificity_needs() -> None:
    point = choose_threshold(SCORES, TRUTH, specificity=1.0)
    assert point.threshold == pytest.approx((0.7 + 0.8) / 2)
    assert (point.tpr, point.tnr) == pytest.approx((0.6, 1.0))


def test_ties_are_never_cut_apart() -> None:
    truth = np.array([True, True, False, False])
    point = choose_threshold(np.array([0.5, 0.5, 0.5, 0.1]), truth, sensitivity=0.5)
    assert point.threshold == pytest.approx(0.3)
    assert (point.tpr, point.tnr) == (1.0, 0.5)


@few
@given(rows, st.floats(0.05, 1))
def test_the_goal_is_reached_and_no_other_cut_that_reaches_it_is_more_specific(
    rows: list[tuple[float, bool]], goal: float
) -> None:
    scores, truth = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    assume(truth.any() and not truth.all())
    point = choose_threshold(scores, truth, sensitivity=goal)
    called = scores >= point.threshold
    assert 0 <= point.threshold <= 1
    assert point.tpr == called[truth].mean() >= goal - 1e-9
    assert point.tnr == pytest.approx(1 - called[~truth].mean())
    for cut in scores:
        if (scores >= cut)[truth].mean() >= goal:
            assert (scores < cut)[~truth].mean() <= point.tnr + 1e-9


@pytest.mark.parametrize("low", [0.5, np.nextafter(0.5, 0)])
def test_neighbouring_floats_are_told_apart(low: float) -> None:
    high = np.nextafter(low, 1)
    point = choose_threshold(np.array([low, high]), np.array([False, True]), sensitivity=1.0)
    assert (point.tpr, point.tnr) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("scores", "truth", "goal", "complaint"),
    [
        ([0.1, 0.2], [True, True], {}, "both malignant and other"),
        ([0.1, np.nan], [True, False], {}, r"score in \[0, 1\]"),
        ([0.1, 1.1], [True, False], {}, r"score in \[0, 1\]"),
        ([0.1, 0.2], [True, False], {"sensitivity": 0.0}, "above 0"),
        ([0.1, 0.2], [True, False], {"specificity": 1.5}, "at most 1"),
        ([0.1, 0.2], [True, False], {"specificity": 0.5, "sensitivity": 0.5}, "not both"),
        ([0.1, 1.0], [True, False], {"specificity": 0.5}, "no threshold reaches specificity 0.5"),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    scores: list[float], truth: list[bool], goal: dict[str, float], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        choose_threshold(np.array(scores), np.array(truth), **goal)


def test_the_mixture_takes_the_part_that_ranks_better() -> None:
    truth = np.array([False, False, True, True])
    good, flat = np.array([0.1, 0.2, 0.8, 0.9]), np.full(4, 0.5)
    bad = 1 - good
    assert choose_image_score(good, bad, truth).auc == 1.0
    assert choose_image_score(good, bad, truth).weight > 0.5
    assert choose_image_score(bad, good, truth).weight < 0.5
    assert choose_image_score(good, flat, truth).weight == 0.5


def test_a_mixture_can_rank_better_than_either_part() -> None:
    truth = np.array([False, False, True, True])
    head, finding = np.array([0.6, 0.1, 0.9, 0.5]), np.array([0.1, 0.6, 0.5, 0.9])
    chosen = choose_image_score(head, finding, truth)
    assert (chosen.weight, chosen.auc) == (0.5, 1.0)


def test_a_gain_that_is_chance_moves_no_weight() -> None:
    """0.002 of AUC for the region alone: the even mixture stays."""
    rng = np.random.default_rng(0)
    truth = np.arange(400) < 200
    head = np.clip(0.5 + 0.1 * truth + rng.normal(0, 0.1, 400), 0, 1)
    finding = head.copy()
    swapped = [int(np.argmin(np.where(truth, head, 2))), int(np.argmax(np.where(truth, -1, head)))]
    finding[swapped] = finding[swapped[::-1]]
    chosen = choose_image_score(head, finding, truth)
    best = max(float(auc(head, truth)), float(auc(finding, truth)))
    assert best > chosen.auc
    assert chosen.weight == 0.5


def test_choosing_a_mixture_needs_both_classes_and_scores() -> None:
    with pytest.raises(ValueError, match="both malignant and other"):
        choose_image_score(np.ones(2), np.ones(2), np.array([True, True]))
    with pytest.raises(ValueError, match="score in"):
        choose_image_score(np.ones(2), np.array([0.2, np.nan]), np.array([True, False]))


fewer = settings(max_examples=30, deadline=None)
MG, US = Modality.MG, Modality.US
side = st.lists(
    st.tuples(st.integers(0, 20).map(lambda i: i / 20), st.booleans()), min_size=2, max_size=7
).filter(lambda rows: len({truth for _, truth in rows}) == 2)
Sides = tuple[dict[Modality, np.ndarray], dict[Modality, np.ndarray]]


def sides(mg: list[tuple[float, bool]], us: list[tuple[float, bool]]) -> Sides:
    scores = {m: np.array([r[0] for r in rows]) for m, rows in ((MG, mg), (US, us))}
    truth = {m: np.array([r[1] for r in rows]) for m, rows in ((MG, mg), (US, us))}
    return scores, truth


def rates(
    scores: dict[Modality, np.ndarray], truth: dict[Modality, np.ndarray], at: dict[Modality, float]
) -> tuple[float, float]:
    """TPR and TNR over every pair of the same truth, by the device's own fusion."""
    right: dict[bool, list[bool]] = {True: [], False: []}
    for i, j in itertools.product(range(len(scores[MG])), range(len(scores[US]))):
        if truth[MG][i] == truth[US][j]:
            each = {MG: scores[MG][i] >= at[MG], US: scores[US][j] >= at[US]}
            called = {m: [Verdict.POSITIVE if yes else Verdict.NEGATIVE] for m, yes in each.items()}
            sick = bool(truth[MG][i])
            wanted = Verdict.POSITIVE if sick else Verdict.NEGATIVE
            right[sick].append(fuse(called).verdict is wanted)
    return float(np.mean(right[True])), float(np.mean(right[False]))


def thresholds(point: JointPoint) -> dict[Modality, float]:
    return {m: each.threshold for m, each in point.points.items()}


@fewer
@given(side, side, st.floats(0.1, 1), st.booleans())
def test_the_target_is_met_by_the_fused_verdict_and_no_other_cut_does_better(
    mg: list[tuple[float, bool]], us: list[tuple[float, bool]], rate: float, sensitive: bool
) -> None:
    scores, truth = sides(mg, us)
    target = Target(rate, None, 0.0) if sensitive else Target(None, rate, 0.0)
    try:
        chosen = choose_jointly(scores, truth, target)
    except ValueError:
        # Only scores of 1 cannot be cleared.
        assert not sensitive
        assert max(scores[MG].max(), scores[US].max()) == 1
        return
    tpr, tnr = rates(scores, truth, thresholds(chosen))
    assert (chosen.tpr, chosen.tnr) == (pytest.approx(tpr), pytest.approx(tnr))
    assert (tpr if sensitive else tnr) >= rate - 1e-9
    for a, b in itertools.product(np.unique(scores[MG]), np.unique(scores[US])):
        other = rates(scores, truth, {MG: a, US: b})
        if (other[0] if sensitive else other[1]) >= rate:
            assert (other[1] if sensitive else other[0]) <= (tnr if sensitive else tpr) + 1e-9


@fewer
@given(side, side)
def test_asking_for_more_sensitivity_never_gives_more_specificity(
    mg: list[tuple[float, bool]], us: list[tuple[float, bool]]
) -> None:
    scores, truth = sides(mg, us)
    tnrs = [choose_jointly(scores, truth, Target(r, None, 0.0)).tnr for r in (0.3, 0.6, 0.9, 1)]
    assert tnrs == sorted(tnrs, reverse=True)


GOOD = [(0.9, True), (0.8, True), (0.2, False), (0.1, False)]
BLIND = [(0.5, True), (0.4, True), (0.6, False), (0.3, False)]


def test_a_weak_test_is_not_silenced_although_that_would_cost_nothing() -> None:
    scores, truth = sides(BLIND, GOOD)
    free = choose_jointly(scores, truth, Target(1.0, None, 0.0))
    assert free.points[MG].tpr == 0
    assert free.tnr == 1
    kept = choose_jointly(scores, truth, Target(1.0, None, 0.5))
    assert kept.points[MG].tpr >= 0.5
    assert kept.tnr == pytest.approx(0.5)


def test_the_threshold_lies_midway_between_scores() -> None:
    scores, truth = sides(GOOD, GOOD)
    assert thresholds(choose_jointly(scores, truth, Target(1.0))) == {MG: 0.5, US: 0.5}


def test_of_equally_good_ones_the_sensitivities_are_most_alike() -> None:
    # Of three malignant ones either test finds two for nothing, or three at the price of a false
    # alarm that costs as much on either side.
    rows = [(0.9, True), (0.8, True), (0.3, True), (0.5, False), (0.1, False)]
    chosen = choose_jointly(*sides(rows, rows), Target(8 / 9))
    assert [point.tpr for point in chosen.points.values()] == pytest.approx([2 / 3, 2 / 3])
    assert (chosen.tpr, chosen.tnr) == (pytest.approx(8 / 9), 1)


@pytest.mark.parametrize("target", [{}, {"sensitivity": 0.9, "specificity": 0.9}])
def test_exactly_one_target_is_stated(target: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="one of them"):
        Target(**target)


@pytest.mark.parametrize("rate", [0.0, 1.1, float("nan")])
def test_a_target_is_a_rate(rate: float) -> None:
    with pytest.raises(ValueError, match="rate above 0"):
        Target(sensitivity=rate)


def test_what_cannot_be_met_is_refused_with_a_remedy() -> None:
    scores, truth = sides(BLIND, BLIND)
    with pytest.raises(ValueError, match=r"fused specificity of 1 .* of 0.9 alone; ask for less"):
        choose_jointly(scores, truth, Target(None, 1.0, 0.9))


NAMES = {Modality.MG: "mammogram", Modality.US: "ultrasound"}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three malignant and three normal phantoms of either modality, all val."""
    folder = tmp_path_factory.mktemp("data")
    rows = [",".join(COLUMNS)]
    for modality, name in NAMES.items():
        for i in range(6):
            label = Label.MALIGNANT if i % 2 else None
            drawn = phantom(modality, i, label, height=128, width=96)
            file = f"{name}_{i}.png"
            cv2.imwrite(str(folder / file), drawn.pixels)
            rows.append(f"{name},{'malignant' if label else 'normal'},{file},,,{file},phantom,val")
    (folder / "index.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder / "index.csv"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


def choose(bundle: Path, index: Path, *options: str) -> tuple[int, str]:
    arguments = ["--bundle", str(bundle), "--data", str(index), "--source", "phantom", *options]
    done = CliRunner().invoke(app, ["operating-points", *arguments])
    return done.exit_code, done.output


def test_the_points_are_printed_and_written_and_the_bundle_changes_only_when_asked(
    bundle: Path, index: Path, tmp_path: Path
) -> None:
    before, out = open_bundle(bundle), tmp_path / "points.json"
    options = ("--target-sensitivity", "0.9", "--least", "0", "--out", str(out))
    code, shown = choose(bundle, index, *options)
    assert code == 0, shown
    assert "fused sensitivity of at least 0.9" in shown
    plain = json.loads(out.read_text())
    reached = plain["operating_points_chosen"]["reached"]
    assert (reached["MG"]["n"], reached["US"]["malignant"]) == (6, 3)
    assert reached["fused"]["tpr"] >= 0.9
    assert open_bundle(bundle).sha256 == before.sha256
    code, shown = choose(bundle, index, *options, "--write")
    assert code == 0, shown
    after = open_bundle(bundle)
    assert after.sha256 != before.sha256
    assert after.sha256[:12] in shown
    assert after.manifest["operating_points"] == plain["operating_points"]
    assert {name: stage.sha256 for name, stage in after.stages.items()} == {
        name: stage.sha256 for name, stage in before.stages.items()
    }


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((), "one of them"),
        (("--target-sensitivity", "0.9", "--target-specificity", "0.9"), "one of them"),
        (("--target-sensitivity", "0.9", "--split", "test"), "test images choose nothing"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_an_image_is_read(
    options: tuple[str, ...], complaint: str, bundle: Path, index: Path
) -> None:
    code, shown = choose(bundle, index, *options)
    assert code == 2
    assert complaint in shown
    assert "reading" not in shown


def test_metrics_that_were_measured_at_other_points_say_at_which(
    bundle: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(bundle, tmp_path / "tiny")
    manifest = dict(open_bundle(bundle).manifest)
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "training": {"metrics": {}}}))
    first = dict(manifest["operating_points"])
    for point in (0.4, 0.6):
        sha256 = enter(bundle, {"operating_points": {"MG": point, "US": point}})
    after = open_bundle(bundle)
    assert after.sha256 == sha256
    assert after.manifest["operating_points"] == {"MG": 0.6, "US": 0.6}
    assert after.manifest["training"]["metrics_operating_points"] == first


class Says:
    """A reader with an answer for each image in turn."""

    def __init__(self, answers: Sequence[tuple[Verdict, float | None]]) -> None:
        self._answers = iter(answers)

    def read(self, images: Sequence[SourceImage]) -> Reading:
        (image,) = images
        verdict, score = next(self._answers)
        reading = ImageReading(
            0, image.modality, image.width, image.height, image.sha256, verdict, score, (),
            DenoiseRecord("none"),
        )  # fmt: skip
        return Reading(
            verdict, (), True, (reading,), (), ModelInfo("", "", "", "", {}), {"total": 1.0}
        )


def test_what_the_device_would_never_clear_is_wrong_at_every_threshold(index: Path) -> None:
    records = [r for r in read_index(index) if r.modality is Modality.MG]
    unclear, clear = Verdict.INDETERMINATE, Verdict.NEGATIVE
    # Normal and malignant in turn.
    says = [(clear, 0.1), (clear, 0.2), (unclear, 0.3), (unclear, 0.4), (unclear, None)]
    says.append((unclear, None))
    read = read_scores(Says(says), records, lambda done, total: None)[Modality.MG]
    assert [one.malignant for one in read] == [False, True] * 3
    assert [one.score for one in read] == [0.1, 0.2, 1, 0.4, 1, 0]


def test_a_draw_takes_hospitals_and_of_each_its_cases() -> None:
    hospitals, cases = ["a"] * 3 + ["b"] * 2, ["1", "1", "2", "3", "4"]
    weights = hospital_weights(hospitals, cases, 4000, np.random.default_rng(0))
    assert (weights[:, 0] == weights[:, 1]).all()  # of one case
    taken = {"a": weights[:, :3].any(axis=1), "b": weights[:, 3:].any(axis=1)}
    only_a = taken["a"] & ~taken["b"]
    assert only_a.mean() == pytest.approx(0.25, abs=0.03)
    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.1)


def test_a_target_with_confidence_holds_in_the_hospital_where_it_is_hardest() -> None:
    """One hospital's cancers score 0.9, the other's 0.4; a draw may hold the second alone."""
    us = [(0.9, True)] * 6 + [(0.4, True)] * 6 + [(0.5, False), (0.1, False)] * 4
    scores, truth = sides([(0.9, True), (0.1, False)] * 10, us)
    scores[MG] = np.full(20, 0.5)  # says nothing: the ultrasound must do it
    hospitals = ["a"] * 6 + ["b"] * 6 + ["a"] * 4 + ["b"] * 4
    rng = np.random.default_rng(1)
    weights = {
        MG: hospital_weights(["c"] * 20, [str(k) for k in range(20)], 300, rng),
        US: hospital_weights(hospitals, [str(k) for k in range(20)], 300, rng),
    }
    plain = choose_jointly(scores, truth, Target(0.5, None, 0.0), weights)
    assert plain.points[US].threshold > 0.4
    sure = choose_jointly(scores, truth, Target(0.5, None, 0.0, 0.9), weights)
    assert sure.points[US].threshold < 0.4
    assert sure.tpr == 1


@pytest.mark.parametrize("confidence", [-0.1, 1.0, float("nan")])
def test_a_confidence_is_a_share_below_one(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence is a share"):
        Target(0.9, None, 0.5, confidence)


def scored(case: str, view: str, label: str, region: float) -> Scored:
    record = Record(MG, label, f"{case}_L_{view}.png", Path(), (), (), case, "drawn", "val")
    return Scored(record, region, Evidence(region, region))


def test_a_breast_keeps_the_sensitivity_of_one_image_and_its_two_views_cost_less() -> None:
    images = []
    for k in range(8):
        label, base = ("malignant", 0.6) if k % 2 else ("benign", 0.4)
        images += [
            scored(f"p{k}", "CC", label, base + 0.15 + k / 100),
            scored(f"p{k}", "MLO", label, base - 0.15 + k / 100),
        ]
    scoring = Scoring(0.5, 0.05, 0.5, None, BreastScoring(Calibration(1.0, 0.0), 0.5))
    chosen = choose_for_breasts(images, scoring, 1.0)
    assert (chosen.n, chosen.malignant) == (8, 4)
    assert (chosen.point.tpr, chosen.point.tnr) == (1, 1)
    single = choose_threshold(
        np.array([one.score for one in images]),
        np.array([one.malignant for one in images]),
        sensitivity=1.0,
    )
    assert single.tnr < 1


def test_points_of_breasts_are_entered_beside_those_of_images(tmp_path: Path) -> None:
    bundle = drawn_networks(tmp_path / "tiny", {"MG": ((128, 96), 1), "US": ((96, 128), 2)})
    manifest = dict(open_bundle(bundle).manifest)
    score = {
        "rule": "head-and-region",
        "head_weight": 0.5,
        "region_floor": 0.05,
        "calibration": {"slope": 1.0, "intercept": 0.0},
        "breast": {"calibration": {"slope": 2.0, "intercept": 0.1}, "operating_point": 0.5},
    }
    manifest["modalities"]["MG"]["score"] = score
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    enter(
        bundle, {"operating_points": {"MG": 0.3, "US": 0.4}, "breast_operating_points": {"MG": 0.2}}
    )
    after = open_bundle(bundle).manifest
    assert after["modalities"]["MG"]["operating_point"] == 0.3
    assert after["modalities"]["US"]["operating_point"] == 0.4
    assert after["modalities"]["MG"]["score"] == {
        **score,
        "breast": {**score["breast"], "operating_point": 0.2},
    }
    assert "breast_operating_points" not in after


def test_a_source_that_is_class_free_chooses_no_operating_point(
    bundle: Path, index: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(bundle, tmp_path / "own")
    networks = {"one": {"config": {"class_free": ["phantom"]}}}
    manifest = {**open_bundle(own).manifest, "training": {"networks": networks}}
    write_manifest(own, manifest)
    code, shown = choose(own, index, "--target-sensitivity", "0.9")
    assert code == 2
    assert "no val image to choose on" in shown
