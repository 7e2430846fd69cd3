"""A bundle's network taken over as a run computes what the bundle computes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from tiny_bundle import drawn_networks
from typer.testing import CliRunner

from mammosono.appliance.pipeline.model import SHIPPED, model_of
from mammosono.appliance.values import Modality
from mammosono.engines.bundle import open_bundle, write_manifest
from mammosono.engines.onnx_engine import OnnxEngine
from mammosono.tools.cli import app
from mammosono.tools.export.from_bundle import write_network_run
from mammosono.tools.network.torch_engine import TorchEngine
from mammosono.tools.training.checkpoint import best_network, read_config


@pytest.mark.parametrize("modality", Modality)
def test_the_run_computes_what_the_shipped_network_does(modality: Modality, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = CliRunner().invoke(
        app,
        ["take-run", "--bundle", str(SHIPPED), "--modality", modality.value, "--out", str(out)],
    )
    assert done.exit_code == 0, done.output
    config = read_config(out)
    assert config.modalities == (modality.value,)
    bundle = open_bundle(SHIPPED)
    stages = model_of(bundle, "none").of(modality).stages
    shape = bundle.stages[stages.trunk].inputs["image"][1]
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    engine = OnnxEngine(bundle)
    wanted = engine.run(stages.trunk, {"image": image})
    engine.close()
    got = TorchEngine(best_network(out, config.network)).run("trunk", {"image": image})
    for name in ("objectness", "deltas", "image_classes"):
        np.testing.assert_allclose(got[name], wanted[name], atol=1e-3)


def refusal(bundle: Path, modality: Modality, run: Path) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        write_network_run(bundle, modality, run)
    assert not run.exists()
    return str(caught.value)


def test_what_cannot_be_taken_over_is_refused(tmp_path: Path) -> None:
    """A bundle that says nothing of its training, and a ResNet, whose batch norm is folded in."""
    bundle = drawn_networks(tmp_path / "one", {"MG": ((96, 64), 1)})
    assert "reads no US" in refusal(bundle, Modality.US, tmp_path / "none")
    assert "does not say how" in refusal(bundle, Modality.MG, tmp_path / "none")
    manifest = json.loads((bundle / "manifest.json").read_text())
    geometry = tiny.geometry(input_size=(96, 64))
    config = asdict(replace(tiny.TRAIN, network=tiny.network(geometry=geometry)))
    manifest["training"] = {
        "networks": {manifest["modalities"]["MG"]["network"]: {"config": config}}
    }
    write_manifest(bundle, json.loads(json.dumps(manifest)))
    assert "hold other weights" in refusal(bundle, Modality.MG, tmp_path / "none")
