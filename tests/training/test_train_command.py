"""`train` at the command line: settings from a file and options, the run's record, refusals."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

import tiny
from test_tools_cli import refused, run
from tiny_bundle import denoiser_run

from mammosono.appliance.values import Modality
from mammosono.tools.commands.train import Preset
from mammosono.tools.data import sample
from mammosono.tools.data.folds import Fold, refold
from mammosono.tools.data.index import read_index, split_hash
from mammosono.tools.network.config import PRESETS, TrainConfig
from mammosono.tools.training import checkpoint
from mammosono.tools.training import datasets as material
from mammosono.tools.training.display import CurveFiles

SMALL = replace(tiny.TRAIN, epochs=1, batch_size=6)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(material, "PHANTOMS", 2)
    monkeypatch.setattr(CurveFiles, "_draw", lambda *_: None)


def settings(folder: Path, config: TrainConfig = SMALL) -> Path:
    path = folder / "settings.json"
    path.write_text(json.dumps(asdict(config)))
    return path


def command(phantom_index: Path, folder: Path, *more: object) -> tuple[object, ...]:
    return (
        "train", "--data", phantom_index, "--source", "phantom", "--out", folder / "run",
        "--workers", 0, *more,
    )  # fmt: skip


def test_every_preset_has_its_name_at_the_command_line() -> None:
    assert {preset.value for preset in Preset} == set(PRESETS)


def test_the_run_folder_tells_all_that_makes_the_run_again(
    phantom_index: Path, tmp_path: Path
) -> None:
    """The file changes the preset, options change the file; the data is known again."""
    more = (
        "--config",
        settings(tmp_path),
        "--micro-batch",
        2,
        "--denoised",
        "only",
        "--rate",
        2e-3,
    )
    made = run(*command(phantom_index, tmp_path, *more))
    assert made.exit_code == 0, made.output
    expected = replace(SMALL, micro_batch=2, views="only", learning_rate=2e-3)
    assert checkpoint.read_config(tmp_path / "run") == expected
    entry = json.loads((tmp_path / "run" / "config.json").read_text())
    records = read_index(phantom_index)
    assert entry["data"] == {
        "index_sha256": hashlib.sha256(phantom_index.read_bytes()).hexdigest(),
        "split_sha256": split_hash(records),
        "sources": ["phantom"],
        "train_images": sum(r.split == "train" for r in records),
        "val_images": sum(r.split == "val" for r in records),
        "denoiser_sha256": None,
        "initial_sha256": None,
        "fold": None,
    }
    assert set(entry["software"]) == {"mammosono", "torch", "numpy"}
    # And that file is the settings of another run.
    again = tmp_path / "again"
    again.mkdir()
    more = ("--config", tmp_path / "run" / "config.json")
    assert run(*command(phantom_index, again, *more)).exit_code == 0
    first, second = (
        checkpoint.load(folder / "run" / "last.pt")["network"] for folder in (tmp_path, again)
    )
    assert all(bool((first[name] == second[name]).all()) for name in first)
    # One that starts from the weights of another says from which.
    later = tmp_path / "later"
    later.mkdir()
    start = tmp_path / "run"
    assert run(*command(phantom_index, later, *more, "--initial", start)).exit_code == 0
    entry = json.loads((later / "run" / "config.json").read_text())
    digest = hashlib.sha256((start / "best.pt").read_bytes()).hexdigest()
    assert entry["data"]["initial_sha256"] == digest
    # With other settings it does not go on.
    line = refused(*command(phantom_index, tmp_path, *more, "--epochs", 3))
    assert line == (
        "the run in this folder has epochs = 1, not 3: give that, or another run folder"
    )


def test_mammograms_are_denoised_by_the_network_that_is_named(
    phantom_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = []
    cleaned = sample.denoise

    def told(*given: Any, **more: Any) -> Any:
        image, record = cleaned(*given, **more)
        methods.append((given[1], record.method))
        return image, record

    monkeypatch.setattr(sample, "denoise", told)
    made = denoiser_run(tmp_path / "denoiser")
    more = ("--config", settings(tmp_path), "--denoiser", made)
    assert run(*command(phantom_index, tmp_path, *more)).exit_code == 0
    assert set(methods) == {(Modality.MG, "anscombe-cnn"), (Modality.US, "obnlm")}
    entry = json.loads((tmp_path / "run" / "config.json").read_text())
    digest = hashlib.sha256((made / "best.pt").read_bytes()).hexdigest()
    assert entry["data"]["denoiser_sha256"] == digest
    # Without it, it is another run.
    line = refused(*command(phantom_index, tmp_path, *more[:2]))
    assert line.startswith("the run in this folder has data.denoiser_sha256 = ")


def test_a_denoiser_that_was_not_trained_is_refused(phantom_index: Path, tmp_path: Path) -> None:
    line = refused(*command(phantom_index, tmp_path, "--denoiser", tmp_path))
    assert line == "the denoiser's config.json is missing or damaged: train it first"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--precision", "fp16"), "fp16 needs a GPU: give --precision bf16 or fp32"),
        (("--micro-batch", 4), "a step of 6 images is not a multiple of 4 a pass times 1 devices"),
    ],
)
def test_what_this_machine_cannot_do_is_refused(
    phantom_index: Path, tmp_path: Path, more: tuple[Any, ...], said: str
) -> None:
    line = refused(*command(phantom_index, tmp_path, "--config", settings(tmp_path), *more))
    assert line.startswith(said)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"epoch": 3}, "the configuration file: there is no field epoch"),
        ({"loss": {"box_alpha": "two"}}, "the configuration file: loss.box_alpha is not a number"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_anything_is_read(
    tmp_path: Path, entry: dict[str, Any], said: str
) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(entry))
    assert refused(*command(tmp_path / "none.csv", tmp_path, "--config", path)) == said
    assert not (tmp_path / "run").exists()


def test_a_settings_file_that_is_missing_is_refused_by_its_name(tmp_path: Path) -> None:
    line = refused(*command(tmp_path / "none.csv", tmp_path, "--config", tmp_path / "s.json"))
    assert line == "s.json: No such file or directory"


def test_an_index_without_the_modality_is_refused_by_the_modalitys_name(
    phantom_index: Path, tmp_path: Path
) -> None:
    lines = phantom_index.read_text().splitlines(keepends=True)
    index = tmp_path / "index.csv"
    index.write_text("".join(line for line in lines if not line.startswith("ultrasound")))
    line = refused(*command(index, tmp_path, "--modality", "US"))
    assert line == "the index holds no US image"


def test_a_source_without_classes_that_is_not_trained_on_is_named(
    phantom_index: Path, tmp_path: Path
) -> None:
    """It is a slip of the pen, or says that a file of another run is used."""
    path = settings(tmp_path, replace(SMALL, class_free=("BUSI", "phantom")))
    # Refused at its end, so that nothing is trained.
    made = run(*command(phantom_index, tmp_path, "--config", path, "--micro-batch", 4))
    said = [line for line in made.stdout.splitlines() if line.startswith("class_free")]
    assert said == ["class_free: BUSI is no source of this run"]


def test_a_fold_is_held_back_in_place_of_val_and_a_resumed_run_keeps_it(
    phantom_index: Path, tmp_path: Path
) -> None:
    more = ("--config", settings(tmp_path), "--fold")
    made = run(*command(phantom_index, tmp_path, *more, "1/3"))
    assert made.exit_code == 0, made.output
    data = json.loads((tmp_path / "run" / "config.json").read_text())["data"]
    divided = refold(read_index(phantom_index), {"phantom"}, Fold(1, 3))
    assert data["fold"] == "1/3"
    assert data["val_images"] == sum(r.split == "val" for r in divided)
    assert "data.fold" in refused(*command(phantom_index, tmp_path, *more, "2/3"))
    assert "--fold is K/N" in refused(*command(phantom_index, tmp_path, *more, "4/3"))


def test_of_several_hospitals_those_to_learn_from_must_be_named(
    phantom_index: Path, tmp_path: Path
) -> None:
    text = phantom_index.read_text()
    head, first, *rest = text.splitlines()
    other = first.replace(",phantom,", ",elsewhere,")
    (tmp_path / "index.csv").write_text("\n".join([head, other, *rest]))
    start = ("train", "--data", tmp_path / "index.csv", "--out", tmp_path / "run")
    assert "with --source: elsewhere, phantom" in refused(*start)
    assert not (tmp_path / "run").exists()
