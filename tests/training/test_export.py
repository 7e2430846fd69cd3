"""From a training run to a bundle: phantoms, an epoch, and what the manifest says of it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from tiny_bundle import drawn_network, finished_run

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.values import Modality, Verdict
from mammosono.engines.bundle import open_bundle
from mammosono.tools.data.index import Record, read_index, split_hash
from mammosono.tools.export.export import Goal, export_bundle
from mammosono.tools.export.parity import BOUND, ParityError
from mammosono.tools.training import checkpoint
from mammosono.tools.training.checkpoint import BadRun

CHOSEN = ("modalities", "operating_points_chosen")


@pytest.fixture(scope="module")
def records(phantom_index: Path) -> tuple[Record, ...]:
    return read_index(phantom_index)


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def bundle(
    tiny_run: Path,
    records: Sequence[Record],
    told: list[tuple[str, int, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("out") / "bundles" / "tiny"
    exported(tiny_run, out, records, lambda *seen: told.append(seen))
    return out


@pytest.fixture(scope="module")
def manifest(bundle: Path) -> dict[str, Any]:
    entries: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    return entries


def stages_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [s for network in manifest["networks"].values() for s in network["stages"].values()]


def exported(
    run: Path | dict[Modality, Path],
    out: Path,
    records: Sequence[Record],
    on_image: Any = lambda *_: None,
) -> dict[str, Any]:
    return export_bundle(
        run, out, records, ["phantom"],
        name="tiny", version="0.1", goal=Goal(0.9), on_image=on_image,
    )  # fmt: skip


def test_the_reader_reads_a_phantom_with_the_bundle(
    bundle: Path, records: Sequence[Record]
) -> None:
    with Reader.open(bundle) as reader:
        images = [read_image(r.image.read_bytes(), r.modality) for r in (records[0], records[-1])]
        reading = reader.read(images)
    assert [image.modality for image in reading.images] == [Modality.MG, Modality.US]
    assert all(image.verdict is not Verdict.INDETERMINATE for image in reading.images)
    assert (reading.model.name, reading.model.version) == ("tiny", "0.1")


def test_the_bundle_is_what_its_manifest_names_and_nothing_else(
    bundle: Path, manifest: dict[str, Any]
) -> None:
    stages = stages_of(manifest)
    mixed = [stage["variants"]["mixed"] for stage in stages if "variants" in stage]
    named = [*stages, *mixed, manifest["parity"]]
    assert {file.name for file in bundle.iterdir()} == {"manifest.json"} | {
        entry["file"] for entry in named
    }
    for entry in named:
        data = (bundle / entry["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    assert all(stage["fp32"] for stage in stages)
    for name, stage in open_bundle(bundle).stages.items():
        data = (bundle / f"{name}.onnx").read_bytes()
        assert stage.sha256 == hashlib.sha256(data).hexdigest()


def test_the_geometry_is_the_one_that_was_trained_with(manifest: dict[str, Any]) -> None:
    shared = manifest["networks"]["shared"]
    assert shared["geometry"] == as_json(tiny.GEOMETRY.to_manifest())
    grey = shared["normalisation"]
    assert (grey["mean"], grey["std"]) == (tiny.TRAIN.mean, tiny.TRAIN.std)
    assert grey["percentiles"] == list(tiny.TRAIN.percentiles)


def test_the_provenance_says_what_was_trained_on_what(
    manifest: dict[str, Any], records: Sequence[Record]
) -> None:
    training = manifest["training"]
    config = as_json(asdict(replace(tiny.TRAIN, epochs=1)))
    assert training["networks"] == {"shared": {"config": config}}
    assert training["sources"] == ["phantom"]
    assert training["split_sha256"] == split_hash(records)
    assert training["images"] == {"train": 12, "val": 6, "test": 6}
    assert len(training["parity"]) == 7
    assert 0 < max(training["parity"].values()) < BOUND


@pytest.mark.parametrize("split", ["val", "test"])
def test_every_figure_stands_with_its_number_of_images_and_its_interval(
    split: str, manifest: dict[str, Any]
) -> None:
    measured = manifest["training"]["metrics"][split]
    assert {"MG", "US"} <= set(measured["groups"])
    for group in measured["groups"].values():
        assert group["n"] == 3
        assert {"tpr", "tnr", "auc", "dice_mean"} <= set(group["estimates"])
        assert all(intervals(group["estimates"].values()))
    assert measured["pairs"]["malignant"] == 1
    assert "fused.tpr" in measured["pairs"]["estimates"]


def intervals(estimates: Any) -> Iterator[bool]:
    for estimate in estimates:
        low, value, high = (estimate[key] for key in ("low", "value", "high"))
        yield low is None or low <= value <= high


def test_the_operating_points_reach_the_stated_sensitivity_on_val(
    manifest: dict[str, Any],
) -> None:
    said = manifest["operating_points_chosen"]
    assert said["on"] == "val"
    assert "0.9" in said["for"]
    groups = manifest["training"]["metrics"]["val"]["groups"]
    for modality in ("MG", "US"):
        assert 0 <= manifest["modalities"][modality]["operating_point"] <= 1
        # Measured anew by the device's reader, with what the manifest holds.
        assert (
            groups[modality]["estimates"]["tpr"]["value"] == said["reached"][modality]["tpr"] == 1
        )
        assert groups[modality]["estimates"]["tnr"]["value"] == pytest.approx(
            said["reached"][modality]["tnr"], abs=1e-4
        )
        assert said["reached"][modality]["n"] == 3


def test_one_network_serves_both_modalities_and_every_output_has_its_bounds(
    manifest: dict[str, Any],
) -> None:
    assert (manifest["schema"], manifest["kind"]) == (2, "refined-mask-rcnn/1")
    assert {m: e["network"] for m, e in manifest["modalities"].items()} == {
        "MG": "shared",
        "US": "shared",
    }
    assert set(manifest["networks"]["shared"]["stages"]) == {"trunk", "heads", "masks"}
    for stage in stages_of(manifest):
        assert set(stage["tolerances"]) == set(stage["outputs"]) - {"pyramid"}


def test_two_runs_make_a_bundle_with_a_network_for_each(
    tiny_run: Path, records: Sequence[Record], tmp_path: Path
) -> None:
    geometry = tiny.geometry(input_size=(64, 96))
    wide = finished_run(tmp_path / "wide", drawn_network(tiny.network(geometry=geometry), 2))
    out = tmp_path / "out"
    manifest = exported({Modality.MG: tiny_run, Modality.US: wide}, out, records)
    sizes = {m: n["geometry"]["input_size"] for m, n in as_json(manifest)["networks"].items()}
    assert sizes == {"mammogram": [96, 64], "ultrasound": [64, 96]}
    assert {m: e["network"] for m, e in manifest["modalities"].items()} == {
        "MG": "mammogram",
        "US": "ultrasound",
    }
    parity = manifest["training"]["parity"]
    assert {key.split(".")[0] for key in parity} == {"mammogram", "ultrasound"}
    assert len(parity) == 14
    images = [read_image(r.image.read_bytes(), r.modality) for r in (records[0], records[-1])]
    with Reader.open(out) as reader:
        assert len(reader.read(images).images) == 2


def test_a_run_of_one_modality_makes_a_bundle_of_it_without_a_word_of_the_other(
    records: Sequence[Record], tmp_path: Path
) -> None:
    run = finished_run(tmp_path / "run", drawn_network())
    checkpoint.write_config(run, replace(tiny.TRAIN, modalities=("MG",)))
    manifest = exported(run, tmp_path / "out", records)
    assert set(manifest["modalities"]) == {"MG"}
    assert manifest["training"]["images"] == {"train": 6, "val": 3, "test": 3}
    assert set(manifest["operating_points_chosen"]["reached"]) == {"MG"}
    only_us = [record for record in records if record.modality is Modality.US]
    with pytest.raises(ValueError, match="trained for MG and the index has no val image of it"):
        exported(run, tmp_path / "none", only_us)
    with pytest.raises(ValueError, match="the run for US was trained for MG"):
        exported({Modality.US: run}, tmp_path / "none", records)


def test_nothing_of_the_machine_it_was_made_on_is_in_the_bundle(
    bundle: Path, tiny_run: Path, phantom_index: Path
) -> None:
    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from value
            for each in value.values():
                yield from texts(each)
        elif isinstance(value, list):
            for each in value:
                yield from texts(each)
        elif isinstance(value, str):
            yield value

    manifest = json.loads((bundle / "manifest.json").read_text())
    for stage in stages_of(manifest):
        del stage["fp32"]  # names of nodes, which begin with a stroke
    assert not [text for text in texts(manifest) if text.startswith(("/", "~")) or "\\" in text]
    for file in bundle.iterdir():
        data = file.read_bytes()
        for path in (bundle, tiny_run, phantom_index.parent, Path(__file__).parents[2]):
            assert str(path).encode() not in data


def test_progress_is_told_by_what_is_done(bundle: Path, told: list[tuple[str, int, int]]) -> None:
    kinds = list(dict.fromkeys(what for what, _, _ in told))
    assert kinds == ["calibrate", "measure val", "measure test"]
    for kind in kinds:
        assert [(done, of) for what, done, of in told if what == kind] == [
            (k, 6) for k in range(1, 7)
        ]


def test_thresholds_are_chosen_on_val_alone(
    tiny_run: Path, records: Sequence[Record], manifest: dict[str, Any], tmp_path: Path
) -> None:
    """Other truth in test, and no training image on this machine: the same thresholds."""
    other = {"malignant": "benign", "benign": "malignant", "normal": "normal"}
    changed = [
        replace(
            record,
            label=other[record.label] if record.split == "test" else record.label,
            image=tmp_path / "gone.png" if record.split == "train" else record.image,
        )
        for record in records
    ]
    again = exported(tiny_run, tmp_path / "again", changed)
    assert {key: again[key] for key in CHOSEN} == {key: manifest[key] for key in CHOSEN}
    before, after = manifest["training"]["metrics"], as_json(again["training"]["metrics"])
    assert after["val"] == before["val"]
    assert after["test"] != before["test"]


def test_a_refused_export_leaves_the_bundle_that_was_there(
    records: Sequence[Record], bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bundle"
    shutil.copytree(bundle, out)
    monkeypatch.setattr("mammosono.tools.export.parity.BOUND", -1.0)
    with pytest.raises(ParityError, match="differs by"):
        exported(finished_run(tmp_path / "run", drawn_network(seed=2)), out, records)
    assert {f.name: f.read_bytes() for f in out.iterdir()} == {
        f.name: f.read_bytes() for f in bundle.iterdir()
    }


def test_parity_is_tried_on_at_most_eight_images_spread_over_both_modalities(
    tiny_run: Path, records: Sequence[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Modality] = []

    def note(data: bytes, modality: Modality) -> Any:
        tried.append(modality)
        return read_image(data, modality)

    def enough(_reference: Any, _other: Any, canvases: list[Any], _geometry: Any) -> None:
        assert len(canvases) == len(tried)
        raise ParityError("seen enough")

    monkeypatch.setattr("mammosono.tools.export.export.read_image", note)
    monkeypatch.setattr("mammosono.tools.export.export.compare", enough)
    mammograms, ultrasounds = records[:11], records[12:16]
    many = [replace(record, split="val") for record in (*mammograms, *ultrasounds)]
    with pytest.raises(ParityError, match="seen enough"):
        exported(tiny_run, tmp_path / "out", [*many, records[-1]])
    assert 4 <= len(tried) <= 8
    assert set(tried) == set(Modality)


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_without_images_is_refused_before_any_work(
    split: str, tiny_run: Path, records: Sequence[Record], tmp_path: Path
) -> None:
    others = [record for record in records if record.split != split]
    with pytest.raises(ValueError, match=f"no {split} image of phantom"):
        exported(tiny_run, tmp_path / "out", others)
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network_are_refused(records: Sequence[Record], tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", drawn_network())
    checkpoint.write_config(run, replace(tiny.TRAIN, network=tiny.network(fpn_channels=12)))
    with pytest.raises(BadRun, match=r"best\.pt is of another network"):
        exported(run, tmp_path / "out", records)
    checkpoint.save(run, "best.pt", {"epoch": 1})
    with pytest.raises(BadRun, match=r"best\.pt is of another network"):
        exported(run, tmp_path / "out", records)


def as_json(value: Any) -> Any:
    """As it comes back from a file: tuples are lists."""
    return json.loads(json.dumps(value))
