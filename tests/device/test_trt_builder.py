"""One stage through the builder of every TensorRT generation, on fakes that lack what it lacks."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from fake_gpu import Gpu
from fake_trt import GENERATIONS, VERSIONS, fake_plan, fake_tensorrt
from fake_trt_builder import Behaviour, Record, add_builder
from small_graphs import FP32, write_bundle
from test_trt_surface import GENERATION_OF, probes, real_surface

from mammosono.engines.bundle import Bundle, read_stage
from mammosono.engines.errors import EngineUnavailable
from mammosono.engines.trt import builder
from mammosono.engines.trt.builder import MIB, BuildLog, Built, build, has_half
from mammosono.engines.trt.device import Device
from mammosono.engines.trt.timings import read_timings, write_timings

WEAK = ("8.2", "8.6", "10")
"""Generations whose builder chooses the precision of a layer."""
DEVICE = Device("NVIDIA Tegra X1", "5.3", "8.2.1.8", "32.7.1", "ab")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


class Words:
    """What a build writes and tells."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.timed: list[tuple[int, str]] = []
        self.log = BuildLog(self.lines.append, lambda *progress: self.timed.append(progress))


def run(
    bundle: Bundle,
    generation: str,
    stage: str = "heads",
    precision: str = "fp16",
    timings: bytes = b"",
    behaviour: Behaviour | None = None,
    **changes: Any,
) -> tuple[Built, Record, Words]:
    trt = fake_tensorrt(generation, Gpu())
    records = add_builder(trt, generation, behaviour)
    spec = bundle.stages[stage]._replace(**changes)
    words = Words()
    with warnings.catch_warnings():
        # 8.6 deprecates what 8.2 has alone: the newer name is to be taken where there is one.
        warnings.simplefilter("error")
        built = build(trt, spec, read_stage(spec), precision, 256, timings, words.log)
    return built, records[0], words


def refusal(bundle: Bundle, generation: str = "8.2", **options: Any) -> str:
    with pytest.raises(EngineUnavailable) as raised:
        run(bundle, generation, **options)
    text = str(raised.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("stage", ["trunk", "heads", "masks"])
def test_every_generation_builds_the_stage_in_the_workspace_it_is_given(
    bundle: Bundle, generation: str, stage: str
) -> None:
    precision = "fp16" if generation in WEAK else "fp32"
    built, seen, _ = run(bundle, generation, stage, precision)
    assert built.plan == fake_plan(read_stage(bundle.stages[stage]), generation)
    assert seen.workspace == 256 * MIB
    assert seen.network_flags == (0 if generation == "11" else 1)
    assert built.warnings == 1


@pytest.mark.parametrize("generation", GENERATIONS)
def test_half_precision_is_the_builders_until_10_and_the_graphs_from_11(generation: str) -> None:
    trt = fake_tensorrt(generation, Gpu())
    add_builder(trt, generation)
    assert has_half(trt) == (generation in WEAK)


@pytest.mark.parametrize("generation", WEAK)
def test_half_precision_holds_every_layer_of_the_named_nodes_and_no_other(
    bundle: Bundle, generation: str
) -> None:
    built, seen, _ = run(bundle, generation)
    assert {"FP16", "OBEY_PRECISION_CONSTRAINTS"} <= seen.flags
    nameless = "(Unnamed Layer* 5) [Shuffle]" if generation == "8.2" else "ONNXTRT_Broadcast"
    # The product of the Gemm, its bias made to fit, their sum; not the constants between.
    assert set(seen.pins) == {"/fc6/Gemm", nameless, "/fc6/Gemm_0", "/Softmax"}
    assert set(seen.pins.values()) == {("FLOAT", "FLOAT")}  # what it computes in, what it gives
    assert (built.pinned, built.missed, built.precision) == (4, (), "fp16")


@pytest.mark.parametrize("generation", WEAK)
def test_single_precision_asks_for_nothing(bundle: Bundle, generation: str) -> None:
    built, seen, _ = run(bundle, generation, precision="fp32")
    assert not seen.flags & {"FP16", "OBEY_PRECISION_CONSTRAINTS", "PREFER_PRECISION_CONSTRAINTS"}
    assert seen.pins == {}
    assert (built.pinned, built.precision) == (0, "fp32")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_single_precision_is_not_ampere_s_shortened_one(bundle: Bundle, generation: str) -> None:
    _, seen, _ = run(bundle, generation, precision="fp32")
    assert "TF32" in seen.cleared


def test_a_graph_with_types_of_its_own_is_built_as_it_is(bundle: Bundle) -> None:
    built, seen, _ = run(bundle, "11", precision="mixed")
    assert (built.precision, built.pinned, seen.pins) == ("mixed", 0, {})


def test_a_node_that_gave_no_layer_is_named(bundle: Bundle) -> None:
    built, _, _ = run(bundle, "8.2", fp32=("/fc6/Gemm", "/folded/Identity"))
    assert (built.pinned, built.missed) == (3, ("/folded/Identity",))


def test_a_node_whose_name_begins_like_a_held_one_is_not_held(bundle: Bundle) -> None:
    _, seen, _ = run(bundle, "8.2", fp32=("/fc",))
    assert seen.pins == {}


def test_a_layer_of_integers_is_left_alone(tmp_path: Path) -> None:
    # Single precision asked of it fails the whole build.
    bundle = write_bundle(tmp_path, argmax=True)
    built, seen, _ = run(bundle, "8.2", "masks", fp32=("/Sigmoid", "/ArgMax"))
    assert set(seen.pins) == {"/Sigmoid"}
    assert built.missed == ()


def test_the_log_gets_what_matters_and_the_timed_kernels_are_counted(bundle: Bundle) -> None:
    _, seen, words = run(bundle, "8.2")
    assert words.lines == [
        "I [MemUsageChange] Init CUDA: CPU +229, GPU +0",
        "W TensorRT was linked against cuDNN 8.2.1 but loaded cuDNN 8.2.0",
    ]
    assert [count for count, _ in words.timed] == list(range(1, seen.measured + 1))
    assert words.timed[0][1] == "/Gather"


# What goes wrong


def test_a_graph_that_cannot_be_parsed_is_refused_with_the_parsers_reason(bundle: Bundle) -> None:
    behaviour = Behaviour(parse=[bundle.stages["heads"].sha256])
    text = refusal(bundle, behaviour=behaviour)
    assert text == (
        "stage heads: TensorRT 8.2.1.8 cannot parse it (node 3: No importer registered for op: "
        "RoiAlign); export the bundle anew at opset 13"
    )


def test_no_memory_says_what_helps(bundle: Bundle) -> None:
    text = refusal(bundle, behaviour=Behaviour(memory=[bundle.stages["heads"].sha256]))
    assert "stage heads: memory ran out" in text
    assert "--workspace-mb 128" in text
    assert "swap" in text


def test_no_plan_without_a_reason_is_still_refused(bundle: Bundle) -> None:
    text = refusal(bundle, behaviour=Behaviour(nothing=[bundle.stages["heads"].sha256]))
    assert text.startswith("stage heads: TensorRT 8.2.1.8 built no plan (it does not say why)")


@pytest.mark.parametrize(
    "tensors",
    [
        {"inputs": {"pyramid": ("float32", (49, 4)), "rows": ("int64", (6, 4))}},
        {"outputs": {"classes": ("float32", (6, 3)), "box_deltas": ("float32", (6, 5))}},
        {"outputs": {"classes": ("float32", (6, 3))}},
    ],
)
def test_other_tensors_than_the_manifests_are_refused(
    bundle: Bundle, tensors: dict[str, Any]
) -> None:
    text = refusal(bundle, **tensors)
    assert "the manifest says" in text
    assert text.endswith("export the bundle anew")


# The timing cache


def test_a_second_build_measures_nothing_anew(bundle: Bundle) -> None:
    built, first, _ = run(bundle, "8.2")
    again, second, _ = run(bundle, "8.2", timings=built.timings)
    assert first.measured > 0
    assert second.measured == 0
    assert again.timings == built.timings


def test_timings_of_another_tensorrt_are_measured_anew(bundle: Bundle) -> None:
    built, first, _ = run(bundle, "8.2")
    again, second, _ = run(bundle, "8.6", timings=built.timings)
    assert second.measured == first.measured
    assert VERSIONS["8.6"].encode() in again.timings


def test_timings_are_kept_for_this_device_and_this_workspace(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert read_timings(folder, DEVICE, 256) == b""
    write_timings(folder, DEVICE, 256, b"timings\nof it")
    assert read_timings(folder, DEVICE, 256) == b"timings\nof it"
    # A kernel that needs more than this build may use would look like the fastest.
    assert read_timings(folder, DEVICE, 128) == b""
    assert read_timings(folder, DEVICE._replace(serial="cd"), 256) == b""
    assert [path.name for path in tmp_path.iterdir()] == ["timing.cache"]


def test_damaged_timings_never_reach_tensorrt(tmp_path: Path) -> None:
    # It does not refuse them: it takes the process down.
    write_timings(str(tmp_path), DEVICE, 256, b"timings")
    file = tmp_path / "timing.cache"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert read_timings(str(tmp_path), DEVICE, 256) == b""


def test_timings_that_others_could_have_written_are_not_read(tmp_path: Path) -> None:
    write_timings(str(tmp_path), DEVICE, 256, b"timings")
    file = tmp_path / "timing.cache"
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o620)
    assert read_timings(str(tmp_path), DEVICE, 256) == b""


def test_the_graphs_of_this_test_have_the_nodes_they_hold(bundle: Bundle) -> None:
    assert {name: list(stage.fp32) for name, stage in bundle.stages.items()} == FP32


# NVIDIA's own modules


def test_what_the_builder_asks_a_fake_answers_as_the_real_module() -> None:
    asked = set(probes(Path(builder.__file__).read_text()))
    assert ("BuilderFlag", "FP16") in asked
    for version, generation in GENERATION_OF.items():
        real = real_surface(version)
        fake = fake_tensorrt(generation, Gpu())
        add_builder(fake, generation)
        for owner, name in asked:
            assert hasattr(getattr(fake, owner), name) == (name in real[owner]), (version, name)
