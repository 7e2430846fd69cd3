"""A pinned bundle: the one of that hash is opened, and no other, by whoever opens one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from small_graphs import write_bundle
from typer.testing import CliRunner
from worker_bench import stub_bundle, stub_python

from mammosono.appliance.cli import app
from mammosono.appliance.commands.kit import settings
from mammosono.appliance.doctor.bundle_check import check_bundle
from mammosono.appliance.doctor.check_result import State
from mammosono.appliance.errors import ModelUnavailable
from mammosono.appliance.pipeline.model import SHIPPED, open_model
from mammosono.engines.bundle import MANIFEST, File, open_bundle, read_file, with_variant
from mammosono.engines.errors import BundleError
from mammosono.engines.open import open_engine
from mammosono.engines.options import EngineOptions, to_json

OTHER = "0" * 64


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A copy of the shipped bundle, whose files can be replaced, not written to."""
    return shutil.copytree(SHIPPED, tmp_path / "bundle", copy_function=os.link)


def replace(file: Path, content: bytes) -> None:
    file.unlink()
    file.write_bytes(content)


def open_whole(folder: Path, others: Sequence[File]) -> None:
    """others: what is read only where it is used."""
    open_bundle(folder)
    for file in others:
        read_file(file)


def test_a_pinned_bundle_is_opened_and_no_other(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    options = EngineOptions(runtime="onnxruntime", bundle_sha256=bundle.sha256)
    open_engine(bundle, options).close()
    with pytest.raises(BundleError, match=bundle.sha256):
        open_engine(bundle, options._replace(bundle_sha256=OTHER))


def test_a_worker_is_not_started_for_another_bundle(tmp_path: Path) -> None:
    bundle = stub_bundle(tmp_path / "bundle")
    options = EngineOptions(worker_python=stub_python(tmp_path), bundle_sha256=OTHER)
    with pytest.raises(BundleError, match="pinned"):
        open_engine(bundle, options)


def test_a_worker_looks_itself_at_what_it_opens(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    given = to_json(EngineOptions(runtime="onnxruntime", bundle_sha256=OTHER))
    command = [sys.executable, "-m", "mammosono.engines.worker", "--bundle", bundle.folder]
    ended = subprocess.run(
        [*command, "--socket", str(tmp_path / "socket"), "--options", given],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "pinned" in ended.stderr


def test_a_bundle_whose_thresholds_were_edited_is_not_the_pinned_one(shipped: Path) -> None:
    pinned = EngineOptions(bundle_sha256=open_bundle(shipped).sha256)
    engine, _ = open_model(shipped, pinned)
    engine.close()
    manifest = json.loads((shipped / MANIFEST).read_bytes())
    for entry in manifest["modalities"].values():
        entry["operating_point"] = 0.9999
    replace(shipped / MANIFEST, json.dumps(manifest).encode())
    with pytest.raises(ModelUnavailable, match="pinned"):
        open_model(shipped, pinned)
    line, found = check_bundle(shipped, pinned.bundle_sha256)
    assert (line.state, found) == (State.FAIL, None)
    assert "MAMMOSONO_BUNDLE_SHA256" in line.remedy


def test_the_hash_of_a_bundle_covers_its_manifest_and_every_file(shipped: Path) -> None:
    whole = open_bundle(shipped)
    named = {Path(stage.path).name for stage in whole.stages.values()}
    others = [file for stage in whole.stages.values() for file in stage.variants.values()]
    assert whole.parity is not None
    others.append(whole.parity)
    named |= {Path(file.path).name for file in others}
    assert named | {MANIFEST} == {path.name for path in shipped.iterdir()}
    for name in sorted(named):
        kept = (shipped / name).read_bytes()
        replace(shipped / name, kept[:-1] + bytes([kept[-1] ^ 1]))
        with pytest.raises(BundleError, match="sha256"):
            open_whole(shipped, others)
        replace(shipped / name, kept)
    replace(shipped / MANIFEST, (shipped / MANIFEST).read_bytes() + b"\n")
    assert open_bundle(shipped).sha256 != whole.sha256
    with_variant(whole, "mixed")


def test_the_setting_is_asked_by_every_command_that_opens_a_bundle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAMMOSONO_BUNDLE_SHA256", OTHER)
    assert settings().engine().bundle_sha256 == OTHER
    ended = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo")])
    assert ended.exit_code == 2
    assert open_bundle(SHIPPED).sha256 in ended.stderr


@pytest.mark.parametrize("value", ["", "abc", "AB" * 32, "0" * 65])
def test_a_pin_that_is_no_hash_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MAMMOSONO_BUNDLE_SHA256", value)
    ended = CliRunner().invoke(app, ["demo"])
    assert ended.exit_code == 2
    assert ended.stderr.startswith("error: bundle_sha256: ")
