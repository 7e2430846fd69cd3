"""Plans on disk: what fits is read, and what does not is refused before TensorRT sees a byte."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mammosono.engines.bundle import Bundle, File, Stage
from mammosono.engines.errors import EngineUnavailable
from mammosono.engines.trt.device import Device
from mammosono.engines.trt.plan import (
    Sidecar,
    hold,
    plan_state,
    plans_of,
    read_plan,
    read_sidecar,
    write_plan,
)

DEVICE = Device("NVIDIA Tegra X1", "5.3", "8.2.1.8", "32.7.1", "ab" * 32)
ONNX, MIXED = "1" * 64, "2" * 64
TENSORS = {"x": ("float32", (1,))}
TRUNK = Stage(
    "trunk", "trunk.onnx", ONNX, TENSORS, TENSORS, variants={"mixed": File("mixed.onnx", MIXED)}
)
PLAN = b"what TensorRT serialised"
SIDECAR = Sidecar(DEVICE, ONNX, "fp16", "2026-11-22T14:03:46+00:00", ("31 s",), {"masks.mean": 0.1})


@pytest.fixture
def folder(tmp_path: Path) -> str:
    write_plan(str(tmp_path), "trunk", PLAN, SIDECAR)
    return str(tmp_path)


def refused(folder: str, match: str, device: Device = DEVICE, stage: Stage = TRUNK) -> None:
    """Refused by `read_plan` in one line that names no path, and by `plan_state` in the same."""
    with pytest.raises(EngineUnavailable, match=match) as caught:
        read_plan(folder, stage, device)
    text = str(caught.value)
    assert "\n" not in text
    assert folder not in text
    assert text.startswith("stage trunk: ")
    assert text.endswith("; run: mammosono-tools build-engine BUNDLE")
    assert plan_state(folder, stage, device) == text


def test_a_plan_that_fits_is_read_back(folder: str) -> None:
    assert read_plan(folder, TRUNK, DEVICE) == PLAN
    assert plan_state(folder, TRUNK, DEVICE) == ""
    sidecar = read_sidecar(folder, "trunk")
    assert sidecar._replace(plan_sha256="") == SIDECAR
    assert len(sidecar.plan_sha256) == 64


def test_only_the_owner_can_read_them(folder: str) -> None:
    assert {path.name for path in Path(folder).iterdir()} == {"trunk.plan", "trunk.json"}
    for path in Path(folder).iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"gpu": "Orin"}, "was built for GPU NVIDIA Tegra X1, not Orin"),
        ({"compute_capability": "8.7"}, "was built for compute capability 5.3, not 8.7"),
        ({"tensorrt": "8.2.1.9"}, "was built for TensorRT 8.2.1.8, not 8.2.1.9"),
        ({"l4t": ""}, "was built for L4T 32.7.1, not unknown"),
        ({"serial": "cd" * 32}, "was built on another board"),
    ],
)
def test_a_plan_of_another_device_is_refused_by_what_differs(
    folder: str, changed: dict[str, str], match: str
) -> None:
    refused(folder, match, device=DEVICE._replace(**changed))


def test_a_plan_of_another_graph_is_refused(folder: str) -> None:
    refused(folder, "was built from another graph", stage=TRUNK._replace(sha256="3" * 64))


def test_a_plan_of_mixed_precision_belongs_to_the_mixed_graph(folder: str) -> None:
    write_plan(folder, "trunk", PLAN, SIDECAR._replace(precision="mixed", onnx_sha256=MIXED))
    assert read_plan(folder, TRUNK, DEVICE) == PLAN
    refused(folder, "was built from another graph", stage=TRUNK._replace(variants={}))
    write_plan(folder, "trunk", PLAN, SIDECAR._replace(precision="mixed", onnx_sha256=ONNX))
    refused(folder, "was built from another graph")
    write_plan(folder, "trunk", PLAN, SIDECAR._replace(precision="int8", onnx_sha256=MIXED))
    refused(folder, "was built from another graph")


@pytest.mark.parametrize("index", range(len(PLAN)))
def test_a_plan_with_one_flipped_bit_is_refused(folder: str, index: int) -> None:
    data = bytearray(PLAN)
    data[index] ^= 1
    (Path(folder) / "trunk.plan").write_bytes(bytes(data))
    refused(folder, "is damaged: its sha256")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("name", ["trunk.plan", "trunk.json"])
@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (Path.unlink, "it has no plan"),
        (lambda path: path.chmod(0o640), r"is open to other users \(mode 640\)"),
        (lambda path: path.chmod(0o602), r"is open to other users \(mode 602\)"),
        (link, "cannot be read"),
        (fifo, "is not a file"),
    ],
    ids=["missing", "readable", "writable", "link", "fifo"],
)
def test_a_file_that_others_could_have_made_is_refused(
    folder: str, name: str, spoil: Callable[[Path], None], match: str
) -> None:
    spoil(Path(folder) / name)
    refused(folder, match)


def test_another_users_plan_is_refused(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    refused(folder, "belongs to another user")


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"precision": 8},
        {"device": {}},
        {"device": None},
        {"log": 3},
        {"more": 1},
    ],
    ids=str,
)
def test_a_malformed_sidecar_is_refused(folder: str, change: dict[str, Any]) -> None:
    path = Path(folder) / "trunk.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    refused(folder, "has a malformed sidecar")


@pytest.mark.parametrize("text", ["", "[]", "{}", "3", "\xff", "[" * 100_000])
def test_a_sidecar_that_is_none_is_refused(folder: str, text: str) -> None:
    (Path(folder) / "trunk.json").write_bytes(text.encode("latin-1"))
    refused(folder, "has a malformed sidecar")


def test_a_write_cut_short_leaves_a_plan_that_is_refused_not_run(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def cut(source: str, target: str) -> None:
        if target.endswith(".json"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", cut)
    with pytest.raises(EngineUnavailable, match=r"cannot be written \(No space left on device\)"):
        write_plan(folder, "trunk", PLAN + b"2", SIDECAR)
    refused(folder, "is damaged")
    assert len(os.listdir(folder)) == 2  # nothing half written is left


def test_engines_share_the_plans_and_a_builder_does_not(folder: str) -> None:
    with hold(folder, exclusive=False), hold(folder, exclusive=False):
        busy = pytest.raises(EngineUnavailable, match="stop it: systemctl stop mammosono")
        with busy, hold(folder, exclusive=True):
            pass
    with hold(folder, exclusive=True):
        busy = pytest.raises(EngineUnavailable, match="the plans are being built")
        with busy, hold(folder, exclusive=False):
            pass
    with hold(folder, exclusive=False):
        pass


def test_a_hold_ends_with_an_error_inside(folder: str) -> None:
    with pytest.raises(ZeroDivisionError), hold(folder, exclusive=True):
        raise ZeroDivisionError
    with hold(folder, exclusive=True):
        pass


def test_a_folder_that_is_not_there_is_made_to_build_in_and_not_to_run_from(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "plans"
    missing = pytest.raises(EngineUnavailable, match="no plans were built yet; run: mammosono")
    with missing, hold(str(folder), exclusive=False):
        pass
    with hold(str(folder), exclusive=True):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_the_plans_of_a_bundle_lie_in_it(tmp_path: Path) -> None:
    bundle = Bundle(str(tmp_path), "tiny", "1", {}, {}, "")
    assert plans_of(bundle) == str(tmp_path / "plans")
