"""What a plan depends on, read off the machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from fake_gpu import Gpu
from fake_trt import installed

from mammosono.engines.errors import EngineUnavailable
from mammosono.engines.trt import device
from mammosono.engines.trt.device import Device, this_device

RELEASE = (
    "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64, "
    "DATE: Sat Feb 19 17:05:08 UTC 2022\n"
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(device, "_RELEASE", str(tmp_path / "nv_tegra_release"))
    identities = (str(tmp_path / "serial-number"), str(tmp_path / "machine-id"))
    monkeypatch.setattr(device, "_IDENTITIES", identities)
    return tmp_path


def test_a_jetson_nano_is_told(root: Path) -> None:
    (root / "nv_tegra_release").write_text(RELEASE)
    (root / "serial-number").write_bytes(b"1422919082257\0")
    (root / "machine-id").write_text("another\n")
    with installed("8.2"):
        seen = this_device()
    serial = hashlib.sha256(b"1422919082257").hexdigest()
    assert seen == Device("NVIDIA Tegra X1", "5.3", "8.2.1.8", "32.7.1", serial)


def test_elsewhere_the_installations_id_stands_for_the_board(root: Path) -> None:
    (root / "machine-id").write_text("0123\n")
    with installed("10", Gpu("NVIDIA H100", (9, 0))):
        seen = this_device()
    assert (seen.gpu, seen.compute_capability, seen.l4t) == ("NVIDIA H100", "9.0", "")
    assert seen.serial == hashlib.sha256(b"0123").hexdigest()


def test_a_machine_that_does_not_tell_its_number_is_still_a_device(root: Path) -> None:
    (root / "nv_tegra_release").write_text("# something else\n")
    with installed("8.6"):
        seen = this_device()
    assert (seen.l4t, seen.serial) == ("", "")


def test_orins_release_is_read_too(root: Path) -> None:
    (root / "nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 38968081\n")
    with installed("10"):
        assert this_device().l4t == "36.4.3"


def test_without_a_gpu_there_is_no_device(root: Path) -> None:
    with installed("8.2", Gpu(count=0)), pytest.raises(EngineUnavailable, match="finds no GPU"):
        this_device()
