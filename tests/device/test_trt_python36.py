"""The TensorRT engine under CPython 3.6 with numpy 1.19.5, as on the Jetson Nano: from the plans on
disk to the answers, TensorRT and the GPU alone being fakes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from test_onnx_engine import HEIGHT, ROIS, SAMPLES, WIDTH, P, make_bundle, pooled_of
from worker_bench import python36_with_onnxruntime

from mammosono.engines.python_launch import HOME, PACKAGE

pytestmark = pytest.mark.slow

TESTS = Path(__file__).resolve().parents[1]

READ = (
    PACKAGE
    + """
import json, warnings
sys.dont_write_bytecode = True
warnings.simplefilter("error")
tests, folder, plans = sys.argv[1:]
sys.path.insert(0, tests)
import numpy as np
from fake_trt import fake_plan, installed
from mammosono.engines.bundle import open_bundle, read_stage
from mammosono.engines.open import open_engine
from mammosono.engines.options import EngineOptions
from mammosono.engines.trt.device import this_device
from mammosono.engines.trt.plan import Sidecar, write_plan

given = json.load(sys.stdin)
image = np.array(given["image"], np.float32)
samples = {"rows": np.array(given["rows"], np.int32),
           "weights": np.array(given["weights"], np.float32)}
with installed("8.2") as gpu:
    bundle = open_bundle(folder)
    for stage in bundle.stages.values():
        sidecar = Sidecar(this_device(), stage.sha256, "fp16", "2026-11-22")
        write_plan(plans, stage.name, fake_plan(read_stage(stage)), sidecar)
    engine = open_engine(bundle, EngineOptions(plans=plans))
    kept = engine.run("trunk", {"image": image}, keep=["pyramid"])
    answer = engine.run("heads", dict(samples, pyramid=kept["pyramid"]))
    engine.close()
    json.dump({"python": sys.version_info[:2], "runtime": engine.runtime, "leaks": gpu.leaks(),
               "pooled": answer["pooled"].tolist()}, sys.stdout)
"""
)


def test_python_36_runs_the_stages(tmp_path: Path) -> None:
    python, reason = python36_with_onnxruntime()
    if not python:
        pytest.skip(reason)
    rng = np.random.default_rng(7)
    image = rng.uniform(0.5, 2.0, (1, 1, HEIGHT, WIDTH)).astype(np.float32)
    samples = {
        "rows": rng.integers(0, P, (ROIS, SAMPLES), dtype=np.int32),
        "weights": rng.random((ROIS, 1, SAMPLES), dtype=np.float32),
    }
    make_bundle(tmp_path / "tiny")
    given = {"image": image, **samples}
    done = subprocess.run(
        [python, "-c", READ, HOME, str(TESTS), str(tmp_path / "tiny"), str(tmp_path / "plans")],
        input=json.dumps({name: value.tolist() for name, value in given.items()}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["python"] == [3, 6]
    assert answer["runtime"] == "tensorrt 8.2.1.8 fp16"
    assert answer["leaks"] == []
    np.testing.assert_allclose(answer["pooled"], pooled_of(image, samples), rtol=1e-5)
