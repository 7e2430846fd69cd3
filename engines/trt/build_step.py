"""Build step, one process: build one stage's plan, or try the plans that were built.

A process each, because what TensorRT's libraries take they give back only by ending, and a Nano
has nothing to spare; and because a crash then is an answer, not the end of the build. Each tells
what it does as lines of JSON on stdout, and leaves TensorRT's own words on stderr.
"""

import ctypes
import json
import signal
import sys
import time
from datetime import datetime, timezone
from typing import Any, Callable, List, Tuple

from mammosono.engines.bundle import Bundle, Stage, read_file, read_stage
from mammosono.engines.trt.api_compat import import_tensorrt
from mammosono.engines.trt.builder import BuildLog, Built, build, has_half
from mammosono.engines.trt.device import Device, this_device
from mammosono.engines.trt.engine import TensorRtEngine
from mammosono.engines.trt.parity import read_tensors, try_plans
from mammosono.engines.trt.plan import MIXED, Sidecar, write_plan
from mammosono.engines.trt.timings import read_timings, write_timings

TELL_EVERY_S = 0.5


def say(event: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps(dict(fields, event=event), sort_keys=True) + "\n")
    sys.stdout.flush()


def die_with_parent() -> None:
    """An abandoned build would keep the device from the service."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, int(signal.SIGKILL), 0, 0, 0)


def build_stage(
    bundle: Bundle, name: str, precision: str, workspace_mb: int, folder: str, staging: str
) -> None:
    """Build the plan of the stage of that name into `staging`; `folder` keeps the timing cache.

    Raises EngineUnavailable, BundleError, OSError.
    """
    trt = import_tensorrt()
    stage = bundle.stages[name]
    device = this_device()
    precision, onnx, sha256 = _graph(trt, stage, precision)
    log = BuildLog(_write_line, _now_and_then(name))
    started = time.time()
    timings = read_timings(folder, device, workspace_mb)
    built = build(trt, stage, onnx, precision, workspace_mb, timings, log)
    seconds = time.time() - started
    write_timings(folder, device, workspace_mb, built.timings)
    kept = _worth_keeping(built, workspace_mb, seconds)
    write_plan(staging, name, built.plan, _sidecar(device, sha256, precision, kept))
    say("built", stage=name, precision=precision, seconds=round(seconds, 1), log=kept)


def try_staged(bundle: Bundle, staging: str) -> None:
    """Run the plans in `staging` on the bundle's own tensors and report the checks.

    Raises EngineUnavailable, BundleError.
    """
    tensors = read_tensors(bundle)
    engine = TensorRtEngine(bundle, staging)
    try:
        for verdict in try_plans(engine, bundle, tensors, lambda name: say("trying", stage=name)):
            say("verdict", **verdict._asdict())
    finally:
        engine.close()


def _graph(trt: Any, stage: Stage, precision: str) -> Tuple[str, bytes, str]:
    """What is built: precision, graph, the graph's sha256."""
    if precision == "fp16" and not has_half(trt):
        mixed = stage.variants.get(MIXED)
        if mixed is not None:
            return MIXED, read_file(mixed), mixed.sha256
        precision = "fp32"
    return precision, read_stage(stage), stage.sha256


def _worth_keeping(built: Built, workspace_mb: int, seconds: float) -> List[str]:
    lines = [
        "%.0f s, %.1f MB, workspace %d MB" % (seconds, len(built.plan) / 1e6, workspace_mb),
        "%d warnings in build.log" % built.warnings,
    ]
    if built.precision == "fp16":
        lines.append("%d layers held at single precision" % built.pinned)
    if built.missed:
        lines.append("no layer to hold for %s" % ", ".join(built.missed))
    return lines


def _sidecar(device: Device, sha256: str, precision: str, log: List[str]) -> Sidecar:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Sidecar(device, sha256, precision, now, tuple(log))


def _write_line(line: str) -> None:
    sys.stderr.write("%s %s\n" % (time.strftime("%H:%M:%S"), line))


def _now_and_then(stage: str) -> Callable[[int, str], None]:
    last = [0.0]

    def timed(count: int, layer: str) -> None:
        now = time.time()
        if now - last[0] >= TELL_EVERY_S:
            last[0] = now
            say("progress", stage=stage, timed=count, layer=layer)

    return timed
