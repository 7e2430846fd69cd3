"""Building a bundle's plans: a process a stage, a trial, single precision where half fails, and old
plans that survive whatever happens. The processes are real; TensorRT in them is a fake."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_trt import fake_plan, installed
from fake_trt_builder import Behaviour, add_builder, write_shim
from small_graphs import scaled, sha256, write_bundle, write_networks
from worker_bench import python36_with_onnxruntime

from mammosono.engines.bundle import Bundle, Stage, open_bundle
from mammosono.engines.errors import EngineUnavailable
from mammosono.engines.python_launch import command
from mammosono.engines.trt import build as building
from mammosono.engines.trt.build import lower, main
from mammosono.engines.trt.build_job import LOG, Died, Job
from mammosono.engines.trt.device import this_device
from mammosono.engines.trt.engine import TensorRtEngine
from mammosono.engines.trt.parity import PlanCheck, stages_in_order
from mammosono.engines.trt.plan import hold, plan_state, read_sidecar, write_plan
from mammosono.engines.trt.publish import BUILDING, finish, publish

pytestmark = pytest.mark.slow

Event = dict[str, Any]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("bundle"), mixed=True)


class Box:
    """A folder of plans on a fake device.

    `build` runs the steps in this process, since starting Python five times takes its time;
    `build_for_real` in processes of their own.
    """

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.folder, self.bundle = folder, bundle
        self.plans = folder / "plans"
        self.generation = "8.2"

    def build(self, behaviour: Behaviour | None = None, *options: str) -> list[Event]:
        with installed(self.generation), pytest.MonkeyPatch.context() as patch:
            add_builder(sys.modules["tensorrt"], self.generation, behaviour)
            patch.setattr(building, "events", self._step)
            return self._events(*options)

    def _events(self, *options: str) -> list[Event]:
        output = io.StringIO()
        with contextlib.redirect_stdout(output), pytest.MonkeyPatch.context() as patch:
            patch.setattr(building, "die_with_parent", lambda: None)
            status = main([self.bundle.folder, "--plans", str(self.plans), *options])
        events = [json.loads(line) for line in output.getvalue().splitlines()]
        assert status == (2 if events[-1]["event"] == "error" else 0)
        return events

    def _step(self, job: Job, options: Sequence[str], what: str) -> Iterator[Event]:
        words = io.TextIOWrapper(job.log, write_through=True)  # type: ignore[arg-type]
        with contextlib.redirect_stderr(words):
            events = self._events("--workspace-mb", str(job.workspace_mb), *options)
        words.detach()
        if events[-1]["event"] == "error":
            raise EngineUnavailable(events[-1]["message"])
        yield from events

    def start(self, behaviour: Behaviour, python: str = sys.executable) -> subprocess.Popen[str]:
        env = os.environ | write_shim(str(self.folder / "shim"), self.generation, behaviour)
        arguments = [self.bundle.folder, "--plans", str(self.plans)]
        return subprocess.Popen(
            command(python, "mammosono.engines.trt.build", arguments),
            cwd="/", env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def build_for_real(self, behaviour: Behaviour, python: str = sys.executable) -> list[Event]:
        with self.start(behaviour, python) as process:
            output, errors = process.communicate()
        events = [json.loads(line) for line in output.splitlines()]
        assert process.returncode == (2 if events[-1]["event"] == "error" else 0), errors
        assert errors == ""
        return events

    def half(self, stage: str, weight: str, factor: float) -> Behaviour:
        """Half precision that gets one weight of a stage wrong."""
        file = self.folder / "half.onnx"
        file.write_bytes(scaled(stage, weight, factor))
        return Behaviour(half={self.bundle.stages[stage].sha256: str(file)})

    def precisions(self) -> dict[str, str]:
        return {n: read_sidecar(str(self.plans), n).precision for n in self.bundle.stages}

    def usable(self) -> bool:
        """Whether the service would start on what lies there."""
        with installed(self.generation):
            states = [
                plan_state(str(self.plans), stage, this_device())
                for stage in self.bundle.stages.values()
            ]
            if any(states):
                return False
            TensorRtEngine(self.bundle, str(self.plans)).close()
        return True

    def bytes(self) -> dict[str, bytes]:
        """Plans and sidecars."""
        return {
            path.name: path.read_bytes()
            for path in self.plans.iterdir()
            if path.suffix in (".plan", ".json")
        }


@pytest.fixture
def box(tmp_path: Path, bundle: Bundle) -> Box:
    return Box(tmp_path, bundle)


def kinds(events: list[Event]) -> list[str]:
    return [event["event"] for event in events if event["event"] not in ("progress", "trying")]


# What comes out


@pytest.mark.parametrize("nano", [False, True], ids=["this-python", "python-3.6"])
def test_a_build_leaves_good_plans_with_their_figures_and_nothing_else(
    box: Box, nano: bool
) -> None:
    python, reason = python36_with_onnxruntime() if nano else (sys.executable, "")
    if not python:
        pytest.skip(reason)
    events = box.build_for_real(Behaviour(chatter=True), python)
    assert kinds(events) == ["stage", "built"] * 3 + ["trial"] + ["verdict"] * 3 + ["done"]
    assert events[0] == {
        "event": "stage", "stage": "trunk", "precision": "fp16", "number": 1, "of": 3,
    }  # fmt: skip
    assert box.usable()
    assert box.precisions() == {"trunk": "fp16", "heads": "fp16", "masks": "fp16"}
    sidecar = read_sidecar(str(box.plans), "trunk")
    assert sidecar.parity["objectness.overlap"] == 1.0
    assert "3 layers held at single precision" in sidecar.log
    names = {f"{stage}.{kind}" for stage in box.bundle.stages for kind in ("plan", "json")}
    assert {path.name for path in box.plans.iterdir()} == names | {LOG, "timing.cache", ".lock"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in box.plans.glob("*.plan"))
    log = (box.plans / LOG).read_text()
    assert "TensorRT was linked against cuDNN" in log
    assert "a library's own words" in log


def test_two_networks_are_built_and_tried_each_on_its_own_tensors(tmp_path: Path) -> None:
    """Their stages have the same tensors' names; a plan is called as its stage is."""
    bundle = write_networks(tmp_path / "two", "film", "probe")
    box = Box(tmp_path, bundle)
    events = box.build()
    assert kinds(events) == ["stage", "built"] * 6 + ["trial"] + ["verdict"] * 6 + ["done"]
    stages = {f"{name}.{own}" for name in ("film", "probe") for own in ("trunk", "heads", "masks")}
    assert set(box.precisions()) == stages
    assert {path.stem for path in box.plans.glob("*.plan")} == stages
    assert box.usable()


def test_the_last_generation_builds_the_graphs_that_have_types_of_their_own(box: Box) -> None:
    box.generation = "11"
    box.build()
    assert set(box.precisions().values()) == {"mixed"}
    assert box.usable()


def test_single_precision_can_be_asked_for(box: Box) -> None:
    box.build(None, "--precision", "fp32")
    assert set(box.precisions().values()) == {"fp32"}


def test_a_second_build_uses_the_times_of_the_first(box: Box) -> None:
    def timed(events: list[Event]) -> int:
        return sum(event["event"] == "progress" for event in events)

    first = box.build(None, "--precision", "fp32")
    assert timed(first) > 0
    assert timed(box.build(None, "--precision", "fp32")) == 0
    assert timed(box.build(None, "--precision", "fp32", "--workspace-mb", "128")) > 0


# Half precision that fails


@pytest.mark.parametrize("factor", [2.0, np.nan])
def test_a_stage_that_half_precision_gets_wrong_is_built_in_single(box: Box, factor: float) -> None:
    events = box.build(box.half("heads", "fc7.weight", factor))
    assert kinds(events).count("stage") == 4
    assert [e["stage"] for e in events if e["event"] == "fallback"] == ["heads"]
    assert box.precisions() == {"trunk": "fp16", "heads": "fp32", "masks": "fp16"}
    assert box.usable()
    why = read_sidecar(str(box.plans), "heads").log[-1]
    assert why.startswith("single precision, since in half: ")
    assert ("NaN" if np.isnan(factor) else "box_deltas.largest") in why


def test_stages_fed_by_a_wrong_one_are_not_blamed_for_it(box: Box) -> None:
    events = box.build(box.half("trunk", "stem.weight", np.inf))
    assert [e["stage"] for e in events if e["event"] == "fallback"] == ["trunk"]
    assert box.precisions() == {"trunk": "fp32", "heads": "fp16", "masks": "fp16"}


def stages_of(bundle: Bundle) -> list[Stage]:
    return stages_in_order(bundle)


def verdicts_of(**reasons: str) -> dict[str, PlanCheck]:
    return {stage: PlanCheck(stage, {}, reason) for stage, reason in reasons.items()}


def test_a_stage_wrong_in_single_precision_blames_what_it_is_fed(bundle: Bundle) -> None:
    stages = stages_of(bundle)
    failed = verdicts_of(trunk="", heads="off", masks="")
    precision = {"trunk": "fp16", "heads": "fp16", "masks": "fp16"}
    assert [s.name for s in lower(stages, failed, precision)] == ["heads"]
    precision["heads"] = "fp32"
    assert [s.name for s in lower(stages, failed, precision)] == ["trunk"]
    precision["trunk"] = "fp32"
    with pytest.raises(EngineUnavailable, match="heads: its plan is wrong even in single"):
        lower(stages, failed, precision)


def test_two_stages_wrong_for_their_own_reasons_are_built_again_together(bundle: Bundle) -> None:
    failed = verdicts_of(trunk="", heads="off", masks="off")
    again = lower(stages_of(bundle), failed, dict.fromkeys(("trunk", "heads", "masks"), "mixed"))
    assert sorted(stage.name for stage in again) == ["heads", "masks"]


def test_a_plan_that_takes_the_trial_with_it_is_the_one_to_build_again(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def events(*_: Any) -> Iterator[Event]:
        yield {"event": "trying", "stage": "trunk"}
        yield {"event": "trying", "stage": "heads"}
        raise Died("the trial of the plans ended by signal 11; see build.log")

    monkeypatch.setattr(building, "events", events)
    with (box.folder / "log").open("wb", buffering=0) as log:
        job = Job(box.bundle, str(box.plans), "fp16", 256, log, lambda event, **_: None)
        verdicts = building._try(job)
    assert verdicts == verdicts_of(heads="the trial of the plans ended by signal 11; see build.log")
    precision = dict.fromkeys(box.bundle.stages, "fp16")
    assert [s.name for s in lower(stages_of(box.bundle), verdicts, precision)] == ["heads"]


def test_a_plan_that_is_wrong_whatever_its_precision_is_not_published(
    box: Box, tmp_path: Path
) -> None:
    box.build()
    before = box.bytes()
    # The right answers are of other weights than the graph's.
    manifest = json.loads((Path(box.bundle.folder) / "manifest.json").read_text())
    other = write_bundle(tmp_path / "other")
    for entry, stage in zip(manifest["stages"].values(), manifest["stages"], strict=True):
        if stage == "heads":
            data = scaled("heads", "fc7.weight", 2.0)
            (tmp_path / "other" / "heads.onnx").write_bytes(data)
            entry["sha256"] = sha256(data)
    manifest["parity"] = {"file": "parity.npz", "sha256": other.parity.sha256}  # type: ignore[union-attr]
    (tmp_path / "other" / "manifest.json").write_text(json.dumps(manifest))
    box.bundle = open_bundle(tmp_path / "other")
    (last,) = box.build()[-1:]
    assert last["event"] == "error"
    assert "heads: its plan is wrong even in single precision" in last["message"]
    assert box.bytes() == before


# Refusals


def refused(box: Box, behaviour: Behaviour | None = None, *options: str) -> str:
    last = box.build(behaviour, *options)[-1]
    assert last["event"] == "error"
    message = str(last["message"])
    assert "\n" not in message
    assert str(box.folder) not in message
    return message


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("parse", "stage masks: TensorRT 8.2.1.8 cannot parse it"),
        ("memory", "stage masks: memory ran out while it was built; try --workspace-mb 128"),
        ("nothing", "stage masks: TensorRT 8.2.1.8 built no plan"),
    ],
)
def test_a_stage_that_cannot_be_built_is_refused_and_the_old_plans_stay(
    box: Box, fault: str, text: str
) -> None:
    box.build()
    before = box.bytes()
    behaviour = Behaviour(**{fault: [box.bundle.stages["masks"].sha256]})
    assert refused(box, behaviour).startswith(text)
    assert box.bytes() == before
    assert box.usable()


def test_a_step_that_the_system_kills_is_refused_with_what_helps(box: Box) -> None:
    behaviour = Behaviour(killed=[box.bundle.stages["trunk"].sha256])
    last = box.build_for_real(behaviour)[-1]
    assert last["message"].startswith(
        "stage trunk: its build was killed, as the system does when memory runs out; try --work"
    )


def test_nothing_is_built_while_the_service_holds_the_plans(box: Box) -> None:
    box.build()
    (box.plans / LOG).write_text("of the build before")
    with hold(str(box.plans), exclusive=False):
        assert "systemctl stop mammosono" in refused(box)
    assert (box.plans / LOG).read_text() == "of the build before"


def test_a_bundle_that_cannot_be_tried_is_refused_before_anything_is_built(
    box: Box, tmp_path: Path
) -> None:
    box.bundle = write_bundle(tmp_path / "untried", parity=False)
    events = box.build()
    assert kinds(events) == ["error"]
    assert "no tensors to try a plan on" in events[0]["message"]


def test_without_tensorrt_the_reason_is_said(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([box.bundle.folder, "--plans", str(box.plans), "--stage", "trunk"]) == 2
    message = json.loads(capsys.readouterr().out)["message"]
    assert message.startswith("TensorRT's module for this Python is not installed")


def test_plans_that_cannot_be_written_are_refused(
    box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    box.plans.write_text("a file where the folder should be")
    assert main([box.bundle.folder, "--plans", str(box.plans)]) == 2
    assert "error" in capsys.readouterr().out


# Cut short


def started(process: subprocess.Popen[str], marker: Path) -> int:
    """Waits for the stage's process to hang in the builder; its pid."""
    for _ in range(600):
        if marker.exists() and marker.read_text():
            return int(marker.read_text())
        assert process.poll() is None
        time.sleep(0.05)
    raise AssertionError("the build did not begin")


def gone(pid: int) -> bool:
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_is_stopped_takes_its_processes_along_and_leaves_the_old_plans(
    box: Box, signum: int
) -> None:
    box.build()
    before = box.bytes()
    marker = box.folder / "hanging"
    hang = Behaviour(hang={box.bundle.stages["trunk"].sha256: str(marker)})
    with box.start(hang) as process:
        child = started(process, marker)
        process.send_signal(signum)
        process.communicate()
    assert gone(child)
    assert box.bytes() == before
    assert box.usable()
    box.build()  # and nothing is in the way of the next
    assert not (box.plans / BUILDING).exists()


def test_a_publication_cut_short_anywhere_leaves_the_old_plans_or_the_new(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.build(None, "--precision", "fp32")
    with installed("8.2"):
        steps = 0
        while True:  # one system call further each time
            old, new = box.bytes(), _staged(box, scratch=steps + 1)
            finished = _publish_some(box, steps, monkeypatch)
            with hold(str(box.plans), exclusive=False):  # as the service does when it starts
                assert box.bytes() in (old, new)
            if finished:
                break
            steps += 1
    assert steps > 8
    assert box.bytes() == new
    assert box.usable()
    assert not {".building", ".ready"} & {path.name for path in box.plans.iterdir()}


def _staged(box: Box, scratch: int) -> dict[str, bytes]:
    """Plans that were built and found good, but not published; other bytes for other scratch."""
    staging = box.plans / BUILDING
    shutil.rmtree(staging, ignore_errors=True)
    for name, stage in box.bundle.stages.items():
        plan = fake_plan(Path(stage.path).read_bytes(), "8.2", scratch)
        write_plan(str(staging), name, plan, read_sidecar(str(box.plans), name))
    return {path.name: path.read_bytes() for path in staging.iterdir()}


def _publish_some(box: Box, steps: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Publish, but the power fails at the call after so many; whether it got to the end."""
    left = [steps]

    def failing(real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "replace", "rmdir", "fsync"):
            patch.setattr(os, name, failing(getattr(os, name)))
        try:
            publish(str(box.plans))
        except KeyboardInterrupt:
            return False
    return True


def test_two_that_finish_a_publication_at_once_do_not_stumble(tmp_path: Path) -> None:
    ready = tmp_path / ".ready"
    ready.mkdir()
    (ready / "trunk.plan").write_bytes(b"new")
    finish(str(tmp_path))
    finish(str(tmp_path))
    assert (tmp_path / "trunk.plan").read_bytes() == b"new"
    assert not ready.exists()
