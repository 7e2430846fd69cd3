"""The TensorRT engine on fakes of every API generation: the contract of the CPU's engine, and what
a device adds to it. The fakes compute for real and lose their temper over memory."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_gpu import Gpu
from fake_trt import GENERATIONS, VERSIONS, fake_plan, installed
from test_onnx_engine import (  # noqa: F401 - fixtures, and the contract that every engine keeps
    CHANNELS,
    HEADS,
    TRUNK,
    Array,
    P,
    image,
    make_bundle,
    pooled_of,
    samples,
    test_a_closed_engine_refuses,
    test_a_faulty_run_does_not_spoil_the_next,
    test_a_kept_tensor_gives_the_same_answer_as_its_numpy_copy,
    test_a_kept_tensor_is_refused_after_its_stage_ran_again,
    test_a_kept_tensor_of_another_engine_is_refused,
    test_a_kept_tensor_of_another_shape_faults,
    test_a_kept_tensor_outlives_a_run_of_a_stage_that_has_nothing_to_do_with_it,
    test_a_kept_tensor_serves_several_stages_runs,
    test_a_read_only_input_is_taken,
    test_a_stage_computes_what_numpy_computes,
    test_a_view_that_is_not_c_ordered_is_read_rightly,
    test_an_array_of_another_shape_or_dtype_faults,
    test_answers_of_two_runs_do_not_share_memory,
    test_nan_and_inf_in_a_returned_output_fault,
    test_nan_in_a_kept_tensor_faults_in_the_stage_that_samples_it,
    test_unknown_stages_and_tensors_fault_and_name_the_known_ones,
)

from mammosono.engines.bundle import Bundle
from mammosono.engines.errors import EngineFault, EngineLost, EngineUnavailable
from mammosono.engines.trt.device import this_device
from mammosono.engines.trt.engine import TensorRtEngine
from mammosono.engines.trt.plan import Sidecar, hold, write_plan

SCRATCH = {"trunk": 70_000, "heads": 4_096, "apart": 90_000}
FLOATS = 4
"""Bytes of a float32."""


@pytest.fixture(params=GENERATIONS)
def generation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def gpu(generation: str) -> Iterator[Gpu]:
    with installed(generation) as gpu:
        yield gpu


def build(bundle: Bundle, folder: Path, generation: str, **precision: str) -> str:
    """Plans of the bundle as build-engine would leave them."""
    for name, stage in bundle.stages.items():
        plan = fake_plan(Path(stage.path).read_bytes(), generation, SCRATCH[name])
        sidecar = Sidecar(this_device(), stage.sha256, precision.get(name, "fp16"), "2026-11-22")
        write_plan(str(folder), name, plan, sidecar)
    return str(folder)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def built(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Plans by generation. Not to be written to."""
    folders = {}
    for generation in GENERATIONS:
        with installed(generation):
            folders[generation] = build(bundle, tmp_path_factory.mktemp("plans"), generation)
    return folders


@pytest.fixture
def plans(built: dict[str, str], gpu: Gpu, generation: str) -> str:
    return built[generation]


@pytest.fixture
def own_plans(plans: str, tmp_path: Path) -> str:
    return str(shutil.copytree(plans, tmp_path / "plans"))


@pytest.fixture
def engine(bundle: Bundle, plans: str, gpu: Gpu) -> Iterator[TensorRtEngine]:
    engine = TensorRtEngine(bundle, plans)
    yield engine
    engine.close()
    assert gpu.leaks() == []


def in_a_thread(work: Callable[[], Any]) -> Any:
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(work()))
    thread.start()
    thread.join()
    return answers[0]


def test_the_pyramid_stays_on_the_device(
    engine: TensorRtEngine, gpu: Gpu, image: Array, samples: dict[str, Array]  # noqa: F811
) -> None:  # fmt: skip
    kept = engine.run("trunk", {"image": image}, keep=["pyramid"])
    engine.run("heads", {"pyramid": kept["pyramid"], **samples})

    crossed = [image, image, samples["rows"], samples["weights"]]
    up, down = ([size for way, size in gpu.copies if way == side] for side in ("up", "down"))
    assert up == [image.nbytes, samples["rows"].nbytes, samples["weights"].nbytes]
    assert down == [image.nbytes, 3 * CHANNELS * FLOATS]  # scores and pooled
    trunk, heads = gpu.enqueued
    assert heads["pyramid"] == trunk["pyramid"]
    assert len(gpu.copies) == len(crossed) + 1


def test_memory_is_allocated_once(
    engine: TensorRtEngine, gpu: Gpu, image: Array, samples: dict[str, Array]  # noqa: F811
) -> None:  # fmt: skip
    def read() -> None:
        pyramid = engine.run("trunk", {"image": image}, keep=["pyramid"])["pyramid"]
        engine.run("heads", {"pyramid": pyramid, **samples})

    read()
    device, pinned = gpu.allocated, gpu.pinned_made
    read()
    read()
    assert (gpu.allocated, gpu.pinned_made) == (device, pinned)
    # One scratch block; image, scores, pyramid; rows, weights, pooled. No second pyramid, and it
    # has no pinned memory.
    assert device == 1 + 3 + 3
    assert pinned == 5


def test_the_stages_share_one_scratch_block_as_large_as_the_largest_needs(
    engine: TensorRtEngine, gpu: Gpu
) -> None:
    assert gpu.allocated == 1
    assert max(SCRATCH.values()) <= gpu.in_use() < max(SCRATCH.values()) + 512


def test_any_thread_may_run_and_close(
    bundle: Bundle, plans: str, gpu: Gpu, image: Array, samples: dict[str, Array]  # noqa: F811
) -> None:  # fmt: skip
    engine = in_a_thread(lambda: TensorRtEngine(bundle, plans))
    kept = in_a_thread(lambda: engine.run("trunk", {"image": image}, keep=["pyramid"]))
    pooled = engine.run("heads", {"pyramid": kept["pyramid"], **samples})["pooled"]
    in_a_thread(engine.close)

    np.testing.assert_allclose(pooled, pooled_of(image, samples), rtol=1e-5)
    assert gpu.leaks() == []


def test_a_stage_does_not_take_what_it_would_overwrite(
    engine: TensorRtEngine, image: Array  # noqa: F811
) -> None:  # fmt: skip
    scores = engine.run("trunk", {"image": image}, keep=["scores"])["scores"]
    with pytest.raises(EngineFault, match="image was kept by an earlier run"):
        engine.run("trunk", {"image": scores})


def test_a_kept_tensor_is_refused_after_a_faulty_run_wrote_over_it(
    engine: TensorRtEngine, image: Array, samples: dict[str, Array]  # noqa: F811
) -> None:  # fmt: skip
    old = engine.run("trunk", {"image": image}, keep=["pyramid"])["pyramid"]
    with pytest.raises(EngineFault, match="scores holds NaN"):
        engine.run("trunk", {"image": -image}, keep=["pyramid"])
    with pytest.raises(EngineFault, match="pyramid was kept by an earlier run"):
        engine.run("heads", {"pyramid": old, **samples})


def test_a_refused_run_faults_and_does_not_spoil_the_next(
    engine: TensorRtEngine, gpu: Gpu, image: Array  # noqa: F811
) -> None:  # fmt: skip
    gpu.refuse = True
    with pytest.raises(EngineFault, match=r"stage trunk: TensorRT refused to run it.*build-engine"):
        engine.run("trunk", {"image": image})
    gpu.refuse = False
    scores: Any = engine.run("trunk", {"image": image + 1})["scores"]
    np.testing.assert_allclose(scores, np.log(image + 1), rtol=1e-6)


def test_a_failure_of_the_gpu_loses_the_engine_and_says_so_in_one_line(
    engine: TensorRtEngine, gpu: Gpu, image: Array  # noqa: F811
) -> None:  # fmt: skip
    gpu.fail_at_synchronise = "an illegal memory access was encountered"
    with pytest.raises(EngineLost, match=r"^stage trunk: the GPU failed \(LogicError\)") as caught:
        engine.run("trunk", {"image": image})
    assert "\n" not in str(caught.value)
    del caught  # its frames hold the engine
    gpu.fail_at_synchronise = None


def test_the_engine_names_runtime_and_precision(engine: TensorRtEngine, generation: str) -> None:
    assert engine.runtime == f"tensorrt {VERSIONS[generation]} fp16"


def test_stages_of_different_precision_are_both_named(
    bundle: Bundle, gpu: Gpu, generation: str, tmp_path: Path
) -> None:  # fmt: skip
    engine = TensorRtEngine(bundle, build(bundle, tmp_path / "mixed", generation, heads="fp32"))
    assert engine.runtime.endswith(" fp16+fp32")
    engine.close()


def test_an_open_engine_holds_its_plans(bundle: Bundle, plans: str) -> None:
    engine = TensorRtEngine(bundle, plans)
    with pytest.raises(EngineUnavailable, match="the service holds the device"), hold(plans, True):
        pass
    with hold(plans, exclusive=False):
        engine.close()
    with hold(plans, exclusive=True), pytest.raises(EngineUnavailable, match="being built"):
        TensorRtEngine(bundle, plans)


def refused(bundle: Bundle, plans: str, gpu: Gpu, match: str) -> None:
    """Opening fails so, and leaves nothing behind: not on the device and not on the plans."""
    with pytest.raises(EngineUnavailable, match=match) as caught:
        TensorRtEngine(bundle, plans)
    assert "\n" not in str(caught.value)
    del caught  # its frames hold what was opened
    assert gpu.leaks() == []
    with hold(plans, exclusive=True):
        pass


def test_a_plan_that_does_not_match_is_not_deserialised(
    bundle: Bundle, own_plans: str, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def deserialised(*_: Any) -> None:
        raise AssertionError("a plan that does not match was deserialised")

    monkeypatch.setattr(sys.modules["tensorrt"].Runtime, "deserialize_cuda_engine", deserialised)
    for path in Path(own_plans).glob("*.plan"):
        path.write_bytes(path.read_bytes() + b" ")
    refused(bundle, own_plans, gpu, "its plan is damaged.*run: mammosono-tools build-engine")


def test_a_plan_that_tensorrt_refuses_is_named(
    bundle: Bundle, own_plans: str, gpu: Gpu, capfd: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    stage = bundle.stages["heads"]
    write_plan(
        own_plans, "heads", b"none", Sidecar(this_device(), stage.sha256, "fp16", "2026-11-22")
    )
    refused(bundle, own_plans, gpu, r"stage heads: TensorRT \S+ does not take its plan")
    assert "not compatible" in capfd.readouterr().err  # TensorRT's own words are in the log


def test_a_plan_of_another_interface_is_named(
    bundle: Bundle, own_plans: str, gpu: Gpu, generation: str
) -> None:  # fmt: skip
    trunk, heads = bundle.stages["trunk"], bundle.stages["heads"]
    plan = fake_plan(Path(trunk.path).read_bytes(), generation)
    write_plan(own_plans, "heads", plan, Sidecar(this_device(), heads.sha256, "fp16", "2026-11-22"))
    refused(bundle, own_plans, gpu, "stage heads: its plan has other inputs and outputs")


@pytest.mark.parametrize("free", [10_000, 0])
def test_too_little_memory_names_the_remedy(
    bundle: Bundle, plans: str, gpu: Gpu, free: int
) -> None:  # fmt: skip
    gpu.memory = free
    refused(bundle, plans, gpu, "too little free memory for the plans; stop other programs")


def test_a_context_that_tensorrt_cannot_make_is_too_little_memory(
    bundle: Bundle, plans: str, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    made = sys.modules["tensorrt"].ICudaEngine
    for name in ("create_execution_context", "create_execution_context_without_device_memory"):
        if hasattr(made, name):
            monkeypatch.setattr(made, name, lambda *_: None)
    refused(bundle, plans, gpu, "too little free memory")


@pytest.mark.parametrize(
    ("module", "match"),
    [("tensorrt", "TensorRT's module for this Python"), ("pycuda.driver", "PyCUDA is not inst")],
)
def test_a_missing_module_is_named(
    bundle: Bundle, plans: str, monkeypatch: pytest.MonkeyPatch, module: str, match: str
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, module, None)
    if module == "pycuda.driver":
        monkeypatch.delattr(sys.modules["pycuda"], "driver")
    with pytest.raises(EngineUnavailable, match=match):
        TensorRtEngine(bundle, plans)


def test_a_machine_without_a_gpu_is_told_what_to_check(
    bundle: Bundle, generation: str, tmp_path: Path
) -> None:  # fmt: skip
    remedy = pytest.raises(EngineUnavailable, match=r"CUDA finds no GPU.*--runtime nvidia")
    with installed(generation, Gpu(count=0)), remedy:
        TensorRtEngine(bundle, str(tmp_path))


def test_the_manifests_of_the_tests_name_every_tensor() -> None:
    assert set(TRUNK["outputs"]) & set(HEADS["inputs"]) == {"pyramid"}
    assert TRUNK["outputs"]["pyramid"][1] == (P, CHANNELS)
