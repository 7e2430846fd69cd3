"""Fused figures on simulated pairs, against the device's own fusion."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mammosono.appliance.pipeline.fusion import fuse
from mammosono.appliance.values import Modality, Verdict
from mammosono.tools.evaluation.pairs import Side, pair_figures

P, N, I = Verdict.POSITIVE, Verdict.NEGATIVE, Verdict.INDETERMINATE  # noqa: E741


def side(seed: int, n: int) -> Side:
    rng = np.random.default_rng(seed)
    verdicts = [[P, N, I][i] for i in rng.choice(3, n, p=[0.45, 0.45, 0.1])]
    truth = [i % 3 == 0 for i in range(n)]
    return Side(truth, verdicts, [f"case {i // 2}" for i in range(n)])


def test_the_closed_form_is_the_device_fusion_over_every_pair() -> None:
    mg, us = side(1, 31), side(2, 22)
    fused = [
        (t, fuse({Modality.MG: [v], Modality.US: [w]}).verdict)
        for (t, v), (u, w) in itertools.product(
            zip(mg.truth, mg.verdicts, strict=True), zip(us.truth, us.verdicts, strict=True)
        )
        if t == u
    ]
    sick = [verdict for truth, verdict in fused if truth]
    well = [verdict for truth, verdict in fused if not truth]
    found = pair_figures(mg, us)
    assert (found.malignant, found.non_malignant) == (len(sick), len(well))
    assert found.estimates["fused.tpr"].value == pytest.approx(sick.count(P) / len(sick))
    assert found.estimates["fused.tnr"].value == pytest.approx(well.count(N) / len(well))


def test_ten_thousand_drawn_pairs_show_the_same_within_chance_and_the_same_again() -> None:
    mg, us = side(3, 60), side(4, 40)
    found = pair_figures(mg, us)
    sick, well = found.drawn["malignant"], found.drawn["non_malignant"]
    assert sick.pairs + well.pairs == 10_000
    for drawn in (sick, well):
        assert drawn.both + drawn.mg_only + drawn.us_only + drawn.neither == drawn.pairs
    # The OR is right of the sick if either test is, of the well only if both are.
    assert sick.fused == sick.pairs - sick.neither
    assert well.fused == well.both
    assert sick.fused / 5000 == pytest.approx(found.estimates["fused.tpr"].value, abs=0.02)
    assert well.fused / 5000 == pytest.approx(found.estimates["fused.tnr"].value, abs=0.02)
    assert pair_figures(mg, us) == found


def test_two_tests_of_90_percent_fuse_to_99_sensitive_and_81_specific() -> None:
    truth = [True] * 10 + [False] * 10
    verdicts = [N] + [P] * 9 + [P] + [N] * 9
    test = Side(truth, verdicts, [str(i) for i in range(20)])
    found = {name: e.value for name, e in pair_figures(test, test).estimates.items()}
    assert found["MG.tpr"] == found["US.tnr"] == pytest.approx(0.9)
    assert found["fused.tpr"] == pytest.approx(0.99)
    assert found["fused.tnr"] == pytest.approx(0.81)
    assert found["MG.gain_tpr"] == pytest.approx(0.09)
    assert found["US.price_tnr"] == pytest.approx(0.09)
    assert found["fused.bcr"] == pytest.approx(0.90)
    assert found["fused.youden"] == pytest.approx(0.80)


def test_an_unread_image_is_never_an_all_clear() -> None:
    read = Side([True, False], [N, N], ["a", "b"])
    unread = Side([True, False], [I, I], ["c", "d"])
    found = pair_figures(read, unread).estimates
    assert found["fused.tpr"].value == 0
    assert found["fused.tnr"].value == 0


def test_gain_and_price_are_never_negative_in_any_draw() -> None:
    found = pair_figures(side(6, 40), side(7, 30)).estimates
    for modality in ("MG", "US"):
        assert found[f"{modality}.gain_tpr"].low >= 0
        assert found[f"{modality}.price_tnr"].low >= 0


def test_a_missing_modality_leaves_the_fused_figures_undefined() -> None:
    found = pair_figures(side(8, 20), Side([], [], []))
    assert found.malignant == found.non_malignant == 0
    assert found.drawn == {}
    assert np.isnan(found.estimates["fused.tpr"].value)
    assert np.isnan(found.estimates["fused.tnr"].value)
