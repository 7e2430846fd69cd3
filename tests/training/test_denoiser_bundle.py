"""A bundle with a denoiser: exported, checked, tried and read with as one without is."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="a bundle is exported with torch")

import tiny  # noqa: E402
from onnx import numpy_helper  # noqa: E402
from tiny_bundle import DENOISER, PROVENANCE, denoiser_run, drawn_bundle  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from mammosono.appliance.intake import read_image  # noqa: E402
from mammosono.appliance.pipeline.denoise.network import STAGE  # noqa: E402
from mammosono.appliance.pipeline.model import SHIPPED  # noqa: E402
from mammosono.appliance.pipeline.reader import Reader  # noqa: E402
from mammosono.appliance.values import Modality  # noqa: E402
from mammosono.engines.bundle import open_bundle  # noqa: E402
from mammosono.engines.onnx_engine import OnnxEngine  # noqa: E402
from mammosono.engines.trt.parity import read_tensors  # noqa: E402
from mammosono.tools.cli import app  # noqa: E402
from mammosono.tools.data.index import Record, read_index  # noqa: E402
from mammosono.tools.denoiser.from_bundle import write_denoiser_run  # noqa: E402
from mammosono.tools.denoiser.network import DenoiserConfig, predict  # noqa: E402
from mammosono.tools.denoiser.training import best_denoiser  # noqa: E402
from mammosono.tools.export import check, rtx  # noqa: E402
from mammosono.tools.export.export import Goal, export_bundle  # noqa: E402
from mammosono.tools.export.half_precision import add_half_precision  # noqa: E402
from mammosono.tools.export.parity import BOUND  # noqa: E402
from mammosono.tools.export.subject import Check, Subject  # noqa: E402
from mammosono.tools.training import checkpoint  # noqa: E402


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With all that a device builder needs. Not to be written to."""
    folder = drawn_bundle(tmp_path_factory.mktemp("drawn") / "tiny", denoiser=True)
    add_half_precision(folder)
    return folder


def checked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    monkeypatch.setattr(rtx, "runtime", lambda: None)
    return check.check_graphs([folder], check.phantoms())


def test_every_check_looks_at_the_stage_and_passes(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = checked(whole, monkeypatch)
    assert check.passed(found), [c for c in found if c.state == "fail"]
    assert {c.what for c in found if c.stage == STAGE} == {
        "TensorRT 8.2 rules", "mixed graph rules", "FP16 range", "stored tensors in FP32",
        "stored tensors in FP16",
    }  # fmt: skip


def test_only_the_mammogram_reaches_the_stage(whole: Path) -> None:
    bundle = open_bundle(whole)
    stored = {name for name in read_tensors(bundle) if f"/{STAGE}/" in name}
    assert stored == {f"mg/{STAGE}/in/noisy", f"mg/{STAGE}/out/noise"}
    subject = Subject.open(whole, check.phantoms())
    assert [noisy.shape for noisy in subject.noisy[STAGE]] == [(1, 1, *tiny.GEOMETRY.input_size)]
    assert bundle.stages[STAGE].fp32 == ()


def test_weights_that_half_precision_cannot_hold_are_found(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(whole, folder)
    graph = onnx.load(folder / f"{STAGE}.onnx")
    tensor = next(t for t in graph.graph.initializer if len(t.dims) == 4)
    large = numpy_helper.to_array(tensor) * np.float32(5e4)
    tensor.CopyFrom(numpy_helper.from_array(large, tensor.name))
    data = graph.SerializeToString()
    (folder / f"{STAGE}.onnx").write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["stages"][STAGE]["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    wrong = {(c.stage, c.what) for c in checked(folder, monkeypatch) if c.state == "fail"}
    assert (STAGE, "FP16 range") in wrong
    assert (STAGE, "stored tensors in FP32") in wrong


# Export


@pytest.fixture(scope="module")
def records(phantom_index: Path) -> Sequence[Record]:
    return read_index(phantom_index)


@pytest.fixture(scope="module")
def exported(
    tiny_run: Path, records: Sequence[Record], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    run = denoiser_run(tmp_path_factory.mktemp("made") / "denoiser")
    out = tmp_path_factory.mktemp("out") / "tiny"
    export_bundle(
        tiny_run, out, records, ["phantom"],
        name="tiny", version="0.1", goal=Goal(), on_image=lambda *_: None, denoiser_run=run,
    )  # fmt: skip
    return out


def test_an_exported_bundle_says_where_its_denoiser_comes_from(exported: Path) -> None:
    bundle = open_bundle(exported)
    manifest: Any = bundle.manifest
    assert set(bundle.networks["shared"].stages) == {"trunk", "heads", "masks", STAGE}
    assert "mixed" in bundle.stages[f"shared.{STAGE}"].variants
    assert manifest["modalities"]["MG"]["denoise"] == STAGE
    assert "denoise" not in manifest["modalities"]["US"]
    assert manifest["denoiser"] == PROVENANCE
    assert 0 <= manifest["training"]["parity"][f"shared.{STAGE}.noise"] < BOUND


def test_a_reader_of_it_denoises_with_the_network(
    exported: Path, records: Sequence[Record]
) -> None:
    posted = [read_image(r.image.read_bytes(), r.modality) for r in (records[0], records[-1])]
    assert [image.modality for image in posted] == list(Modality)
    with Reader.open(exported) as reader:
        methods = [image.denoise.method for image in reader.read(posted).images]
    assert methods == ["anscombe-cnn", "obnlm"]


def test_the_whole_of_a_bundle_is_lost_if_its_denoiser_is(exported: Path, tmp_path: Path) -> None:
    from mammosono.engines.errors import BundleError

    folder = tmp_path / "tiny"
    shutil.copytree(exported, folder)
    (folder / f"shared.{STAGE}.onnx").unlink()
    with pytest.raises(BundleError, match=rf"shared\.{STAGE}\.onnx: not found"):
        open_bundle(folder)


def test_a_denoiser_that_does_not_fit_the_input_is_refused_and_nothing_is_written(
    tiny_run: Path, records: Sequence[Record], tmp_path: Path
) -> None:
    run, levels = tmp_path / "denoiser", (1,) * 6
    run.mkdir()
    config = replace(DENOISER, network=DenoiserConfig((2,) * 6, levels, levels))
    checkpoint.write_config(run, config)
    from mammosono.tools.denoiser.network import Denoiser

    state = {"network": Denoiser(config.network).state_dict(), "provenance": {}}
    checkpoint.save(run, "best.pt", state)
    with pytest.raises(ValueError, match="multiples of 64"):
        export_bundle(
            tiny_run, tmp_path / "out", records, ["phantom"],
            name="tiny", version="0.1", goal=Goal(), on_image=lambda *_: None,
            denoiser_run=run,
        )  # fmt: skip
    assert list((tmp_path / "out").iterdir()) == []


def test_a_bundles_denoiser_is_taken_over_as_a_run_that_computes_the_same(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["take-denoiser", "--bundle", str(SHIPPED), "--out", str(tmp_path / "run")]
    )
    assert done.exit_code == 0, done.output
    taken, provenance = best_denoiser(tmp_path / "run")
    bundle = open_bundle(SHIPPED)
    assert provenance == bundle.manifest["denoiser"]
    entry = bundle.modalities["MG"]
    name = bundle.networks[entry["network"]].stages[entry["denoise"]]
    shape = bundle.stages[name].inputs["noisy"][1]
    noisy = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    engine = OnnxEngine(bundle)
    on_device = np.asarray(engine.run(name, {"noisy": noisy})["noise"])
    engine.close()
    np.testing.assert_allclose(predict(taken, torch.from_numpy(noisy)), on_device, atol=1e-4)


def test_a_bundle_without_a_denoiser_has_none_to_take(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no denoiser of mammograms"):
        write_denoiser_run(drawn_bundle(tmp_path / "plain"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_denoiser_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another network than is trained here"):
        write_denoiser_run(drawn_bundle(tmp_path / "own", denoiser=True), tmp_path / "run")
    assert not (tmp_path / "run").exists()
