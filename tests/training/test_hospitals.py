"""Figures by hospital: roles of sources, what was promised and kept, pairs of two hospitals."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest
from labelled_world import TERMS, World, both, busi, finding
from tiny_bundle import drawn_bundle

from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.appliance.values import Modality
from mammosono.engines.bundle import open_bundle
from mammosono.tools.commands.shared import trained_sources
from mammosono.tools.evaluation.evaluate import Terms
from mammosono.tools.evaluation.files import write_evaluation
from mammosono.tools.evaluation.hospital_tables import hospital_tables, shown_groups
from mammosono.tools.evaluation.promises import promises_of
from mammosono.tools.evaluation.roles import Roles, roles_of
from mammosono.tools.evaluation.table import as_dict, as_markdown

REACHED = {
    "operating_points_chosen": {
        "on": "val",
        "reached": {
            "MG": {"n": 10, "malignant": 4, "tpr": 0.75, "tnr": 0.5},
            "US": {"n": 30, "malignant": 10, "tpr": 0.9, "tnr": 0.8},
            "fused": {"tpr": 0.975, "tnr": 0.4},
        },
    }
}


def hospitals() -> World:
    """busi(), and one hospital each that is outside and whose images are all of one kind."""
    world = busi()
    world.add("malignant", 0.1, source="far away", lesions=[(20, 20, 20, 20)])
    world.add("normal", 0.9, source="far away")
    found = finding((20, 20, 20, 20), 0.9)
    world.add("malignant", 0.9, found, source="one kind", lesions=[(20, 20, 20, 20)])
    return world


def terms(**more: Any) -> Terms:
    trained = frozenset({"BUSI", "CBIS-DDSM", "one kind"})
    return Terms(Roles(trained, frozenset({"one kind"})), **more)


def table(evaluation: Any, name: str) -> list[list[str]]:
    return next(t.rows for t in hospital_tables(as_dict(evaluation)) if t.name == name)


def test_roles_are_what_the_manifest_says_and_the_command_adds() -> None:
    training = {
        "sources": ["A", "B", "C"],
        "networks": {
            "one": {"config": {"class_free": ["B"]}},
            "two": {"config": {}},
        },
    }
    roles = roles_of({"training": training}, ["D"])
    assert [s for s in "ABCDE" if roles.outside(s)] == ["D", "E"]
    assert [s for s in "ABCDE" if roles.pooled(s)] == ["A", "C"]
    assert roles.class_free == {"B", "D"}


def test_of_a_bundle_that_does_not_say_what_trained_it_nothing_is_outside() -> None:
    assert not roles_of({}).outside("anything")
    assert roles_of({}).pooled("anything")


def test_only_trained_sources_that_are_judged_by_class_are_pooled() -> None:
    groups = hospitals().evaluate(terms()).groups
    assert {name: group.n for name, group in groups.items()} == {
        "US": 6,
        "US/BUSI": 6,
        "US/far away": 2,
        "US/one kind": 1,
    }


def test_a_class_free_source_enters_figures_of_lesions_alone() -> None:
    evaluation = hospitals().search(terms())
    group = evaluation.groups["US/one kind"]
    defined = {name for name, e in group.estimates.items() if not math.isnan(e.value)}
    assert defined == {
        "dice_mean", "dice_median", "dice_over_half", "jaccard_mean", "box_hit", "centre_hit",
        "findings_per_image",
    }  # fmt: skip
    assert group.estimates["dice_mean"].value == 1
    assert (group.tp, group.fp, group.tn, group.fn) == (None, None, None, None)
    assert (group.three_way, group.reliability) == ((), ())
    assert evaluation.lesions["US/one kind"].estimates["sensitivity"].value == 1
    curves = evaluation.curves["US/one kind"]
    assert (curves.roc, curves.pr, curves.reliability) == ((), (), ())
    assert curves.froc is not None
    assert "Of lesions alone, not of their kind: one kind." in as_markdown(evaluation)


def test_the_roles_and_a_row_a_hospital_stand_in_the_table() -> None:
    rows = table(hospitals().evaluate(terms()), "hospitals")
    assert [(row[0], row[1], row[2]) for row in rows[1:]] == [
        ("US/BUSI", "trained", "6 (6)"),
        ("US/far away", "outside", "2 (2)"),
        ("US/one kind", "lesions only", "1 (1)"),
    ]
    assert rows[2][4:7] == [
        "0.000 (0.00 to 0.00)",
        "0.000 (0.00 to 0.00)",
        "0.000 (0.00 to 0.00)",
    ]
    assert rows[3][4:7] == ["-", "-", "-"]


def test_a_modality_is_shown_by_itself_only_where_it_is_more_than_its_one_source() -> None:
    assert shown_groups({"MG": 3, "MG/A": 3, "US": 5, "US/B": 3, "US/C": 2}) == [
        "MG/A", "US", "US/B", "US/C",
    ]  # fmt: skip


def test_the_search_is_set_beside_what_is_reported_at_the_same_false_positives() -> None:
    value = {k: e.value for k, e in busi().search().lesions["US/BUSI"].estimates.items()}
    # Reported: 4 of 6 lesions, 2 false on 6 images. The search at 2 of 6: the same 4.
    assert (value["sensitivity"], value["false_positives"]) == pytest.approx((4 / 6, 2 / 6))
    assert value["froc_reported"] == pytest.approx(4 / 6)
    assert value["froc_lost"] == pytest.approx(0)


def test_what_is_promised_is_read_from_the_manifest_with_wilsons_interval() -> None:
    mg_tpr, mg_tnr, us_tpr, us_tnr, fused_tpr, fused_tnr = promises_of(REACHED)
    assert (mg_tpr.value, mg_tpr.n, mg_tnr.n, us_tpr.n, us_tnr.n) == (0.75, 4, 6, 10, 20)
    assert (us_tpr.low, us_tpr.high) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    # The OR of the modalities' bounds.
    assert fused_tpr.low == pytest.approx(1 - (1 - mg_tpr.low) * (1 - us_tpr.low))
    assert fused_tnr.high == pytest.approx(mg_tnr.high * us_tnr.high)
    assert promises_of({}) == ()
    unknown = {"operating_points_chosen": {"reached": {"US": {"n": 3, "tpr": 1, "tnr": 0}}}}
    assert math.isnan(promises_of(unknown)[0].low)


def test_a_promise_outside_the_kept_interval_fails_and_says_which_way() -> None:
    evaluation = hospitals().evaluate(terms(promises=promises_of(REACHED)))
    rows = {(k.promise.point, k.promise.rate, k.group): k for k in evaluation.kept}
    assert set(rows) == {
        ("US", rate, group) for rate in ("tpr", "tnr") for group in ("US", "US/BUSI", "US/far away")
    }
    trained, far = rows["US", "tpr", "US/BUSI"], rows["US", "tpr", "US/far away"]
    assert (trained.n, trained.cases, trained.value, trained.held) == (3, 3, 2 / 3, True)
    # Of one cancer none was found: the bootstrap has no width, Wilson's interval ends at 0.79.
    assert (far.n, far.value, far.low) == (1, 0, 0)
    assert far.high == pytest.approx(0.7935, abs=1e-4)
    assert far.held is False
    shown = {(row[0], row[1]): row[-1] for row in table(evaluation, "promised")[1:]}
    assert {group for _, group in shown} == {"US/BUSI", "US/far away"}  # US repeats its one source
    assert shown["US TPR", "US/BUSI"] == "kept"
    assert shown["US TPR", "US/far away"] == "FAILED, less"


def test_fused_promises_are_held_against_pooled_pairs_and_those_asked_for() -> None:
    asked = Terms(TERMS.roles, promises_of(REACHED), (("mini-MIAS", "BUSI"),))
    evaluation = both().evaluate(asked)
    fused = [k for k in evaluation.kept if k.promise.point == "fused"]
    assert [(k.promise.rate, k.group) for k in fused] == [
        (rate, name) for rate in ("tpr", "tnr") for name in ("pooled pairs", "mini-MIAS:BUSI")
    ]
    # Pooled: the film is found at any score; every benign film is a false alarm.
    assert [k.value for k in fused[::2]] == [1, 0]
    # mini-MIAS's films are all negative: the fused rates are the ultrasound's.
    assert [k.value for k in fused[1::2]] == pytest.approx([2 / 3, 2 / 3])


def test_a_pair_of_named_sources_has_the_closed_form_and_intervals() -> None:
    pairs = both().evaluate(Terms(TERMS.roles, pairs=(("mini-MIAS", "BUSI"),))).source_pairs
    found = pairs["mini-MIAS:BUSI"]
    assert (found.malignant, found.non_malignant) == (3, 3)
    tpr = found.estimates["fused.tpr"]
    assert tpr.value == pytest.approx(2 / 3)
    assert tpr.low < tpr.value <= tpr.high


@pytest.mark.parametrize(
    ("pair", "refusal"),
    [
        (("BUSI", "BUSI"), "no MG image of BUSI is judged here"),
        (("CBIS-DDSM", "nowhere"), "no US image of nowhere is judged here"),
        (("CBIS-DDSM", "one kind"), "one kind is judged by its lesions alone"),
    ],
)
def test_a_pair_that_cannot_be_judged_is_refused_before_anything_is_read(
    pair: tuple[str, str], refusal: str
) -> None:
    world = both()
    world.add("malignant", 0.9, source="one kind")
    with pytest.raises(ValueError, match=refusal):
        world.evaluate(terms(pairs=(pair,)))
    assert world.reads == 0


def test_the_tables_by_hospital_are_files_too(tmp_path: Path) -> None:
    world = hospitals()
    for label in ("benign", "malignant"):
        world.add(label, 0.9, modality=Modality.MG, source="CBIS-DDSM")
    asked = terms(promises=promises_of(REACHED), pairs=(("CBIS-DDSM", "far away"),))
    write_evaluation(world.search(asked), tmp_path)
    names = {file.stem for file in tmp_path.glob("*.csv")} - {"per_image"}
    assert names == {
        "hospitals", "reported_lesions", "promised", "calibration", "reliability", "source_pairs",
    }  # fmt: skip
    with (tmp_path / "promised.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["Judged on"] for row in rows} >= {"US/far away", "CBIS-DDSM:far away"}


def test_the_image_score_is_judged_as_a_probability_by_hospital() -> None:
    evaluation = hospitals().evaluate(terms())
    group = evaluation.groups["US/BUSI"]
    scores, truth = [0.9, 0.6, 0.1, 0.7, 0.2, 0.05], [1, 1, 1, 0, 0, 0]
    squares = [(s - t) ** 2 for s, t in zip(scores, truth, strict=True)]
    assert group.estimates["brier"].value == pytest.approx(sum(squares) / 6)
    assert group.mean_score == pytest.approx(sum(scores) / 6)
    # Six images in ten bins of equally many: each is alone.
    gaps = [abs(s - t) for s, t in zip(scores, truth, strict=True)]
    assert group.estimates["ece_equal_mass"].value == pytest.approx(sum(gaps) / 6)
    assert [(b.score, b.malignant, b.n) for b in group.reliability] == [
        (s, t, 1) for s, t in sorted(zip(scores, truth, strict=True))
    ]
    assert [row[0] for row in table(evaluation, "calibration")[1:]] == ["US/BUSI", "US/far away"]


def test_commands_on_a_bundle_take_the_sources_that_it_learned_from(tmp_path: Path) -> None:
    assert trained_sources(None) == open_bundle(SHIPPED).manifest["training"]["sources"]
    with pytest.raises(ValueError, match="name --source"):
        trained_sources(drawn_bundle(tmp_path / "tiny"))
