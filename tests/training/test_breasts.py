"""Breasts among labelled images, and what the device says of each."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from mammosono.appliance.values import (
    BreastScoring,
    Calibration,
    Evidence,
    Modality,
    ModelInfo,
    Scoring,
    Verdict,
)
from mammosono.tools.data.index import Record
from mammosono.tools.evaluation.breasts import breast_outcomes, by_breast
from mammosono.tools.evaluation.evaluate import Terms, evaluation_of
from mammosono.tools.evaluation.hospital_tables import hospital_tables
from mammosono.tools.evaluation.outcome import ImageOutcome, unread_outcome
from mammosono.tools.evaluation.table import as_dict

MG, US = Modality.MG, Modality.US
SCORING = Scoring(0.5, 0.05, 0.5, None, BreastScoring(Calibration(1.0, 0.0), 0.45))


def record(name: str, label: str = "benign", case: str = "1", source: str = "s") -> Record:
    modality = US if name.startswith("us") else MG
    return Record(modality, label, name, Path(name), (), (), case, source, "test")


def outcome(name: str, region: float, label: str = "benign", **where: str) -> ImageOutcome:
    return ImageOutcome(
        record(name, label, **where), Verdict.NEGATIVE, region, 0.9, 2, 0.7, 0.6, 1.0, 1.0,
        evidence=Evidence(region, region),
    )  # fmt: skip


def test_a_breast_is_a_side_of_a_case_of_a_source_with_both_standard_views():
    names = ["a_L_CC", "b_L_MLO", "c_R_CC", "us_L_CC", "us_L_MLO", "d_R_ML"]
    records = [record(name) for name in names]
    records += [record("e_R_MLO", case="2"), record("f_R_MLO", source="t")]
    found = by_breast(records, lambda one: one)
    assert {k: [r.name for r in v] for k, v in found.items()} == {"s/1/L": ["a_L_CC", "b_L_MLO"]}


def test_a_breast_is_judged_by_the_mean_of_its_views_and_is_as_malignant_as_the_worst():
    views = [outcome("a_L_CC", 0.8), outcome("a_L_MLO", 0.2, "malignant")]
    (breast,) = breast_outcomes(views, SCORING)
    assert breast.score == pytest.approx(0.5)
    assert breast.verdict is Verdict.POSITIVE
    assert (breast.record.label, breast.record.case, breast.findings) == ("malignant", "1", 4)
    assert math.isnan(breast.dice)
    (calm,) = breast_outcomes([outcome("a_L_CC", 0.5), outcome("a_L_MLO", 0.3)], SCORING)
    assert (calm.verdict, calm.record.label) == (Verdict.NEGATIVE, "benign")


def test_a_breast_of_which_a_view_could_not_be_read_is_unread():
    views = [outcome("a_L_CC", 0.8), unread_outcome(record("a_L_MLO"), "corrupt_image")]
    (breast,) = breast_outcomes(views, SCORING)
    assert breast.unread
    assert math.isnan(breast.score)


def test_without_a_rule_nothing_is_said_of_breasts():
    with pytest.raises(ValueError, match="no rule for breasts"):
        breast_outcomes([], replace(SCORING, breast=None))


def test_an_evaluation_reports_breasts_beside_images_and_pairs_both_with_the_other_test():
    views = []
    for k in range(6):
        label, base = ("malignant", 0.6) if k % 2 else ("benign", 0.3)
        where = {"case": str(k), "source": "films"}
        views += [
            outcome(f"p{k}_L_CC", base + 0.2, label, **where),
            outcome(f"p{k}_L_MLO", base - 0.2, label, **where),
        ]
    views.append(outcome("p9_R_CC", 0.1, case="9", source="films"))
    ultrasounds = [
        outcome(f"us{k}", 0.5, ("benign", "malignant")[k % 2], case=f"u{k}", source="scans")
        for k in range(4)
    ]
    model = ModelInfo("m", "1", "ab" * 32, "none", {"MG": 0.5, "US": 0.5}, scoring={"MG": SCORING})
    found = evaluation_of(model, views + ultrasounds, [], Terms(pairs=(("films", "scans"),)))
    assert [found.groups[name].n for name in ("MG", "MG breasts", "MG breasts/films")] == [13, 6, 6]
    assert found.groups["MG breasts"].estimates["auc"].value == 1
    assert found.groups["MG"].estimates["auc"].value < 1
    assert found.groups["MG breasts"].estimates["tpr"].value == 1
    assert set(found.source_pairs) == {"films:scans", "films breasts:scans"}
    assert found.source_pairs["films breasts:scans"].malignant == 3 * 2
    table = "\n".join(" ".join(row) for t in hospital_tables(as_dict(found)) for row in t.rows)
    assert "MG breasts/films" in table

    images_alone = evaluation_of(replace(model, scoring={}), views, [])
    assert not any("breasts" in name for name in images_alone.groups)
