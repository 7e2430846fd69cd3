"""Folds: by case, alike in sources and labels; the run's record; looks out of the fold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="training needs torch")

import tiny
from tiny_bundle import drawn_bundle, drawn_network
from typer.testing import CliRunner

from mammosono.appliance.values import Modality
from mammosono.tools.cli import app
from mammosono.tools.data.folds import Fold, refold
from mammosono.tools.data.index import LABELS, SPLITS, Record, read_index, select
from mammosono.tools.export.export import Goal, export_bundle
from mammosono.tools.export.out_of_fold import chosen_on, out_of_folds, scored_for
from mammosono.tools.export.run_model import sources_of
from mammosono.tools.sweep.leave_one_out import leave_one_out, table
from mammosono.tools.training import checkpoint
from mammosono.tools.training.checkpoint import BadRun, DataMark, refuse_other


def record(k: int, label: str, case: str, source: str = "A", split: str = "train") -> Record:
    return Record(Modality.US, label, f"{k}.png", Path(f"{k}.png"), (), (), case, source, split)


several = st.lists(
    st.tuples(
        st.sampled_from(LABELS), st.integers(0, 30), st.sampled_from("AB"),
        st.sampled_from(("train", "val")),
    ),
    max_size=60,
)  # fmt: skip


def index_of(rows: list[tuple[str, int, str, str]]) -> list[Record]:
    """A case is of one source, and in one split, as in an index."""
    split_of: dict[str, str] = {}
    return [
        record(k, label, f"{source}{case}", source, split_of.setdefault(f"{source}{case}", split))
        for k, (label, case, source, split) in enumerate(rows)
    ]


@settings(max_examples=60, deadline=None)
@given(several, st.integers(2, 6))
def test_every_image_is_held_back_in_exactly_one_fold_and_a_case_is_never_divided(
    rows: list[tuple[str, int, str, str]], count: int
) -> None:
    records = index_of(rows)
    held: Counter[str] = Counter()
    for number in range(1, count + 1):
        divided = refold(records, {"A", "B"}, Fold(number, count))
        assert [r.name for r in divided] == [r.name for r in records]
        split_of: dict[str, set[str]] = {}
        for each in divided:
            split_of.setdefault(each.case, set()).add(each.split)
        assert all(len(splits) == 1 for splits in split_of.values())
        held.update(r.name for r in select(divided, split="val"))
    assert held == Counter(r.name for r in records)


@settings(max_examples=40, deadline=None)
@given(several, st.integers(2, 5), st.randoms())
def test_a_fold_hangs_on_the_cases_alone_not_on_order_or_the_earlier_split(
    rows: list[tuple[str, int, str, str]], count: int, random: object
) -> None:
    records = index_of(rows)
    shuffled = [replace(r, split="val") for r in records]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    fold = Fold(1, count)
    assert {r.name for r in select(refold(records, "AB", fold), split="val")} == {
        r.name for r in select(refold(shuffled, "AB", fold), split="val")
    }


def test_folds_are_alike_in_sources_and_labels() -> None:
    records = [record(k, LABELS[k % 3], f"c{k}", "AB"[k % 2]) for k in range(120)]
    for number in range(1, 6):
        held = select(refold(records, {"A", "B"}, Fold(number, 5)), split="val")
        assert Counter((r.source, r.label) for r in held) == dict.fromkeys(
            ((s, label) for s in "AB" for label in LABELS), 4
        )


def test_test_images_and_other_sources_stay_where_they_are() -> None:
    records = [
        record(0, "benign", "a"),
        record(1, "benign", "b", split="test"),
        record(2, "benign", "c", source="other", split="val"),
    ]
    for number in (1, 2):
        divided = refold(records, {"A"}, Fold(number, 2))
        assert [r.split for r in divided[1:]] == ["test", "val"]
        assert divided[0].split in SPLITS[:2]


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/1", "1", "a/b", "1/", "-1/5"])
def test_what_is_no_fold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"--fold is K/N"):
        Fold.parse(text)


def run_of(
    folder: Path,
    index: Path,
    fold: Fold | None,
    sources: tuple[str, ...] = ("phantom",),
    records: Sequence[Record] | None = None,
) -> Path:
    """A run folder with drawn weights."""
    folder.mkdir()
    config = replace(tiny.TRAIN, modalities=("US",))
    records = records or select(read_index(index), modality=Modality.US)
    mark = DataMark.of(index, records, sources, fold=fold)
    checkpoint.write_config(folder, config, data=asdict(mark), software={})
    network = drawn_network(config.network)
    checkpoint.save(folder, "best.pt", {"network": network.state_dict(), "epoch": 1, "score": 0.0})
    return folder


def test_the_runs_record_names_the_fold_and_a_resumed_run_must_have_the_same(
    phantom_index: Path, tmp_path: Path
) -> None:
    run = run_of(tmp_path / "run", phantom_index, Fold(1, 3))
    entry = json.loads((run / "config.json").read_text())["data"]
    records = select(read_index(phantom_index), modality=Modality.US)
    divided = refold(records, {"phantom"}, Fold(1, 3))
    assert entry["fold"] == "1/3"
    assert entry["val_images"] == len(select(divided, split="val"))
    assert entry["train_images"] == len(select(divided, split="train"))
    config = checkpoint.read_config(run)
    refuse_other(run, config, DataMark.of(phantom_index, records, ("phantom",), fold=Fold(1, 3)))
    for other in (Fold(2, 3), None):
        with pytest.raises(BadRun, match="fold"):
            refuse_other(run, config, DataMark.of(phantom_index, records, ("phantom",), fold=other))


def by_halves(records: Sequence[Record]) -> tuple[Record, ...]:
    """The ultrasound images as those of two hospitals, each case of one."""
    return tuple(
        replace(r, source="far") if int(r.case.encode().hex(), 16) % 2 else r
        for r in records
        if r.modality is Modality.US
    )


def test_all_folds_together_look_once_at_every_image_of_train_and_val(
    phantom_index: Path, tmp_path: Path
) -> None:
    records = read_index(phantom_index)
    own = select(records, modality=Modality.US)
    runs = [run_of(tmp_path / f"{k}", phantom_index, Fold(k, 2)) for k in (1, 2)]
    told: list[tuple[int, int]] = []
    looks = out_of_folds(runs, records, ["phantom"], lambda *count: told.append(count))
    held = [
        record.name
        for k in (1, 2)
        for record in select(refold(own, {"phantom"}, Fold(k, 2)), split="val")
    ]
    assert [look.record.name for look in looks] == held
    assert sorted(held) == sorted(record.name for record in own if record.split != "test")
    assert told == [(k + 1, len(held)) for k in range(len(held))]
    for look in looks:
        assert 0 <= look.evidence.whole_image <= 1
        assert look.hit.shape == (len(look.lesion), len(look.record.lesions))
        assert (np.diff(look.lesion) <= 1e-6).all()
    for lacking in (runs[:1], [runs[0], runs[0]], [*runs, runs[0]]):
        with pytest.raises(BadRun, match="every fold of one division"):
            out_of_folds(lacking, records, ["phantom"])


def test_a_run_of_one_hospital_looks_at_the_others(phantom_index: Path, tmp_path: Path) -> None:
    records = by_halves(read_index(phantom_index))
    here = run_of(tmp_path / "here", phantom_index, None, ("phantom",), records)
    there = run_of(tmp_path / "there", phantom_index, None, ("far",), records)
    looks = out_of_folds([here, there], records, ["phantom", "far"])
    taught = [record for record in records if record.split != "test"]
    assert [look.record.source for look in looks] == sorted(r.source for r in taught)
    assert sorted(look.record.name for look in looks) == sorted(r.name for r in taught)
    with pytest.raises(BadRun, match="held back by no run"):
        out_of_folds([here], records, ["phantom", "far"])


def test_a_run_of_another_index_is_refused(phantom_index: Path, tmp_path: Path) -> None:
    moved = [replace(r, split="train") for r in read_index(phantom_index)]
    with pytest.raises(BadRun, match="divides its sources otherwise"):
        out_of_folds([run_of(tmp_path / "one", phantom_index, Fold(1, 2))], moved, ["phantom"])


def test_without_a_run_nothing_is_looked_at(phantom_index: Path) -> None:
    assert out_of_folds([], read_index(phantom_index), ["phantom"]) == []


def test_a_manifest_says_what_its_thresholds_were_chosen_on() -> None:
    assert chosen_on((), tuple(Modality)) == "val"
    assert chosen_on({Modality.US}, tuple(Modality)) == "MG val, US out of fold"
    assert chosen_on({Modality.US}, {Modality.US}) == "out of fold"


def test_thresholds_come_from_what_was_held_back(phantom_index: Path, tmp_path: Path) -> None:
    records = read_index(phantom_index)
    whole = run_of(tmp_path / "whole", phantom_index, None)
    folds = [run_of(tmp_path / f"{k}", phantom_index, Fold(k, 2)) for k in (1, 2)]
    bundle = tmp_path / "bundle"
    manifest = export_bundle(
        {Modality.US: whole}, bundle, records, ["phantom"],
        name="tiny", version="0.1", goal=Goal(), on_image=lambda *_: None, out_of_fold_runs=folds,
    )  # fmt: skip
    said = manifest["operating_points_chosen"]
    assert (said["on"], manifest["findings_chosen"]["on"]) == ("out of fold", "out of fold")
    looks = out_of_folds(folds, records, ["phantom"])
    malignant = sum(look.malignant for look in looks)
    assert (said["reached"]["US"]["n"], said["reached"]["US"]["malignant"]) == (
        len(looks), malignant
    )  # fmt: skip
    scored = scored_for(bundle, looks)[Modality.US]
    point = manifest["modalities"]["US"]["operating_point"]
    found = sum(one.malignant and one.score >= point for one in scored) / malignant
    assert found == pytest.approx(said["reached"]["US"]["tpr"], abs=1e-4)


def test_operating_points_take_what_was_held_back_in_place_of_val(
    phantom_index: Path, tmp_path: Path
) -> None:
    bundle = drawn_bundle(tmp_path / "bundle")
    runs = [run_of(tmp_path / f"{k}", phantom_index, Fold(k, 2)) for k in (1, 2)]
    arguments = ["--bundle", bundle, "--data", phantom_index, "--source", "phantom"]
    options = ["--target-sensitivity", "0.9", "--least", "0", "--json"]
    held = [part for run in runs for part in ("--out-of-fold", run)]
    done = CliRunner().invoke(app, ["operating-points", *map(str, [*arguments, *options, *held])])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)["operating_points_chosen"]
    own = [r for r in read_index(phantom_index) if r.modality is Modality.US and r.split != "test"]
    assert said["on"] == "MG val, US out of fold"
    assert said["reached"]["US"]["n"] == len(own)


def test_runs_are_judged_on_every_hospital_and_their_own_are_marked(
    phantom_index: Path, tmp_path: Path
) -> None:
    records = select(read_index(phantom_index), split="test", modality=Modality.US)
    half = len(records) // 2
    two = [replace(r, source="phantom" if k < half else "far") for k, r in enumerate(records)]
    rows = {
        "here": run_of(tmp_path / "here", phantom_index, None),
        "there": run_of(tmp_path / "there", phantom_index, None, ("far",)),
    }
    found = leave_one_out(rows, two, tmp_path / "out", class_free=())
    assert {(c.row, c.group): c.trained for c in found} == {
        ("here", "US/far"): False, ("here", "US/phantom"): True,
        ("there", "US/far"): True, ("there", "US/phantom"): False,
    }  # fmt: skip
    shown = table(found)
    assert shown[0][2].startswith("US/far, ")
    assert [(row[0], row[1]) for row in shown[1:]] == [
        ("here", "AUC"), ("here", "Dice"), ("there", "AUC"), ("there", "Dice"),
    ]  # fmt: skip
    assert [text.endswith("*") for text in shown[2][2:]] == [False, True]
    assert "has seen none" in (tmp_path / "out" / "table.md").read_text()
    lesions = leave_one_out({"here": rows["here"]}, two, tmp_path / "out", class_free={"far"})
    assert table(lesions)[1][2] == "-"


def test_the_command_takes_named_runs(phantom_index: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", phantom_index, None)
    options = ["leave-one-out", "--data", str(phantom_index), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*options, "--run", f"here={run}"])
    assert done.exit_code == 0, done.output
    head = (tmp_path / "out" / "leave_one_out.csv").read_text().splitlines()[0]
    assert head == 'Trained on,,"US/phantom, 3 (3), 1 malignant"'
    wrong = CliRunner().invoke(app, [*options, "--run", str(run)])
    assert wrong.exit_code == 2
    assert "--run is NAME=FOLDER" in wrong.output


def test_an_export_takes_the_sources_that_its_runs_learned_from(
    phantom_index: Path, tmp_path: Path
) -> None:
    one = run_of(tmp_path / "one", phantom_index, None, ("A", "B"))
    two = run_of(tmp_path / "two", phantom_index, None, ("B", "C"))
    assert sources_of(one) == ("A", "B")
    assert sources_of({Modality.MG: one, Modality.US: two}) == ("A", "B", "C")
    checkpoint.write_config(one, checkpoint.read_config(one), data=None)
    with pytest.raises(BadRun, match="name --source"):
        sources_of(one)
