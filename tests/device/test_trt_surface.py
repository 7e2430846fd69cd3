"""The fakes have what NVIDIA's modules have, and what they lack those lack: else the tests of the
adapter would prove what no device does. Held against the real binding modules where
tests/fetch_bindings.py got them, each in a process of its own, on libraries that hold nothing."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fake_gpu import Gpu
from fake_trt import GENERATIONS, fake_tensorrt, surface
from fake_trt_builder import add_builder
from fetch_bindings import STUBS, WHEELS, folder_of

from mammosono.engines.trt import api_compat

GENERATION_OF = {
    "8.6.1": "8.6",
    "10.3.0": "10",
    "10.16.1": "10",
    "11.4.0": "11",
    "rtx-1.7.1": "11",
}

LOOK = """
import importlib, json, os, sys
(name,) = [name for name in os.listdir(sys.argv[1]) if name.endswith("_bindings")]
module = importlib.import_module(name)
seen = {"__version__": module.__version__}
for name in dir(module):
    value = getattr(module, name)
    if isinstance(value, type):
        members = getattr(value, "__members__", {})
        seen[name] = dict.fromkeys(dir(value))
        seen[name].update({member: int(number) for member, number in members.items()})
    else:
        seen[name] = None
sys.stdout.write(json.dumps(seen))
"""

SOURCE_82 = {
    "Runtime": "DLA_core deserialize_cuda_engine error_recorder gpu_allocator logger num_DLA_cores",
    "ICudaEngine": "binding_is_input create_engine_inspector create_execution_context "
    "create_execution_context_without_device_memory device_memory_size engine_capability "
    "error_recorder get_binding_bytes_per_component get_binding_components_per_element "
    "get_binding_dtype get_binding_format get_binding_format_desc get_binding_index "
    "get_binding_name get_binding_shape get_binding_vectorized_dim get_location "
    "get_profile_shape get_profile_shape_input has_implicit_batch_dimension "
    "is_execution_binding is_shape_binding max_batch_size name num_bindings num_layers "
    "num_optimization_profiles profiling_verbosity refittable serialize tactic_sources",
    "IExecutionContext": "active_optimization_profile all_binding_shapes_specified "
    "all_shape_inputs_specified debug_sync device_memory engine enqueue_emits_profile "
    "error_recorder execute execute_async execute_async_v2 execute_v2 get_binding_shape "
    "get_shape get_strides name profiler report_to_profiler set_binding_shape "
    "set_optimization_profile_async set_shape_input",
}
"""8.2 is on no index; these names are read off the source of its bindings, which NVIDIA publishes
(python/src/infer/pyCore.cpp)."""

NUMBERED_ANYHOW = {"BuilderFlag", "LayerType"}
"""Enumerations whose members the adapter only passes on or compares."""

Seen = dict[str, Any]


@cache
def real_surface(version: str) -> Seen:
    """By class its attributes, with a number if they are an enumeration's members."""
    folder = folder_of(version)
    if not folder.exists():
        pytest.skip(f"no bindings of TensorRT {version}; run: python tests/fetch_bindings.py")
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(folder)],
        env={**os.environ, "LD_LIBRARY_PATH": str(folder / STUBS), "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    seen: Seen = json.loads(done.stdout)
    return seen


@cache
def fake_module(generation: str) -> Any:
    module = fake_tensorrt(generation, Gpu())
    add_builder(module, generation)
    return module


def public(module: Any) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(module).items() if not name.startswith("__")]


def probes(source: str) -> Iterator[tuple[str, str]]:
    """What adapter code asks of `trt` by `hasattr`, or `getattr` with a default: ("", "X") of the
    module, ("Class", "x") of one of its classes."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if (node.func.id, len(node.args)) in {("hasattr", 2), ("getattr", 3)}:
            asked = ast.unparse(node.args[0])
            assert asked == "trt" or asked.startswith("trt."), f"ask trt itself, not {asked}"
            yield asked[len("trt.") :], ast.literal_eval(node.args[1])


PROBES = sorted(set(probes(Path(api_compat.__file__).read_text())))


@pytest.mark.parametrize("version", WHEELS)
def test_what_a_fake_has_the_real_module_has(version: str) -> None:
    real = real_surface(version)
    for name, value in public(fake_module(GENERATION_OF[version])):
        assert name in real, f"TensorRT {version} has no {name}"
        if isinstance(value, type):
            assert surface(value) <= set(real[name]), f"more in {name} than {version} has"


@pytest.mark.parametrize("version", WHEELS)
def test_members_have_the_real_numbers(version: str) -> None:
    real = real_surface(version)
    for name, value in public(fake_module(GENERATION_OF[version])):
        if name not in NUMBERED_ANYHOW:
            for member in getattr(value, "__members__", {}):
                assert int(value[member]) == real[name][member], f"{name}.{member}"


@pytest.mark.parametrize("version", WHEELS)
@pytest.mark.parametrize("probe", PROBES, ids=" ".join)
def test_what_the_adapter_asks_the_fake_answers_as_the_real_module(
    version: str, probe: tuple[str, str]
) -> None:
    real, fake = real_surface(version), fake_module(GENERATION_OF[version])
    owner, name = probe
    if not owner:
        assert hasattr(fake, name) == (name in real)
        return
    assert hasattr(fake, owner) == (owner in real)
    if owner in real:
        assert hasattr(getattr(fake, owner), name) == (name in real[owner])


@pytest.mark.parametrize("name", SOURCE_82)
def test_the_fake_of_82_has_no_more_than_its_source(name: str) -> None:
    real, fake = set(SOURCE_82[name].split()), getattr(fake_module("8.2"), name)
    assert surface(fake) <= real
    for owner, probed in PROBES:
        if owner == name:
            assert hasattr(fake, probed) == (probed in real)


def test_the_generations_differ_in_what_the_adapter_asks() -> None:
    """Else a probe that no generation answers differently would be dead code."""
    for owner, name in PROBES:
        answers = set()
        for generation in GENERATIONS:
            fake = fake_module(generation)
            answers.add(hasattr(getattr(fake, owner) if owner else fake, name))
        assert answers == {True, False}, (owner, name)


def test_the_probes_of_the_adapter_are_found() -> None:
    assert ("ICudaEngine", "num_io_tensors") in PROBES
    assert list(probes('hasattr(trt.A, "b") or getattr(trt, "C", None)')) == [("A", "b"), ("", "C")]


def test_a_difference_would_be_noticed() -> None:
    module = fake_module("11")
    assert "num_bindings" not in surface(module.ICudaEngine)
    assert "num_io_tensors" in surface(module.ICudaEngine)
    assert surface(module.DataType) >= {"FLOAT", "HALF", "INT32"}


def test_the_dtypes_are_named_as_numpy_names_them() -> None:
    for generation in GENERATIONS:
        kinds = fake_module(generation).DataType
        assert api_compat.dtype_name(kinds.FLOAT) == "float32"
        assert api_compat.dtype_name(kinds.HALF) == "float16"
        assert api_compat.dtype_name(kinds.BOOL) == "bool"
    assert api_compat.dtype_name(fake_module("10").DataType.BF16) == "BF16"
