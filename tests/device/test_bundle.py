"""A bundle is refused unless every byte is the one its manifest vouches for: a damaged or swapped
model answers just as confidently as the right one, so nothing later would notice."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from mammosono.engines.bundle import Bundle, open_bundle, read_file, read_stage, write_manifest
from mammosono.engines.errors import BundleError

TRUNK = b"the bytes of a trunk"
HEADS = b"the bytes of the heads"


def manifest() -> dict[str, Any]:
    image = {"dtype": "float32", "shape": [1, 1, 640, 448]}
    rows = {"dtype": "int32", "shape": [64, 196]}
    scores = {"dtype": "float32", "shape": [64, 3]}
    return {
        "schema": 1,
        "name": "compact",
        "version": "1.0.0",
        "modalities": ["MG", "US"],
        "geometry": {"strides": [4, 8, 16], "box_weights": [10.0, 10.0, 5.0, 5.0]},
        "stages": {
            "trunk": {
                "file": "trunk.onnx",
                "sha256": hashlib.sha256(TRUNK).hexdigest(),
                "inputs": {"image": image},
                "outputs": {"pyramid": {"dtype": "float32", "shape": [5880, 64]}},
            },
            "heads": {
                "file": "heads.onnx",
                "sha256": hashlib.sha256(HEADS).hexdigest(),
                "inputs": {"rows": rows},
                "outputs": {"scores": scores},
            },
        },
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "compact"
    path.mkdir()
    (path / "trunk.onnx").write_bytes(TRUNK)
    (path / "heads.onnx").write_bytes(HEADS)
    write_manifest(path, manifest())
    return path


def rewrite(folder: Path, value: object) -> None:
    """Past write_manifest, which would refuse it."""
    (folder / "manifest.json").write_text(json.dumps(value), encoding="utf-8")


def refusal(folder: Path, *, names: str) -> str:
    with pytest.raises(BundleError) as caught:
        open_bundle(folder)
    message = str(caught.value)
    assert message.startswith(names)
    assert "\n" not in message
    assert str(folder) not in message
    assert re.search(r"copy|export|name a bundle's folder", message), "no remedy in: " + message
    return message


def test_what_is_written_is_what_is_opened(folder: Path) -> None:
    bundle = open_bundle(folder)

    assert (bundle.name, bundle.version) == ("compact", "1.0.0")
    assert bundle.manifest == manifest()
    assert list(bundle.stages) == ["heads", "trunk"]
    trunk = bundle.stages["trunk"]
    assert trunk.inputs == {"image": ("float32", (1, 1, 640, 448))}
    assert trunk.outputs == {"pyramid": ("float32", (5880, 64))}
    assert read_stage(trunk) == TRUNK


def test_what_a_device_builder_needs_is_optional(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.parity is None
    assert all(stage.variants == {} and stage.fp32 == () for stage in bundle.stages.values())


def test_what_a_device_builder_needs_is_found(folder: Path) -> None:
    value = manifest()
    entry = {"file": "parity.npz", "sha256": hashlib.sha256(b"right").hexdigest()}
    mixed = {"file": "trunk.mixed.onnx", "sha256": "0" * 64}
    value["parity"] = entry
    value["stages"]["trunk"].update(fp32=["Gemm_0", "/fc/Gemm"], mixed=mixed)
    (folder / "parity.npz").write_bytes(b"right")
    write_manifest(folder, value)

    bundle = open_bundle(folder)

    assert bundle.stages["trunk"].fp32 == ("Gemm_0", "/fc/Gemm")
    assert bundle.parity is not None
    assert read_file(bundle.parity) == b"right"
    assert bundle.stages["trunk"].variants == {
        "mixed": (str(folder.resolve() / "trunk.mixed.onnx"), "0" * 64)
    }
    (folder / "parity.npz").write_bytes(b"wrong")
    with pytest.raises(BundleError, match=r"parity\.npz: its sha256"):
        read_file(bundle.parity)


def test_the_identity_of_a_bundle_is_the_hash_of_its_manifest(folder: Path) -> None:
    data = (folder / "manifest.json").read_bytes()
    assert open_bundle(folder).sha256 == hashlib.sha256(data).hexdigest()


def test_equal_manifests_give_equal_bytes_whatever_their_key_order(folder: Path) -> None:
    before = (folder / "manifest.json").read_bytes()
    write_manifest(folder, dict(reversed(manifest().items())))
    assert (folder / "manifest.json").read_bytes() == before


def test_a_bundle_cannot_be_changed(folder: Path) -> None:
    bundle: Any = open_bundle(folder)
    with pytest.raises(AttributeError):
        bundle.name = "other"


def test_a_bundle_is_opened_through_a_link_to_its_folder(folder: Path) -> None:
    link = folder.parent / "current"
    link.symlink_to(folder)
    bundle = open_bundle(link)
    assert isinstance(bundle, Bundle)
    assert bundle.folder == os.path.realpath(folder)


@pytest.mark.parametrize("file", ["trunk.onnx", "heads.onnx"])
def test_one_flipped_bit_in_a_stage_is_refused(folder: Path, file: str) -> None:
    data = bytearray((folder / file).read_bytes())
    data[3] ^= 1
    (folder / file).write_bytes(data)
    assert "sha256" in refusal(folder, names=file)


def test_a_stage_changed_after_opening_is_refused_when_it_is_read(folder: Path) -> None:
    stage = open_bundle(folder).stages["trunk"]
    (folder / "trunk.onnx").write_bytes(HEADS)
    with pytest.raises(BundleError, match="sha256"):
        read_stage(stage)


def test_a_missing_stage_is_refused(folder: Path) -> None:
    (folder / "heads.onnx").unlink()
    assert "not found" in refusal(folder, names="heads.onnx")


def test_a_folder_in_the_place_of_a_stage_is_refused(folder: Path) -> None:
    (folder / "heads.onnx").unlink()
    (folder / "heads.onnx").mkdir()
    refusal(folder, names="heads.onnx")


def test_a_folder_without_manifest_and_a_missing_folder_are_refused(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    refusal(folder, names="manifest.json: not found")
    refusal(folder / "nowhere", names="manifest.json: not found")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe{}", b"not json", b"[" * 100_000])
def test_a_manifest_that_is_not_json_is_refused(folder: Path, data: bytes) -> None:
    (folder / "manifest.json").write_bytes(data)
    refusal(folder, names="manifest.json: it is not JSON")


@pytest.mark.parametrize("schema", [0, 3, "1", 1.0, True, None])
def test_another_schema_is_refused(folder: Path, schema: object) -> None:
    rewrite(folder, {**manifest(), "schema": schema})
    refusal(folder, names="manifest.json: its schema is")


@pytest.mark.parametrize(
    "file",
    [
        "../secret.onnx",
        "/etc/hostname",
        "sub/trunk.onnx",
        "..",
        ".",
        "",
        "a\\b",
        "a\nb",
        "a\0b",
        7,
        None,
    ],
)
def test_a_file_name_that_is_more_than_a_name_is_refused(folder: Path, file: object) -> None:
    (folder.parent / "secret.onnx").write_bytes(TRUNK)
    value = manifest()
    value["stages"]["trunk"]["file"] = file
    rewrite(folder, value)
    refusal(folder, names="manifest.json: the file name of stage 'trunk'")


@pytest.mark.parametrize("file", ["trunk.onnx", "manifest.json"])
def test_a_link_out_of_the_bundle_is_refused_even_with_the_right_bytes(
    folder: Path, file: str
) -> None:
    outside = folder.parent / "outside"
    (folder / file).rename(outside)
    (folder / file).symlink_to(outside)
    assert "links out" in refusal(folder, names=file)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), ""),
        (("version",), 3),
        (("stages",), {}),
        (("stages",), []),
        (("stages", "trunk"), "trunk.onnx"),
        (("stages", "trunk", "sha256"), "0" * 63),
        (("stages", "trunk", "sha256"), "G" * 64),
        (("stages", "trunk", "inputs"), {}),
        (("stages", "trunk", "outputs"), None),
        (("stages", "trunk", "inputs", "image"), [1, 1]),
        (("stages", "trunk", "inputs", "image", "dtype"), "float33"),
        (("stages", "trunk", "inputs", "image", "dtype"), []),
        (("stages", "trunk", "inputs", "image", "shape"), "11"),
        (("stages", "trunk", "inputs", "image", "shape"), [1, -1]),
        (("stages", "trunk", "inputs", "image", "shape"), [1, True]),
        (("stages", "trunk", "inputs", "image", "shape"), [1, 2.0]),
        (("stages", "trunk", "fp32"), "Gemm_0"),
        (("stages", "trunk", "fp32"), [3]),
        (("stages", "trunk", "mixed"), "trunk.mixed.onnx"),
        (("stages", "trunk", "mixed"), {"file": "../trunk.mixed.onnx", "sha256": "0" * 64}),
        (("parity",), {"file": "parity.npz", "sha256": "0"}),
    ],
)
def test_a_malformed_manifest_is_refused_when_opened_and_when_written(
    folder: Path, path: tuple[str, ...], value: object
) -> None:
    broken = copy.deepcopy(manifest())
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    rewrite(folder, broken)
    refusal(folder, names="manifest.json: ")
    with pytest.raises(BundleError, match="missing or malformed"):
        write_manifest(folder, broken)


@pytest.mark.parametrize("value", [[1, 2], "text", None])
def test_a_manifest_that_is_no_object_is_refused(folder: Path, value: object) -> None:
    rewrite(folder, value)
    refusal(folder, names="manifest.json: the outermost object")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_a_value_that_is_not_json_is_not_written(folder: Path, value: object) -> None:
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match="not JSON"):
        write_manifest(folder, {**manifest(), "training": {"loss": value}})
    assert (folder / "manifest.json").read_bytes() == before


def test_a_write_that_fails_leaves_the_old_manifest_and_no_litter(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (folder / "manifest.json").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BundleError, match="No space left on device"):
        write_manifest(folder, {**manifest(), "version": "2.0.0"})

    assert (folder / "manifest.json").read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == ["heads.onnx", "manifest.json", "trunk.onnx"]


def test_a_manifest_cannot_be_written_into_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"^manifest\.json: it cannot be written"):
        write_manifest(tmp_path / "nowhere", manifest())


def test_the_manifest_is_readable_by_the_service_user(folder: Path) -> None:
    assert stat.S_IMODE((folder / "manifest.json").stat().st_mode) == 0o644
