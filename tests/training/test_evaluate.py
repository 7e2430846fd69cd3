"""The evaluation: the device's reader over labelled images, and what is made of its answers."""

from __future__ import annotations

import csv
import io
import json
import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from labelled_world import SIZE, World, both, busi, finding, png
from rich.console import Console

from mammosono.appliance.errors import ModelFault, ModelUnavailable
from mammosono.appliance.values import Modality
from mammosono.tools.data.index import split_hash
from mammosono.tools.evaluation import files
from mammosono.tools.evaluation.evaluate import Denoising, evaluate
from mammosono.tools.evaluation.files import COLUMNS, run_evaluation, write_per_image
from mammosono.tools.evaluation.table import as_dict, as_markdown, as_rich


def test_every_figure_of_six_images_is_that_of_the_hand_computation() -> None:
    group = busi().evaluate().groups["US/BUSI"]
    assert (group.n, group.malignant, group.cases, group.with_mask) == (6, 3, 6, 5)
    assert (group.tp, group.fp, group.tn, group.fn, group.unread) == (2, 1, 2, 1, 0)
    assert (group.prevalence, group.majority_baseline) == (0.5, 0.5)
    value = {name: estimate.value for name, estimate in group.estimates.items()}
    assert value["accuracy"] == pytest.approx(4 / 6)
    assert value["tpr"] == value["tnr"] == value["precision"] == pytest.approx(2 / 3)
    assert value["youden"] == pytest.approx(1 / 3)
    # Malignant .9 .6 .1 against .7 .2 .05: 3 + 2 + 1 of 9 pairs; without the normal one of 6.
    assert value["auc"] == pytest.approx(6 / 9)
    assert value["auc_malignant_benign"] == pytest.approx(3 / 6)
    # Falling: M .9, benign .7, M .6, .2, M .1, .05.
    assert value["average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    # Every image is alone in its bin.
    gaps = [0.1, 0.7, 0.4, 0.2, 0.9, 0.05]
    assert value["ece"] == pytest.approx(np.mean(gaps))
    # Highest lesion score: .5 .5 0 .5 .8 against .6.
    assert value["auc_lesion_normal"] == pytest.approx(1 / 5)
    dice = [0.5, 1.0, 0.0, 0.0, 1.0]
    assert value["dice_mean"] == pytest.approx(np.mean(dice))
    assert value["dice_median"] == 0.5
    assert value["dice_over_half"] == pytest.approx(2 / 5)
    assert value["jaccard_mean"] == pytest.approx(np.mean([1 / 3, 1, 0, 0, 1]))
    assert value["box_hit"] == value["centre_hit"] == pytest.approx(3 / 5)
    assert value["findings_per_image"] == pytest.approx(6 / 6)
    assert value["findings_per_normal"] == 1
    assert group.three_way == ((0, 1, 0), (0, 1, 1), (1, 0, 2))


def test_every_estimate_lies_in_its_interval_and_intervals_have_width() -> None:
    estimates = busi().evaluate().groups["US/BUSI"].estimates
    for name in ("accuracy", "tpr", "auc", "dice_mean"):
        found = estimates[name]
        assert found.low < found.value < found.high


def test_a_circle_is_hit_by_box_overlap_or_by_centre_each_by_itself() -> None:
    world = World()
    mias = {"modality": Modality.MG, "source": "mini-MIAS"}
    centred_but_small = finding((95, 95, 10, 10), 0.5)
    in_the_corner_of_the_square = finding((115, 115, 7, 7), 0.5)
    large_and_around = finding((62, 62, 80, 80), 0.5)
    for found in (centred_but_small, in_the_corner_of_the_square, large_and_around):
        world.add("benign", 0.1, found, circles=[(100, 100, 20)], **mias)
    world.add("malignant", 0.9, **mias)  # a lesion nobody located
    outcomes = world.evaluate().outcomes
    assert [o.centre_hit for o in outcomes[:3]] == [1, 0, 1]
    assert [o.box_hit for o in outcomes[:3]] == [0, 0, 1]
    assert math.isnan(outcomes[3].box_hit)
    assert math.isnan(outcomes[0].dice)
    assert world.evaluate().groups["MG/mini-MIAS"].located == 3


@pytest.mark.parametrize("way", ["refused", "fault", "no score"])
def test_an_unread_image_counts_as_wrong_everywhere(way: str) -> None:
    world = World()
    how = {
        "refused": {"data": b"no picture"},
        "fault": {"fault": ModelFault("NaN in the answer")},
        "no score": {},
    }[way]
    world.add("malignant", 0.9, finding((9, 9, 20, 20), 0.9), lesions=[(9, 9, 20, 20)])
    world.add("benign", 0.1, lesions=[(9, 9, 20, 20)])
    world.add("malignant", None, lesions=[(9, 9, 20, 20)], **how)
    world.add("normal", None, **how)
    evaluation = world.evaluate()
    group = evaluation.groups["US"]
    assert group.unread == 2
    assert (group.tp, group.fp, group.tn, group.fn) == (1, 1, 1, 1)
    value = {name: estimate.value for name, estimate in group.estimates.items()}
    assert value["auc"] == pytest.approx(1 / 4)
    assert value["dice_mean"] == pytest.approx(1 / 3)
    assert value["findings_per_image"] == 0.5
    assert sum(map(sum, group.three_way)) == 2
    code = {"refused": "unsupported_format", "fault": "engine_fault", "no score": ""}[way]
    assert [o.error for o in evaluation.outcomes] == ["", "", code, code]


def test_a_model_that_cannot_run_at_all_ends_the_evaluation() -> None:
    world = World()
    world.add("normal", None, fault=ModelUnavailable("no runtime"))
    with pytest.raises(ModelUnavailable):
        world.evaluate()


def test_nothing_read_is_an_error_and_no_report() -> None:
    with pytest.raises(ValueError, match="no image could be read"):
        World().evaluate()


def test_a_mask_of_another_size_is_refused() -> None:
    world = busi()
    world.files[Path("0_mask_0.png")] = png(np.zeros((SIZE, SIZE + 1), np.uint8))
    with pytest.raises(ValueError, match=r"0.png: mask 1 is of another size than the picture"):
        world.evaluate()


def test_the_outside_source_is_neither_pooled_nor_paired() -> None:
    evaluation = both().evaluate()
    assert {name: group.n for name, group in evaluation.groups.items()} == {
        "MG": 2,
        "MG/CBIS-DDSM": 2,
        "MG/mini-MIAS": 2,
        "US": 6,
        "US/BUSI": 6,
    }
    assert evaluation.pairs is not None
    assert (evaluation.pairs.malignant, evaluation.pairs.non_malignant) == (1 * 3, 1 * 3)
    assert evaluation.pairs.estimates["fused.tpr"].value == 1
    assert evaluation.pairs.estimates["fused.tnr"].value == 0
    assert busi().evaluate().pairs is None


def test_lesion_against_normal_is_left_undefined_over_pooled_sources() -> None:
    world = busi()
    world.add("normal", 0.1, source="elsewhere")
    groups = world.evaluate().groups
    assert groups["US"].n == 7
    assert math.isnan(groups["US"].estimates["auc_lesion_normal"].value)
    assert not math.isnan(groups["US/BUSI"].estimates["auc_lesion_normal"].value)


def test_each_image_is_a_study_of_its_own_and_progress_is_told() -> None:
    world, told = busi(), []
    evaluate(
        world,
        world.records,
        read_bytes=world.files.__getitem__,
        progress=lambda done, total: told.append((done, total)),
    )
    assert world.reads == 6
    assert told == [(i, 6) for i in range(1, 7)]


def test_the_json_is_strict_the_same_every_time_and_has_the_stated_keys() -> None:
    plain = as_dict(both().evaluate())
    text = json.dumps(plain, allow_nan=False)
    assert text == json.dumps(as_dict(both().evaluate()), allow_nan=False)
    assert plain["schema"] == 2
    assert list(plain) == [
        "schema",
        "model",
        "data",
        "bootstrap",
        "definitions",
        "groups",
        "pairs",
        "found",
        "source_pairs",
        "promises",
        "promise_definitions",
    ]
    assert plain["groups"]["US/BUSI"]["estimates"]["tpr"]["value"] == pytest.approx(2 / 3)
    assert plain["groups"]["MG/CBIS-DDSM"]["estimates"]["dice_mean"]["value"] is None
    assert plain["pairs"]["protocol"].startswith("Simulated pairs")
    assert plain["found"]["groups"] == {}
    assert plain["model"]["operating_points"] == {"MG": 0.4, "US": 0.5}


def test_the_markdown_shows_each_source_once_with_n_prevalence_baseline_and_interval() -> None:
    text = as_markdown(both().evaluate())
    lines = text.splitlines()
    assert lines[0] == "|  | MG/CBIS-DDSM | MG/mini-MIAS | US/BUSI |"
    assert "| Images (cases) | 2 (2) | 2 (2) | 6 (6) |" in lines
    assert "| Majority baseline | 0.500 | 0.500 | 0.500 |" in lines
    tpr, fused = (line for line in lines if line.startswith("| TPR (sensitivity) "))
    assert tpr.endswith("| 1.000 (1.00 to 1.00) | 0.000 (0.00 to 0.00) | 0.667 (0.00 to 1.00) |")
    assert fused.endswith("| 1.000 (1.00 to 1.00) | 0.667 (0.00 to 1.00) | 1.000 (1.00 to 1.00) |")
    (dice,) = (line for line in lines if line.startswith("| Dice, mean"))
    assert dice.startswith("| Dice, mean on lesion images | - | - | 0.500 (")
    assert "|  | MG | US | fused |" in lines
    assert "| Pairs, malignant |  |  | 3 |" in lines
    assert "Simulated pairs" in text


def test_the_terminal_shows_the_same_cells() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(as_rich(both().evaluate()))
    shown = console.file.getvalue()
    assert "0.667 (0.00 to 1.00)" in shown
    assert "TPR gained by fusing" in shown


def test_the_per_image_table_has_a_row_an_image_and_empty_fields_for_undefined() -> None:
    file = io.StringIO()
    write_per_image(both().evaluate(), file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 10
    first, normal = rows[0], rows[5]
    assert (first["image"], first["verdict"], first["dice"]) == ("0.png", "positive", "0.5")
    assert (normal["label"], normal["dice"], normal["findings"]) == ("normal", "", "1")


def test_a_search_finds_the_lesions_that_the_findings_hit() -> None:
    evaluation = busi().search()
    found = evaluation.lesions["US/BUSI"]
    assert (found.n, found.cases, found.lesions) == (6, 6, 6)
    value = {name: estimate.value for name, estimate in found.estimates.items()}
    # Hit: one, two and one of the lesions of images 0, 1 and 4; false: one each on 3 and 5.
    assert value["sensitivity"] == pytest.approx(4 / 6)
    assert value["false_positives"] == pytest.approx(2 / 6)
    # Lesion scores falling: found .8, false .6, then three found and a false one at .5.
    assert value["froc_0.25"] == pytest.approx(1 / 6)
    assert value["froc_0.5"] == value["froc_2"] == pytest.approx(4 / 6)
    # 17 of the 101 recalls have precision 1, 34 have 3/5; what overlaps by a third never counts.
    assert value["box_ap"] == value["box_ap50"] == pytest.approx((17 + 34 * 3 / 5) / 101)
    assert {name: (part.lesions, part.images) for name, part in found.parts.items()} == {
        "under 1/16": (1, 0),
        "1/16 to 1/8": (5, 5),
        "benign": (6, 5),
    }
    small = found.parts["1/16 to 1/8"].estimates
    assert small["sensitivity"].value == pytest.approx(3 / 5)
    assert small["dice"].value == pytest.approx(np.mean([0.5, 1, 0, 0, 1]))


def test_the_curves_of_a_search_end_where_the_figures_do() -> None:
    curves = busi().search().curves["US/BUSI"]
    assert (curves.n, curves.malignant, curves.lesions) == (6, 3, 6)
    assert (curves.roc[0], curves.roc[-1]) == ((0, 0), (1, 1))
    assert curves.roc[1] == pytest.approx((0, 1 / 3))
    assert [round(recall, 3) for recall, _ in curves.pr] == [0.333, 0.333, 0.667, 0.667, 1, 1]
    assert curves.pr[-1][1] == 0.5
    assert curves.froc is not None
    assert curves.froc[-1] == pytest.approx((2 / 6, 4 / 6))
    assert sum(each.n for each in curves.reliability) == 6


def test_circles_are_searched_for_without_precision_and_unlocated_lesions_not_at_all() -> None:
    world = World()
    mias = {"modality": Modality.MG, "source": "mini-MIAS"}
    world.add("benign", 0.1, finding((95, 95, 10, 10), 0.5), circles=[(100, 100, 20)], **mias)
    world.add("malignant", 0.9, finding((9, 9, 9, 9), 0.9), **mias)
    world.add("normal", 0.1, **mias)
    found = world.search().lesions["MG/mini-MIAS"]
    assert (found.n, found.lesions) == (2, 1)
    assert found.estimates["froc_1"].value == 1
    assert found.estimates["false_positives"].value == 0
    assert math.isnan(found.estimates["box_ap"].value)


def test_an_unread_image_has_all_its_lesions_missed() -> None:
    world = World()
    world.add("benign", 0.1, finding((9, 9, 20, 20), 0.1), lesions=[(9, 9, 20, 20)])
    world.add("malignant", None, lesions=[(9, 9, 20, 20), (50, 50, 9, 9)], data=b"no picture")
    found = world.search().lesions["US"]
    assert found.lesions == 3
    assert found.estimates["sensitivity"].value == pytest.approx(1 / 3)
    assert found.estimates["box_ap50"].value == pytest.approx(34 / 101)


class Trained(NamedTuple):
    """As much of a bundle as is asked for."""

    manifest: dict[str, Any]


def test_a_split_is_kept_if_the_models_own_sources_are_divided_as_in_its_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = busi().records
    foreign = replace(records[0], source="mini-MIAS")
    training = {"sources": ["BUSI"], "split_sha256": split_hash(records)}
    monkeypatch.setattr(files, "open_bundle", lambda bundle: Trained({"training": training}))
    assert files.split_kept(Path("bundle"), [*records, foreign]) is True
    moved = [replace(records[0], split="train"), *records[1:]]
    assert files.split_kept(Path("bundle"), moved) is False
    monkeypatch.setattr(files, "open_bundle", lambda bundle: Trained({}))
    assert files.split_kept(Path("bundle"), records) is None


def test_a_run_over_an_index_writes_its_files_for_the_asked_split_and_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = busi()
    rows = ["modality,label,image,mask,annotation,patient_or_case,source,split"]
    for i, record in enumerate(world.records):
        masks = ";".join(map(str, record.masks))
        source, split = ("other" if i == 5 else "BUSI"), ("val" if i == 4 else "test")
        rows.append(f"ultrasound,{record.label},{i}.png,{masks},,{i},{source},{split}")
    (tmp_path / "index.csv").write_text("\n".join(rows), encoding="utf-8")
    for path, data in world.files.items():
        (tmp_path / path).write_bytes(data)
    opened = nullcontext(world)
    opened.read = world.read  # type: ignore[attr-defined]
    opened.model = SimpleNamespace(operating_points={"US": 0.5})  # type: ignore[attr-defined]
    monkeypatch.setattr(files, "open_readers", lambda bundle, denoising: (opened, world))
    training = {"sources": ["BUSI"], "split_sha256": "0" * 64}
    monkeypatch.setattr(files, "open_bundle", lambda bundle: Trained({"training": training}))
    out = tmp_path / "new" / "out"
    index = tmp_path / "index.csv"
    run_evaluation(tmp_path, index, "test", out, sources={"BUSI"}, denoising=Denoising.off)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["groups"]["US"]["n"] == 4
    assert metrics["data"]["splits"] == ["test"]
    assert metrics["data"]["split_kept"] is False
    assert "may have trained it" in (out / "table.md").read_text()
    assert len((out / "per_image.csv").read_text().splitlines()) == 5
    assert str(tmp_path) not in "".join(file.read_text() for file in out.iterdir())
    assert metrics["data"]["denoising"] == "off"
    assert list(json.loads((out / "curves.json").read_text())) == ["US", "US/BUSI"]
    truth = json.loads((out / "truth.coco.json").read_text())
    assert [image["file_name"] for image in truth["images"]] == [f"{i}.png" for i in range(4)]
    assert len(json.loads((out / "findings.coco.json").read_text())) == 4
    assert "| Located lesions | 5 |" in (out / "table.md").read_text()


def test_a_modality_that_the_bundle_does_not_read_is_refused_before_the_first_image(
    phantom_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = nullcontext()
    opened.model = SimpleNamespace(operating_points={"MG": 0.5})  # type: ignore[attr-defined]
    monkeypatch.setattr(files, "open_readers", lambda bundle, denoising: (opened, opened))
    with pytest.raises(ValueError, match="the bundle reads no US: give an index without"):
        run_evaluation(tmp_path, phantom_index, "test", tmp_path / "out")
