"""One value for how an engine is run, the same on both sides of every process boundary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_graphs import write_bundle
from worker_bench import stub_bundle

from mammosono.appliance.settings import Settings
from mammosono.appliance.studies.reader_process.job import Opening
from mammosono.engines.errors import BundleError, EngineUnavailable
from mammosono.engines.open import open_engine
from mammosono.engines.options import EngineOptions, from_json, to_json

GIVEN: dict[str, Any] = {
    "runtime": "onnxruntime",
    "threads": 3,
    "plans": "/var/lib/mammosono/plans",
    "variant": "mixed",
    "worker_python": "/usr/bin/python3.6",
    "run_deadline_s": 7.5,
    "bundle_sha256": "ab" * 32,
}


def test_every_option_survives_the_way_to_another_process() -> None:
    options = EngineOptions(**GIVEN)
    assert set(GIVEN) == set(EngineOptions._fields)
    assert from_json(to_json(options)) == options
    assert from_json(to_json(EngineOptions())) == EngineOptions()
    told = json.loads(json.dumps(Opening(options=options).document()))
    assert EngineOptions(**told["options"]) == options


def test_every_option_is_a_setting_of_the_same_name_and_default() -> None:
    assert Settings(**GIVEN).engine() == EngineOptions(**GIVEN)
    assert Settings().engine() == EngineOptions()


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"devices": 2}'])
def test_options_of_another_version_are_refused(text: str) -> None:
    with pytest.raises(EngineUnavailable, match="cannot be read; install the same version"):
        from_json(text)


@pytest.mark.parametrize("runtime", ["tensorflow", None])
def test_an_unknown_runtime_is_refused(tmp_path: Path, runtime: Any) -> None:
    options = EngineOptions(runtime=runtime)
    with pytest.raises(EngineUnavailable, match=r"no runtime .* use one of: auto, tensorrt, onnx"):
        open_engine(stub_bundle(tmp_path / "stub"), options)
    with pytest.raises(EngineUnavailable, match="no runtime"):
        from_json(to_json(options))


def test_the_variant_is_what_runs(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, mixed=True)
    options = EngineOptions("onnxruntime", threads=1)
    Path(bundle.stages["trunk"].variants["mixed"].path).write_bytes(b"no graph")
    open_engine(bundle, options).close()
    with pytest.raises(BundleError, match="trunk-mixed"):
        open_engine(bundle, options._replace(variant="mixed"))
    with pytest.raises(BundleError, match="no stage has a variant 'int8'"):
        open_engine(bundle, options._replace(variant="int8"))
