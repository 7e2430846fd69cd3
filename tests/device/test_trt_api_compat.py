"""One way to speak to every generation of TensorRT. Warnings are errors here, so whatever a
generation calls deprecated is not called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fake_gpu import Gpu
from fake_trt import GENERATIONS, fake_plan, installed
from test_onnx_engine import CHANNELS, HEIGHT, ROIS, SAMPLES, WIDTH, P, heads, trunk

from mammosono.engines.errors import EngineUnavailable
from mammosono.engines.trt import api_compat, memory
from mammosono.engines.trt.api_compat import Port

SCRATCH = 5_000


@pytest.fixture(params=GENERATIONS)
def generation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fake(generation: str) -> Iterator[Gpu]:
    with installed(generation) as fake:
        yield fake


@pytest.fixture
def gpu(fake: Gpu) -> Iterator[memory.Gpu]:
    gpu = memory.Gpu()
    with gpu.current():
        yield gpu


def load(onnx: bytes, generation: str) -> tuple[Any, Any]:
    trt = sys.modules["tensorrt"]
    plan = fake_plan(onnx, generation, SCRATCH)
    return trt, trt.Runtime(trt.Logger()).deserialize_cuda_engine(plan)


def test_ports_are_told_alike(gpu: memory.Gpu, generation: str) -> None:
    trt, engine = load(heads().SerializeToString(), generation)
    assert api_compat.ports(trt, engine) == [
        Port("pyramid", "float32", (P, CHANNELS), True),
        Port("rows", "int32", (ROIS, SAMPLES), True),
        Port("weights", "float32", (ROIS, 1, SAMPLES), True),
        Port("pooled", "float32", (ROIS, 1, CHANNELS), False),
    ]


def test_a_context_works_in_the_memory_it_is_given(
    fake: Gpu, gpu: memory.Gpu, generation: str
) -> None:
    trt, engine = load(trunk().SerializeToString(), generation)
    assert api_compat.scratch_size(trt, engine) == SCRATCH
    scratch = gpu.device(SCRATCH)
    before = fake.allocated
    context = api_compat.make_context(trt, engine, scratch, SCRATCH)
    assert fake.allocated == before  # none of TensorRT's own

    addresses = {port.name: gpu.device(P * CHANNELS * 4) for port in api_compat.ports(trt, engine)}
    image = gpu.pinned((1, 1, HEIGHT, WIDTH), "float32")
    scores = gpu.pinned(image.shape, "float32")
    image[...] = np.e
    gpu.upload(addresses["image"], image)
    assert api_compat.launcher(trt, engine, context)(addresses, gpu.stream)
    gpu.download(scores, addresses["scores"])
    gpu.wait()
    np.testing.assert_allclose(scores, 1.0, rtol=1e-6)
    assert set(fake.view(scratch, SCRATCH).tolist()) == {0x5A}


def test_a_refusal_of_tensorrt_is_told(gpu: memory.Gpu, generation: str) -> None:
    trt, engine = load(trunk().SerializeToString(), generation)
    addresses = {port.name: gpu.device(P * CHANNELS * 4) for port in api_compat.ports(trt, engine)}
    small = api_compat.make_context(trt, engine, gpu.device(SCRATCH), SCRATCH)
    launch = api_compat.launcher(trt, engine, small)
    assert launch({**addresses, "image": 0}, gpu.stream) is False
    assert launch(addresses, gpu.stream) is True


@pytest.mark.parametrize("generation", ["8.6", "10", "11"], indirect=False)
def test_a_name_that_the_engine_does_not_have_is_a_refusal(generation: str) -> None:
    with installed(generation):
        gpu = memory.Gpu()
        with gpu.current():
            trt, engine = load(trunk().SerializeToString(), generation)
            context = api_compat.make_context(trt, engine, gpu.device(SCRATCH), SCRATCH)
            assert api_compat.launcher(trt, engine, context)({"mask": 256}, gpu.stream) is False


def test_a_module_that_does_not_load_is_no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EngineUnavailable, match="use the JetPack image"):
        api_compat.import_tensorrt()


def test_every_dtype_of_a_bundle_has_a_name() -> None:
    assert set(api_compat.DTYPES.values()) == {
        np.dtype(name).name for name in api_compat.DTYPES.values()
    }
