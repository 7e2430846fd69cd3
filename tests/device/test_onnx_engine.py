"""The engine on small real graphs of the network's own form: a trunk whose pyramid stays with the
runtime, and heads that gather its rows. The answer is checked against numpy, because a wrong
tensor handed on without a copy looks just like a right one."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from mammosono.engines.bundle import Bundle, open_bundle, write_manifest
from mammosono.engines.errors import BundleError, EngineFault, EngineUnavailable
from mammosono.engines.interface import DeviceTensor
from mammosono.engines.onnx_engine import OnnxEngine

Array = NDArray[Any]

HEIGHT, WIDTH, CHANNELS, ROIS, SAMPLES = 6, 5, 4, 3, 4
P = HEIGHT * WIDTH
KERNEL = np.linspace(-1.0, 1.0, CHANNELS, dtype=np.float32)
DTYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}

TRUNK: dict[str, dict[str, Any]] = {
    "inputs": {"image": ("float32", (1, 1, HEIGHT, WIDTH))},
    "outputs": {
        "scores": ("float32", (1, 1, HEIGHT, WIDTH)),
        "pyramid": ("float32", (P, CHANNELS)),
    },
}
HEADS: dict[str, dict[str, Any]] = {
    "inputs": {
        "pyramid": ("float32", (P, CHANNELS)),
        "rows": ("int32", (ROIS, SAMPLES)),
        "weights": ("float32", (ROIS, 1, SAMPLES)),
    },
    "outputs": {"pooled": ("float32", (ROIS, 1, CHANNELS))},
}
APART: dict[str, dict[str, Any]] = {
    "inputs": {"noisy": ("float32", (1, 1, HEIGHT, WIDTH))},
    "outputs": {"noise": ("float32", (1, 1, HEIGHT, WIDTH))},
}


def graph(stage: dict[str, Any], nodes: list[Any], constants: dict[str, Array]) -> ModelProto:
    def infos(tensors: dict[str, Any]) -> list[Any]:
        return [helper.make_tensor_value_info(n, DTYPES[d], s) for n, (d, s) in tensors.items()]

    return helper.make_model(
        helper.make_graph(
            nodes,
            "stage",
            infos(stage["inputs"]),
            infos(stage["outputs"]),
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=7,
    )


def trunk() -> ModelProto:
    """scores = log(image), NaN below zero; pyramid = the pixels as rows, times KERNEL."""
    return graph(
        TRUNK,
        [
            helper.make_node("Log", ["image"], ["scores"]),
            helper.make_node("Reshape", ["image", "rows_of_one"], ["column"]),
            helper.make_node("Mul", ["column", "kernel"], ["pyramid"]),
        ],
        {"rows_of_one": np.array([P, 1], np.int64), "kernel": KERNEL[None]},
    )


def heads() -> ModelProto:
    """pooled = weights x pyramid[rows]"""
    return graph(
        HEADS,
        [
            helper.make_node("Gather", ["pyramid", "rows"], ["sampled"], axis=0),
            helper.make_node("MatMul", ["weights", "sampled"], ["pooled"]),
        ],
        {},
    )


def apart() -> ModelProto:
    """noise = max(noisy, 0): of another image, between two stages of this one."""
    return graph(APART, [helper.make_node("Relu", ["noisy"], ["noise"])], {})


def make_bundle(folder: Path, **changed: dict[str, Any]) -> Bundle:
    folder.mkdir(exist_ok=True)
    stages = {}
    for name, model, io in (
        ("trunk", trunk(), TRUNK),
        ("heads", heads(), HEADS),
        ("apart", apart(), APART),
    ):
        data = model.SerializeToString()
        (folder / (name + ".onnx")).write_bytes(data)
        stages[name] = {
            "file": name + ".onnx",
            "sha256": hashlib.sha256(data).hexdigest(),
            **{
                side: {n: {"dtype": d, "shape": s} for n, (d, s) in tensors.items()}
                for side, tensors in {**io, **changed.get(name, {})}.items()
            },
        }
    write_manifest(folder, {"schema": 1, "name": "tiny", "version": "1", "stages": stages})
    return open_bundle(folder)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "tiny")


@pytest.fixture
def engine(bundle: Bundle) -> OnnxEngine:
    return OnnxEngine(bundle, threads=1)


@pytest.fixture
def image() -> Array:
    rng = np.random.default_rng(7)
    return rng.uniform(0.5, 2.0, (1, 1, HEIGHT, WIDTH)).astype(np.float32)


@pytest.fixture
def samples() -> dict[str, Array]:
    rng = np.random.default_rng(8)
    return {
        "rows": rng.integers(0, P, (ROIS, SAMPLES), dtype=np.int32),
        "weights": rng.random((ROIS, 1, SAMPLES), dtype=np.float32),
    }


def pyramid_of(image: Array) -> Array:
    return image.reshape(P, 1) * KERNEL


def pooled_of(image: Array, samples: dict[str, Array]) -> Array:
    return samples["weights"] @ pyramid_of(image)[samples["rows"]]


def test_a_stage_computes_what_numpy_computes(engine: OnnxEngine, image: Array) -> None:
    outputs: dict[str, Any] = engine.run("trunk", {"image": image})

    assert set(outputs) == {"scores", "pyramid"}
    np.testing.assert_allclose(outputs["scores"], np.log(image), rtol=1e-6)
    np.testing.assert_array_equal(outputs["pyramid"], pyramid_of(image))
    assert all(value.dtype == np.float32 for value in outputs.values())
    assert all(value.flags.c_contiguous for value in outputs.values())


def test_answers_of_two_runs_do_not_share_memory(engine: OnnxEngine, image: Array) -> None:
    first: Any = engine.run("trunk", {"image": image})["scores"]
    before = first.copy()
    engine.run("trunk", {"image": image + 1})
    np.testing.assert_array_equal(first, before)


def test_a_kept_tensor_gives_the_same_answer_as_its_numpy_copy(
    engine: OnnxEngine, image: Array, samples: dict[str, Array]
) -> None:
    kept = engine.run("trunk", {"image": image}, keep=["pyramid"])
    assert isinstance(kept["pyramid"], DeviceTensor)
    assert kept["pyramid"].shape == (P, CHANNELS)
    assert isinstance(kept["scores"], np.ndarray)
    by_handle: Any = engine.run("heads", {"pyramid": kept["pyramid"], **samples})["pooled"]

    fetched = engine.run("trunk", {"image": image})
    by_value = engine.run("heads", {"pyramid": fetched["pyramid"], **samples})["pooled"]

    np.testing.assert_array_equal(by_handle, by_value)
    np.testing.assert_allclose(by_handle, pooled_of(image, samples), rtol=1e-5)


def test_a_kept_tensor_serves_several_stages_runs(
    engine: OnnxEngine, image: Array, samples: dict[str, Array]
) -> None:
    pyramid = engine.run("trunk", {"image": image}, keep=["pyramid"])["pyramid"]
    first = engine.run("heads", {"pyramid": pyramid, **samples})["pooled"]
    again = engine.run("heads", {"pyramid": pyramid, **samples})["pooled"]
    np.testing.assert_array_equal(first, again)


def test_a_kept_tensor_outlives_a_run_of_a_stage_that_has_nothing_to_do_with_it(
    engine: OnnxEngine, image: Array, samples: dict[str, Array]
) -> None:
    """The denoiser of the next image runs between this one's trunk and heads."""
    pyramid = engine.run("trunk", {"image": image}, keep=["pyramid"])["pyramid"]
    noise: Any = engine.run("apart", {"noisy": image - 1})["noise"]
    pooled: Any = engine.run("heads", {"pyramid": pyramid, **samples})["pooled"]
    np.testing.assert_allclose(pooled, pooled_of(image, samples), rtol=1e-5)
    np.testing.assert_array_equal(noise, np.maximum(image - 1, 0))


def test_tensors_are_bound_where_they_are_without_a_copy(
    engine: OnnxEngine,
    image: Array,
    samples: dict[str, Array],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses: dict[str, int] = {}

    def spy(method: str) -> None:
        bind = getattr(onnxruntime.IOBinding, method)

        def recorded(self: Any, name: str, value: Any) -> None:
            addresses[name] = value.data_ptr()
            bind(self, name, value)

        monkeypatch.setattr(onnxruntime.IOBinding, method, recorded)

    def fetched(self: Any) -> Array:
        raise AssertionError("a tensor was fetched as numpy")

    spy("bind_ortvalue_input")
    spy("bind_ortvalue_output")
    monkeypatch.setattr(onnxruntime.OrtValue, "numpy", fetched)
    pyramid: Any = engine.run("trunk", {"image": image}, keep=["pyramid"])["pyramid"]
    pooled: Any = engine.run("heads", {"pyramid": pyramid, **samples})["pooled"]

    assert addresses["image"] == image.ctypes.data
    assert addresses["pyramid"] == pyramid.handle.data_ptr()
    assert addresses["rows"] == samples["rows"].ctypes.data
    assert addresses["pooled"] == pooled.ctypes.data


def test_a_view_that_is_not_c_ordered_is_read_rightly(engine: OnnxEngine, image: Array) -> None:
    flipped = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
    assert not flipped.flags.c_contiguous
    outputs = engine.run("trunk", {"image": flipped})
    np.testing.assert_array_equal(outputs["pyramid"], pyramid_of(image))


def test_a_read_only_input_is_taken(engine: OnnxEngine, image: Array) -> None:
    image.flags.writeable = False
    np.testing.assert_array_equal(
        engine.run("trunk", {"image": image})["pyramid"], pyramid_of(image)
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_in_a_returned_output_fault(
    engine: OnnxEngine, image: Array, samples: dict[str, Array], bad: float
) -> None:
    pyramid = pyramid_of(image)
    pyramid[samples["rows"][0, 0], 0] = bad
    with pytest.raises(EngineFault, match="stage heads: pooled holds NaN or Inf"):
        engine.run("heads", {"pyramid": pyramid, **samples})


def test_a_faulty_run_does_not_spoil_the_next(engine: OnnxEngine, image: Array) -> None:
    with pytest.raises(EngineFault, match="scores"):
        engine.run("trunk", {"image": -image}, keep=["pyramid"])
    scores: Any = engine.run("trunk", {"image": image})["scores"]
    np.testing.assert_allclose(scores, np.log(image), rtol=1e-6)


def test_nan_in_a_kept_tensor_faults_in_the_stage_that_samples_it(
    engine: OnnxEngine, image: Array, samples: dict[str, Array]
) -> None:
    # scores would fault first, so it is kept as well.
    kept = engine.run("trunk", {"image": image * np.float32(np.nan)}, keep=["scores", "pyramid"])
    with pytest.raises(EngineFault, match="pooled holds NaN"):
        engine.run("heads", {"pyramid": kept["pyramid"], **samples})


@pytest.mark.parametrize(
    "wrong",
    [
        np.ones((1, 1, WIDTH, HEIGHT), np.float32),
        np.ones((1, HEIGHT, WIDTH), np.float32),
        np.ones((1, 1, HEIGHT, WIDTH), np.float64),
        np.ones((1, 1, HEIGHT, WIDTH), ">f4"),
    ],
    ids=["shape", "rank", "dtype", "byte order"],
)
def test_an_array_of_another_shape_or_dtype_faults(engine: OnnxEngine, wrong: Array) -> None:
    expected = r"stage trunk: image must be float32 \[1, 1, 6, 5\], not "
    with pytest.raises(EngineFault, match=expected):
        engine.run("trunk", {"image": wrong})


def test_a_kept_tensor_of_another_shape_faults(engine: OnnxEngine, image: Array) -> None:
    scores = engine.run("trunk", {"image": image}, keep=["scores"])["scores"]
    samples = {
        "rows": np.zeros((ROIS, SAMPLES), np.int32),
        "weights": np.ones((ROIS, 1, SAMPLES), np.float32),
    }
    with pytest.raises(EngineFault, match="pyramid must be float32"):
        engine.run("heads", {"pyramid": scores, **samples})


def test_a_kept_tensor_is_refused_after_its_stage_ran_again(
    engine: OnnxEngine, image: Array, samples: dict[str, Array]
) -> None:
    old = engine.run("trunk", {"image": image}, keep=["pyramid"])["pyramid"]
    engine.run("trunk", {"image": image}, keep=["pyramid"])
    with pytest.raises(EngineFault, match="kept by an earlier run or another engine"):
        engine.run("heads", {"pyramid": old, **samples})


def test_a_kept_tensor_of_another_engine_is_refused(
    engine: OnnxEngine, bundle: Bundle, image: Array, samples: dict[str, Array]
) -> None:
    foreign = OnnxEngine(bundle, threads=1).run("trunk", {"image": image}, keep=["pyramid"])
    with pytest.raises(EngineFault, match="kept by an earlier run or another engine"):
        engine.run("heads", {"pyramid": foreign["pyramid"], **samples})


def test_unknown_stages_and_tensors_fault_and_name_the_known_ones(
    engine: OnnxEngine, image: Array
) -> None:
    with pytest.raises(EngineFault, match="heads, trunk"):
        engine.run("masks", {"image": image})
    with pytest.raises(EngineFault, match="given nothing; it takes image"):
        engine.run("trunk", {})
    with pytest.raises(EngineFault, match="given image, mask; it takes image"):
        engine.run("trunk", {"image": image, "mask": image})
    with pytest.raises(EngineFault, match="it gives pyramid, scores"):
        engine.run("trunk", {"image": image}, keep=["boxes"])


def test_a_failure_inside_the_runtime_is_one_line_without_its_text(
    engine: OnnxEngine, image: Array, samples: dict[str, Array], capfd: pytest.CaptureFixture[str]
) -> None:
    samples["rows"][0, 0] = P  # past the last row
    with pytest.raises(EngineFault, match=r"^stage heads: onnxruntime .* failed") as caught:
        engine.run("heads", {"pyramid": pyramid_of(image), **samples})
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_closed_engine_refuses(engine: OnnxEngine, image: Array) -> None:
    engine.close()
    engine.close()
    with pytest.raises(EngineFault, match="closed"):
        engine.run("trunk", {"image": image})


def test_a_stage_swapped_after_the_bundle_was_opened_is_not_loaded(bundle: Bundle) -> None:
    trunk = Path(bundle.stages["trunk"].path)
    trunk.write_bytes(Path(bundle.stages["heads"].path).read_bytes())
    with pytest.raises(BundleError, match=r"trunk\.onnx: its sha256"):
        OnnxEngine(bundle)


@pytest.mark.parametrize(
    "outputs",
    [
        {"scores": TRUNK["outputs"]["scores"]},
        {**TRUNK["outputs"], "pyramid": ("float32", (P, CHANNELS + 1))},
        {**TRUNK["outputs"], "pyramid": ("float32", (P * CHANNELS,))},
        {**TRUNK["outputs"], "pyramid": ("int32", (P, CHANNELS))},
    ],
    ids=["name", "shape", "rank", "dtype"],
)
def test_a_manifest_that_describes_another_graph_is_refused(
    tmp_path: Path, outputs: dict[str, Any]
) -> None:
    with pytest.raises(BundleError, match=r"trunk\.onnx: its inputs and outputs"):
        OnnxEngine(make_bundle(tmp_path / "tiny", trunk={"outputs": outputs}))


def test_a_stage_that_the_runtime_cannot_load_names_the_remedy(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny")
    data = b"not a graph"
    Path(bundle.stages["trunk"].path).write_bytes(data)
    stage = bundle.stages["trunk"]._replace(sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(EngineUnavailable, match=r"stage trunk: onnxruntime .* cannot load it"):
        OnnxEngine(bundle._replace(stages={**bundle.stages, "trunk": stage}))


def test_a_machine_without_onnxruntime_is_told_what_to_install(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineUnavailable, match="install it with pip"):
        OnnxEngine(bundle)


@pytest.mark.parametrize("threads", [0, -1])
def test_a_thread_count_below_one_is_refused(bundle: Bundle, threads: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        OnnxEngine(bundle, threads=threads)


def test_the_engine_names_its_runtime(engine: OnnxEngine) -> None:
    assert engine.runtime == f"onnxruntime {onnxruntime.__version__} cpu"
