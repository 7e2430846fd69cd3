"""A run's state on disk: whole or not at all, and never code."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="checkpoints are torch files")

import tiny  # noqa: E402

from mammosono.tools.network.config import TrainConfig, preset  # noqa: E402
from mammosono.tools.training import checkpoint  # noqa: E402
from mammosono.tools.training.checkpoint import BadRun, config_of, read_config, write_config  # noqa: E402


class Payload:
    """What an attacker would put into a checkpoint."""

    opened = False

    def __reduce__(self):
        return (setattr, (Payload, "opened", True))


def saved(folder: Path) -> Path:
    state = {"weights": torch.arange(3000.0), "epoch": 3, "best": -math.inf}
    checkpoint.save(folder, "last.pt", state)
    return folder / "last.pt"


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    state = checkpoint.load(saved(tmp_path))
    assert torch.equal(state["weights"], torch.arange(3000.0))
    assert (state["epoch"], state["best"]) == (3, -math.inf)
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_save_that_fails_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path)

    def full_disk(_state: object, target: Path) -> None:
        target.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(tmp_path, "last.pt", {"epoch": 4})
    monkeypatch.undo()
    assert checkpoint.load(path)["epoch"] == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"no checkpoint at all",
        lambda data: data[: len(data) // 2],
        lambda data: data[:100],
        lambda data: data[len(data) // 2 :],
        lambda data: b"\x80\x02garbage",
        lambda data: b"PK\x03\x04" + bytes(200),
    ],
    ids=["empty", "text", "half", "head", "tail", "pickle", "zip"],
)
def test_a_damaged_checkpoint_says_what_to_do(tmp_path: Path, damage) -> None:
    path = saved(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadRun, match=r"last\.pt is damaged: delete it") as caught:
        checkpoint.load(path)
    assert str(tmp_path) not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadRun, match=r"no checkpoint best\.pt in the run folder: train first"):
        checkpoint.load(tmp_path / "best.pt")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "last.pt")
    with pytest.raises(BadRun, match="no checkpoint of this program"):
        checkpoint.load(tmp_path / "last.pt")


def test_a_checkpoint_is_never_run_as_code(tmp_path: Path) -> None:
    torch.save({"epoch": Payload()}, tmp_path / "last.pt")
    with pytest.raises(BadRun):
        checkpoint.load(tmp_path / "last.pt")
    assert not Payload.opened


@pytest.mark.parametrize(
    "config",
    [
        preset("compact"),
        preset("compact-scratch"),
        preset("middle"),
        preset("paper"),
        replace(tiny.TRAIN, network=tiny.network(stage_strides=(1, 2, 2, 1), stride_in_1x1=True)),
        replace(tiny.TRAIN, percentiles=(0.5, 99.0), learning_rate=1 / 3),
        replace(tiny.TRAIN, micro_batch=2, precision="bf16", patience=3, views="only"),
    ],
)
def test_a_configuration_comes_back_equal(tmp_path: Path, config: TrainConfig) -> None:
    write_config(tmp_path, config)
    assert read_config(tmp_path) == config
    assert hash(read_config(tmp_path)) == hash(config)  # tuples again, all the way down
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def printed(folder: Path) -> dict:
    write_config(folder, tiny.TRAIN)
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.pop("network"),
        lambda entry: entry["network"].pop("geometry"),
        lambda entry: entry["network"]["geometry"].pop("delta_clamp"),
        lambda entry: entry["network"].update(stem="deep"),
        lambda entry: entry["network"].update(geometry="square"),
        lambda entry: entry.update(network="large"),
        lambda entry: entry.update(loss=None),
        lambda entry: entry.update(patients=3),
        lambda entry: entry.update(epochs="three"),
        lambda entry: entry.update(views="some"),
        lambda entry: entry["network"]["geometry"].update(input_size=[96]),
    ],
)
def test_a_configuration_of_another_version_is_refused(tmp_path: Path, change) -> None:
    entry = printed(tmp_path)
    change(entry)
    with pytest.raises(BadRun, match="does not fit this version"):
        config_of(entry)


@pytest.mark.parametrize(("passes", "batch", "micro"), [(1, 4, None), (25, 100, 4)])
def test_a_configuration_of_the_first_version_is_read(
    tmp_path: Path, passes: int, batch: int, micro: int | None
) -> None:
    """It counted the images of a pass and the passes of a step, and knew fewer fields."""
    entry = printed(tmp_path)
    for name in ("micro_batch", "precision", "validate_every", "patience", "views"):
        del entry[name]
    for name in ("data", "software"):
        entry.pop(name, None)
    (tmp_path / "config.json").write_text(json.dumps({**entry, "accumulate": passes}))
    assert read_config(tmp_path) == replace(tiny.TRAIN, batch_size=batch, micro_batch=micro)


@pytest.mark.parametrize("text", [None, "", "{", "\xff"])
def test_an_unreadable_configuration_says_what_to_do(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadRun, match=r"config\.json .* missing or damaged") as caught:
        read_config(tmp_path)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_a_configuration_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(BadRun, match="does not fit this version"):
        read_config(tmp_path)
