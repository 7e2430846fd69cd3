"""What runs the network: the Pythons, the GPU, TensorRT, the bundle, its plans, the engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from doctor_hosts import answering, nano, orin, pc
from fakes import BundleFake, FakeEngine, Scene
from test_engines_python36 import python36, vermin

from mammosono.appliance.doctor import interpreter
from mammosono.appliance.doctor.bundle_check import check_bundle, plans
from mammosono.appliance.doctor.check_result import CheckResult, State
from mammosono.appliance.doctor.gpu import gpu, tensorrt
from mammosono.appliance.doctor.host import Host, Ran
from mammosono.appliance.doctor.interpreter import ASK, Interpreter, numbers, pythons, uses_tensorrt
from mammosono.appliance.doctor.jetson import jetson_of
from mammosono.appliance.doctor.self_test import self_test
from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.appliance.pipeline.self_test import drawn_pair
from mammosono.engines.bundle import Bundle, open_bundle
from mammosono.engines.errors import EngineUnavailable
from mammosono.engines.open import open_engine
from mammosono.engines.options import EngineOptions
from mammosono.engines.trt.device import Device
from mammosono.engines.trt.plan import Sidecar, write_plan

__all__ = ["python36"]

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = Path("/usr/bin/python3.6")
X1 = Device("NVIDIA Tegra X1", "5.3", "8.2.1.8", "32.7.1", "ab" * 32)
ORIN = Device("Orin", "8.7", "10.3.0", "36.4.3", "cd" * 32)
MODULES = {"numpy": "1.19.5", "tensorrt": "8.2.1.8", "pycuda": "2022.2.2"}
ON_NANO = Interpreter(str(SYSTEM), "3.6.9", MODULES, device=X1)
ON_PC = Interpreter(
    "/usr/bin/python3", "3.11.7", {"numpy": "2.4.6", "onnxruntime": "1.28.0"},
    no_device="TensorRT is not installed; install it",
)  # fmt: skip


def assert_line(line: CheckResult, state: State, *words: str, remedy: str = "") -> None:
    assert line.state is state, line
    for word in words:
        assert word in line.observation, line
    assert remedy in line.remedy, line
    assert bool(line.remedy) or state in (State.OK, State.NOTE)


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return open_bundle(SHIPPED)


# What the interpreter tells of itself


def test_what_asks_the_interpreter_is_python_3_6(tmp_path: Path) -> None:
    (tmp_path / "ask.py").write_text(ASK, encoding="utf-8")
    done = vermin(str(tmp_path / "ask.py"))
    assert done.returncode == 0, done.stdout


def test_this_python_tells_its_modules_and_why_it_has_no_gpu() -> None:
    seen = interpreter.ask(Host(), worker_python=None)
    assert seen.failure == ""
    assert seen.path == sys.executable
    assert seen.version == "{}.{}.{}".format(*sys.version_info[:3])
    assert {"numpy", "onnxruntime"} <= set(seen.modules)
    assert (seen.device is None) == bool(seen.no_device)


def test_a_python_3_6_is_asked_in_its_own_words(python36: str) -> None:
    seen = interpreter.ask(Host(), Path(python36))
    assert seen.failure == ""
    assert seen.version.startswith("3.6.")


def test_a_module_that_is_there_but_does_not_load_is_not_called_absent(tmp_path: Path) -> None:
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.8: not found')")
    asked = subprocess.run(
        [sys.executable, "-c", ASK, str(ROOT)], cwd=tmp_path, capture_output=True, text=True
    )
    seen = json.loads(asked.stdout.splitlines()[-1])
    assert seen["broken"]["tensorrt"] == "ImportError: libnvinfer.so.8: not found"
    assert "pycuda" not in seen["broken"]


def test_what_a_module_writes_while_it_is_imported_does_not_matter(tmp_path: Path) -> None:
    answer = {"version": "3.6.9", "modules": MODULES, "broken": {}, "device": X1._asdict()}
    host = answering(nano(tmp_path), python=Ran(0, "hello\n" + json.dumps(answer)))
    assert interpreter.ask(host, SYSTEM) == ON_NANO


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (None, "cannot be started"),
        (Ran(1, "", "Traceback\nNameError: x"), "NameError: x"),
        (Ran(139, "", ""), "exit status 139"),
        (Ran(0, "hello"), "cannot be read"),
        (Ran(0, ""), "cannot be read"),
        (Ran(0, "[]"), "cannot be read"),
    ],
)
def test_a_python_that_tells_nothing_fails_with_the_reason(
    tmp_path: Path, answer: Ran | None, failure: str
) -> None:
    seen = interpreter.ask(answering(nano(tmp_path), python=answer), SYSTEM)
    assert failure in seen.failure
    line = pythons(seen, SYSTEM)
    assert_line(line, State.FAIL, failure, remedy="MAMMOSONO_WORKER_PYTHON")


# Python


def test_the_pair_of_pythons_is_named() -> None:
    service = "service {}.{}.{}".format(*sys.version_info[:3])
    line = pythons(ON_NANO, SYSTEM)
    assert_line(line, State.OK, service, "worker 3.6.9", "numpy 1.19.5")
    assert_line(pythons(ON_PC, None), State.OK, service, "in its process", "numpy 2.4.6")


@pytest.mark.parametrize(
    ("version", "numpy", "words", "remedy"),
    [
        ("3.5.2", "1.19.5", "worker 3.5.2", "3.6 or later"),
        ("3.6.9", "1.13.3", "numpy 1.13.3 is too old", "'numpy>=1.19'"),
        ("3.6.9", None, "no numpy", "-m pip install"),
    ],
)
def test_a_worker_python_that_is_too_old_fails(
    version: str, numpy: str | None, words: str, remedy: str
) -> None:
    modules = {"numpy": numpy} if numpy else {}
    seen = Interpreter(str(SYSTEM), version, modules)
    assert_line(pythons(seen, SYSTEM), State.FAIL, words, remedy=remedy)


def test_versions_compare_as_numbers() -> None:
    assert numbers("8.10.0") > numbers("8.2.1.8") > numbers("8.2")
    assert numbers("") == ()


# GPU and TensorRT


@pytest.mark.parametrize(
    ("box", "modules", "runtime", "used"),
    [
        (nano, {}, "auto", True),
        (nano, {}, "onnxruntime", False),
        (orin, MODULES, "auto", True),
        (pc, {}, "auto", False),
        (pc, MODULES, "auto", True),
        (pc, {}, "tensorrt", True),
    ],
)
def test_a_jetson_is_to_use_tensorrt_unless_told_not_to(
    tmp_path: Path, box, modules: dict[str, str], runtime: str, used: bool
) -> None:
    jetson = jetson_of(box(tmp_path))
    assert uses_tensorrt(Interpreter("python", "3.6.9", modules), jetson, runtime) is used


def test_the_gpus_of_nano_and_orin_are_known(tmp_path: Path) -> None:
    small, large = jetson_of(nano(tmp_path / "n")), jetson_of(orin(tmp_path / "o"))
    assert_line(gpu(ON_NANO, small, tensorrt=True), State.OK, "NVIDIA Tegra X1, SM 5.3")
    on_orin = replace(ON_NANO, device=ORIN)
    assert_line(gpu(on_orin, large, tensorrt=True), State.OK, "Orin, SM 8.7")


def test_an_unknown_gpu_is_a_warning_on_a_jetson_alone(tmp_path: Path) -> None:
    seen = replace(ON_NANO, device=X1._replace(compute_capability="11.0"))
    jetson = jetson_of(nano(tmp_path / "n"))
    assert_line(gpu(seen, jetson, tensorrt=True), State.WARN, "SM 11.0", remedy="parity")
    assert_line(gpu(seen, jetson_of(pc(tmp_path / "p")), tensorrt=True), State.OK, "SM 11.0")


def test_a_jetson_without_a_gpu_lacks_runtime_or_group(tmp_path: Path) -> None:
    seen = replace(ON_NANO, device=None, no_device="there is no GPU; give the container one")
    line = gpu(seen, jetson_of(nano(tmp_path)), tensorrt=True)
    assert_line(line, State.FAIL, "cannot be used: there is no GPU", remedy="--runtime nvidia")
    assert "give the container" not in line.observation


def test_a_pc_needs_a_gpu_only_for_tensorrt(tmp_path: Path) -> None:
    jetson = jetson_of(pc(tmp_path))
    assert_line(gpu(ON_PC, jetson, tensorrt=False), State.NOTE, "runs on the CPU")
    line = gpu(ON_PC, jetson, tensorrt=True)
    assert_line(line, State.FAIL, "not installed", remedy="MAMMOSONO_RUNTIME=onnxruntime")


def test_tensorrt_and_pycuda_are_named_with_their_versions(tmp_path: Path) -> None:
    line = tensorrt(ON_NANO, jetson_of(nano(tmp_path)), used=True)
    assert_line(line, State.OK, "8.2.1.8, PyCUDA 2022.2.2")


@pytest.mark.parametrize("absent", ["tensorrt", "pycuda"])
@pytest.mark.parametrize("broken", [False, True])
def test_a_jetson_needs_both_modules(tmp_path: Path, absent: str, broken: bool) -> None:
    seen = replace(
        ON_NANO,
        modules={name: version for name, version in MODULES.items() if name != absent},
        broken={absent: "ImportError: libnvinfer.so.8"} if broken else {},
    )
    line = tensorrt(seen, jetson_of(nano(tmp_path)), used=True)
    words = "libnvinfer.so.8" if broken else "is not installed for Python 3.6.9"
    assert_line(line, State.FAIL, absent, words, remedy="--runtime nvidia")


def test_on_a_nano_no_other_python_than_3_6_can_have_tensorrt(tmp_path: Path) -> None:
    seen = Interpreter("python3.11", "3.11.9", {"numpy": "2.4.6"})
    line = tensorrt(seen, jetson_of(nano(tmp_path)), used=True)
    assert_line(line, State.FAIL, remedy="MAMMOSONO_WORKER_PYTHON=/usr/bin/python3.6")


@pytest.mark.parametrize("used", [True, False])
def test_a_python_that_does_not_start_is_not_blamed_twice(tmp_path: Path, used: bool) -> None:
    seen = Interpreter(str(SYSTEM), failure="it is not there")
    assert_line(tensorrt(seen, jetson_of(nano(tmp_path)), used=used), State.NOTE, "not looked at")


def test_tensorrt_before_8_2_is_too_old(tmp_path: Path) -> None:
    seen = replace(ON_NANO, modules={**MODULES, "tensorrt": "8.0.1.6"})
    line = tensorrt(seen, jetson_of(nano(tmp_path)), used=True)
    assert_line(line, State.FAIL, "8.0.1.6 is too old", remedy="JetPack 4.6.1")


def test_without_tensorrt_the_cpu_is_well_on_a_pc_and_slow_on_a_nano(tmp_path: Path) -> None:
    line = tensorrt(ON_PC, jetson_of(pc(tmp_path / "p")), used=False)
    assert_line(line, State.NOTE, "onnxruntime 1.28.0 computes on the CPU")
    line = tensorrt(ON_PC, jetson_of(nano(tmp_path / "n")), used=False)
    assert_line(line, State.WARN, "forty times slower", remedy="MAMMOSONO_RUNTIME=auto")


def test_without_any_runtime_nothing_can_be_read(tmp_path: Path) -> None:
    seen = replace(ON_PC, modules={"numpy": "2.4.6"})
    line = tensorrt(seen, jetson_of(pc(tmp_path)), used=False)
    assert_line(line, State.FAIL, "neither", remedy="-m pip install onnxruntime")


# Bundle and plans


def test_the_shipped_bundle_is_whole(shipped: Bundle) -> None:
    line, bundle = check_bundle(None)
    assert_line(
        line,
        State.OK,
        shipped.name,
        shipped.sha256,
        f"{len(shipped.stages)} stages, every hash holds",
    )
    assert bundle == shipped


def test_a_damaged_bundle_is_named_with_its_remedy(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "bundle")
    with next((tmp_path / "bundle").glob("*heads.onnx")).open("ab") as file:
        file.write(b"x")
    line, bundle = check_bundle(tmp_path / "bundle")
    assert_line(line, State.FAIL, "heads.onnx", remedy="copy the bundle again")
    assert str(tmp_path) not in line.observation + line.remedy
    assert bundle is None


def test_a_missing_bundle_and_a_manifest_that_lacks_a_number_fail(tmp_path: Path) -> None:
    assert_line(check_bundle(tmp_path)[0], State.FAIL, "manifest.json", remedy="bundle")
    shutil.copytree(SHIPPED, tmp_path / "bundle")
    manifest = tmp_path / "bundle" / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    del content["modalities"]["MG"]["operating_point"]
    manifest.write_text(json.dumps(content), encoding="utf-8")
    line, bundle = check_bundle(tmp_path / "bundle")
    assert_line(line, State.FAIL, "operating_point of MG is missing", remedy="export")
    assert bundle is None


def built(folder: Path, bundle: Bundle, device: Device) -> Path:
    """Plans of every stage, as the builder leaves them."""
    for name, stage in bundle.stages.items():
        sidecar = Sidecar(device, stage.sha256, "fp16", "2026-10-15T12:00:00+00:00")
        write_plan(str(folder), name, b"plan of " + name.encode(), sidecar)
    return folder


def test_plans_built_on_this_device_fit(tmp_path: Path, shipped: Bundle) -> None:
    folder = built(tmp_path / "plans", shipped, X1)
    line = plans(shipped, folder, ON_NANO, tensorrt=True)
    assert_line(line, State.OK, *shipped.stages, "built on this device")


def test_plans_of_another_device_or_none_at_all_are_to_be_built(
    tmp_path: Path, shipped: Bundle
) -> None:
    line = plans(shipped, tmp_path, ON_NANO, tensorrt=True)
    assert_line(line, State.FAIL, ", ".join(shipped.stages), "no plan", remedy="build-engine")
    folder = built(tmp_path / "plans", shipped, ORIN)
    lost = next(name for name in shipped.stages if name.endswith("trunk"))
    (folder / f"{lost}.plan").unlink()
    (folder / f"{lost}.json").unlink()
    line = plans(shipped, folder, ON_NANO, tensorrt=True)
    assert_line(line, State.FAIL, f"{lost}: it has no plan", "GPU Orin", remedy="build-engine")
    assert "; run:" not in line.observation


def test_plans_of_another_user_are_not_built_anew_but_looked_at_as_that_user(
    tmp_path: Path, shipped: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = built(tmp_path / "plans", shipped, X1)
    monkeypatch.setattr("os.geteuid", lambda: 10001)
    line = plans(shipped, folder, ON_NANO, tensorrt=True)
    assert_line(line, State.FAIL, "belongs to another user", remedy="ask again as the user")


def test_plans_are_no_matter_where_onnxruntime_computes(shipped: Bundle) -> None:
    assert_line(plans(shipped, None, ON_PC, tensorrt=False), State.NOTE, "none are needed")


def test_without_bundle_or_gpu_the_plans_are_not_looked_at(shipped: Bundle) -> None:
    assert_line(plans(None, None, ON_NANO, tensorrt=True), State.NOTE, "not looked at")
    assert_line(plans(shipped, None, ON_PC, tensorrt=True), State.NOTE, "not looked at")


# The engine itself


def test_the_engine_reads_a_drawn_pair_and_is_closed(shipped: Bundle) -> None:
    engine = BundleFake(shipped, Scene())
    line = self_test(shipped, lambda _: engine, worker=False, serving=False)
    assert_line(line, State.OK, "fake 1.0: engine started in", "a small drawn pair read in")
    assert [stage for stage, _ in engine.calls].count("trunk") == len(drawn_pair())
    assert engine.closed


def test_an_engine_that_fails_in_the_middle_is_closed_too(shipped: Bundle) -> None:
    engine = BundleFake(shipped, Scene(), fault="heads")
    line = self_test(shipped, lambda _: engine, worker=True, serving=False)
    assert_line(line, State.FAIL, "heads: the runtime failed", remedy="read the study again")
    assert engine.closed


def test_an_engine_that_does_not_start_says_why(shipped: Bundle) -> None:
    def refuse(_: Bundle) -> FakeEngine:
        raise EngineUnavailable("no plan for trunk; run: mammosono-tools build-engine BUNDLE")

    line = self_test(shipped, refuse, worker=True, serving=False)
    assert_line(line, State.FAIL, "no plan for trunk", remedy="build-engine")


def test_beside_a_ready_service_or_without_a_bundle_no_engine_is_started(shipped: Bundle) -> None:
    def refuse(_: Bundle) -> FakeEngine:
        raise AssertionError("started")

    line = self_test(shipped, refuse, worker=True, serving=True)
    assert_line(line, State.OK, "running service")
    assert_line(self_test(None, refuse, worker=True, serving=False), State.NOTE, "not started")


@pytest.mark.slow
def test_a_real_worker_is_started_and_reads(shipped: Bundle) -> None:
    options = EngineOptions(threads=1, runtime="onnxruntime", worker_python=sys.executable)
    line = self_test(shipped, lambda made: open_engine(made, options), worker=True, serving=False)
    assert_line(line, State.OK, "onnxruntime", "worker started in")


def test_a_worker_that_cannot_start_fails_with_its_own_reason(shipped: Bundle) -> None:
    options = EngineOptions(worker_python="/bin/false")
    line = self_test(shipped, lambda made: open_engine(made, options), worker=True, serving=False)
    assert_line(line, State.FAIL, "worker does not start")
