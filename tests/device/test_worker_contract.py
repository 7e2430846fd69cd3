"""One contract, three ways to keep it: the engine in this process, in a worker under this Python,
and in a worker under CPython 3.6 with the last onnxruntime that was made for it (1.10)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tiny as tiny_network
from numpy.typing import NDArray
from tiny_bundle import drawn_denoiser, drawn_network, export_stages
from worker_bench import python36_with_onnxruntime

from mammosono.appliance.pipeline.denoise.network import STAGE
from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.engines.bundle import Bundle, open_bundle, write_manifest
from mammosono.engines.errors import EngineFault
from mammosono.engines.interface import DeviceTensor, Engine
from mammosono.engines.locked import LockedEngine
from mammosono.engines.onnx_engine import OnnxEngine
from mammosono.engines.options import EngineOptions
from mammosono.engines.worker.supervisor import SupervisedEngine
from mammosono.tools.export.graphs import export_denoiser

pytestmark = pytest.mark.slow

Arrays = dict[str, NDArray[Any]]

ONE_THREAD = EngineOptions("onnxruntime", threads=1)

# Two releases of onnxruntime sum in another order.
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def in_process(bundle: Bundle) -> Engine:
    return OnnxEngine(bundle, threads=1)


def in_a_worker(bundle: Bundle) -> Engine:
    return SupervisedEngine(bundle, ONE_THREAD._replace(worker_python=sys.executable))


def in_a_worker_of_36(bundle: Bundle) -> Engine:
    python, reason = python36_with_onnxruntime()
    if not python:
        pytest.skip(reason)
    engine = SupervisedEngine(bundle, ONE_THREAD._replace(worker_python=python))
    assert engine.runtime == "onnxruntime 1.10.0 cpu"
    return engine


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("tiny")
    stages = dict(export_stages(drawn_network(), folder))
    stages[STAGE] = export_denoiser(drawn_denoiser(), tiny_network.GEOMETRY.input_size, folder)
    write_manifest(folder, {"schema": 1, "name": "tiny", "version": "1", "stages": stages})
    return open_bundle(folder)


@pytest.fixture(scope="module", params=[in_process, in_a_worker, in_a_worker_of_36])
def way(request: pytest.FixtureRequest) -> Callable[[Bundle], Engine]:
    chosen: Callable[[Bundle], Engine] = request.param
    return chosen


@pytest.fixture(scope="module")
def engine(way: Callable[[Bundle], Engine], tiny: Bundle) -> Iterator[Engine]:
    opened = way(tiny)
    yield opened
    opened.close()


def drawn(bundle: Bundle, stage: str, seed: int = 3, rows: int | None = None) -> dict[str, Any]:
    """Inputs of a stage as the detector would make them, without the pyramid."""
    rng = np.random.default_rng(seed)
    if rows is None:
        rows = bundle.stages["trunk"].outputs["pyramid"][1][0]
    return {
        name: rng.integers(0, rows, shape, dtype=np.int32)
        if dtype == "int32"
        else rng.random(shape, dtype=np.float32)
        for name, (dtype, shape) in bundle.stages[stage].inputs.items()
        if name != "pyramid"
    }


def read(engine: Engine, bundle: Bundle) -> Arrays:
    """Every output, that is not kept, of the detector's stages of every network."""
    return {
        f"{network}.{name}": value
        for network, entry in bundle.networks.items()
        if "trunk" in entry.stages
        for name, value in _read_network(engine, bundle, entry.stages).items()
    }


def _read_network(engine: Engine, bundle: Bundle, stages: Mapping[str, str]) -> Arrays:
    trunk_name = stages["trunk"]
    rows = bundle.stages[trunk_name].outputs["pyramid"][1][0]
    trunk = engine.run(trunk_name, drawn(bundle, trunk_name, rows=rows), keep=("pyramid",))
    answers = [trunk]
    for own in ("heads", "masks"):
        inputs = {**drawn(bundle, stages[own], rows=rows), "pyramid": trunk["pyramid"]}
        answers.append(engine.run(stages[own], inputs))
    return {
        name: value
        for answer in answers
        for name, value in answer.items()
        if not isinstance(value, DeviceTensor)
    }


def assert_alike(got: Arrays, wanted: Arrays) -> None:
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        assert got[name].dtype == value.dtype
        assert got[name].flags.c_contiguous
        np.testing.assert_allclose(got[name], value, **CLOSE, err_msg=name)


def test_the_tiny_bundle_answers_the_same_everywhere(engine: Engine, tiny: Bundle) -> None:
    direct = in_process(tiny)
    assert_alike(read(engine, tiny), read(direct, tiny))
    direct.close()


def test_the_shipped_bundle_answers_the_same_everywhere(way: Callable[[Bundle], Engine]) -> None:
    bundle = open_bundle(SHIPPED)
    direct, opened = in_process(bundle), way(bundle)
    try:
        assert_alike(read(opened, bundle), read(direct, bundle))
    finally:
        opened.close()
        direct.close()


def test_what_is_kept_has_its_shape_and_feeds_a_stage_as_the_array_would(
    engine: Engine, tiny: Bundle
) -> None:
    image, heads = drawn(tiny, "trunk"), drawn(tiny, "heads")
    given = engine.run("trunk", image)["pyramid"]
    kept: Any = engine.run("trunk", image, keep=("pyramid",))["pyramid"]
    assert isinstance(kept, DeviceTensor)
    assert kept.shape == tiny.stages["trunk"].outputs["pyramid"][1]
    fed = [engine.run("heads", {**heads, "pyramid": pyramid}) for pyramid in (given, kept)]
    np.testing.assert_allclose(fed[1]["classes"], fed[0]["classes"], rtol=1e-6, atol=1e-7)


def test_an_array_that_is_not_in_c_order_is_read_as_it_is(engine: Engine, tiny: Bundle) -> None:
    image = drawn(tiny, "trunk")["image"]
    wanted: Any = engine.run("trunk", {"image": image})
    got: Any = engine.run("trunk", {"image": np.asfortranarray(image)})
    np.testing.assert_array_equal(got["objectness"], wanted["objectness"])


def test_what_is_kept_outlives_the_denoisers_runs_from_another_thread(
    engine: Engine, tiny: Bundle
) -> None:
    """As the reader has it: the next image is denoised while this one is read."""
    locked, image, heads = LockedEngine(engine), drawn(tiny, "trunk"), drawn(tiny, "heads")
    wanted = engine.run("heads", {**heads, "pyramid": engine.run("trunk", image)["pyramid"]})
    noise: Any = engine.run(STAGE, drawn(tiny, STAGE))["noise"]
    with ThreadPoolExecutor(1) as ahead:
        coming = [ahead.submit(locked.run, STAGE, drawn(tiny, STAGE)) for _ in range(8)]
        pyramid = locked.run("trunk", image, keep=("pyramid",))["pyramid"]
        coming[-1].result()
        answer = locked.run("heads", {**heads, "pyramid": pyramid})
    np.testing.assert_allclose(answer["classes"], wanted["classes"], rtol=1e-6, atol=1e-7)
    for future in coming:
        np.testing.assert_array_equal(future.result()["noise"], noise)


def test_a_kept_tensor_ends_with_the_next_run_of_its_stage(engine: Engine, tiny: Bundle) -> None:
    image = drawn(tiny, "trunk")
    old = engine.run("trunk", image, keep=("pyramid",))
    engine.run("trunk", image)
    with pytest.raises(EngineFault, match="pyramid was kept by an earlier run"):
        engine.run("heads", {**drawn(tiny, "heads"), "pyramid": old["pyramid"]})


def test_another_engines_tensor_is_refused(engine: Engine, tiny: Bundle) -> None:
    other = in_process(tiny)
    kept = other.run("trunk", drawn(tiny, "trunk"), keep=("pyramid",))
    with pytest.raises(EngineFault, match="another engine; run the stage that makes it first"):
        engine.run("heads", {**drawn(tiny, "heads"), "pyramid": kept["pyramid"]})
    other.close()


@pytest.mark.parametrize(
    ("stage", "inputs", "keep", "told"),
    [
        ("torso", {}, (), "no stage 'torso'; the bundle has denoise_mg, heads, masks, trunk"),
        ("trunk", {}, (), "stage trunk: given nothing; it takes image"),
        ("trunk", {"image": np.zeros((1, 2), np.float32)}, (), "stage trunk: image must be float"),
        ("trunk", {"image": np.zeros((1, 2), np.int8)}, (), "not int8"),
        ("trunk", {"image": None}, ("nose",), "asked to keep nose; it gives"),
        ("trunk", {"image": np.nan}, (), "NaN"),
    ],
    ids=["stage", "missing", "shape", "dtype", "keep", "nan"],
)
def test_a_mistake_is_told_in_the_same_words_and_the_engine_lives_on(
    engine: Engine, tiny: Bundle, stage: str, inputs: Any, keep: Any, told: str
) -> None:
    image = drawn(tiny, "trunk")
    if inputs and not isinstance(inputs["image"], np.ndarray):
        fill = inputs["image"]
        inputs = image if fill is None else {"image": np.full_like(image["image"], fill)}
    with pytest.raises(EngineFault, match=told):
        engine.run(stage, inputs, keep)
    assert engine.run("trunk", image)["objectness"].shape


def test_a_closed_engine_runs_nothing(way: Callable[[Bundle], Engine], tiny: Bundle) -> None:
    engine = way(tiny)
    engine.close()
    with pytest.raises(EngineFault, match="closed"):
        engine.run("trunk", drawn(tiny, "trunk"))
