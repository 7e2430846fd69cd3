"""Interpreter that runs the engine: its packages and its GPU, asked in a process of its own. On a
Jetson Nano it is another Python than the service's."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mammosono.appliance.doctor.check_result import CheckResult, fail, ok
from mammosono.appliance.doctor.host import Host
from mammosono.appliance.doctor.jetson import Jetson
from mammosono.engines.python_launch import HOME, PACKAGE
from mammosono.engines.trt.device import Device

TOPIC = "Python"

ASK = (
    PACKAGE
    + """
import json, sys
sys.dont_write_bytecode = True
answer = {"version": "%d.%d.%d" % sys.version_info[:3], "modules": {}, "broken": {}}
for name in ("numpy", "tensorrt", "pycuda", "onnxruntime"):
    try:
        module = __import__(name)
        version = getattr(module, "VERSION_TEXT", "?")
        answer["modules"][name] = getattr(module, "__version__", version)
    except Exception as error:
        if str(error) != "No module named %r" % name:
            answer["broken"][name] = "%s: %s" % (type(error).__name__, error)
try:
    from mammosono.engines.trt.device import this_device
    answer["device"] = this_device()._asdict()
except Exception as error:
    answer["no_device"] = str(error) or type(error).__name__
sys.stdout.write("\\n" + json.dumps(answer))
"""
)
"""Python 3.6. NVIDIA's modules may write to standard output before it; the last line counts."""

_ASK_S = 60.0
"""A Nano takes seven seconds to load CUDA's libraries, more when it swaps."""
_OLDEST = (3, 6)
_OLDEST_NUMPY = (1, 19)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """modules: version by name, of those that can be imported. broken: those that are installed
    but cannot, and why. device: None where there is no GPU to use, and then `no_device` says why.
    failure: why the interpreter gave no answer, "" if it did."""

    path: str
    version: str = ""
    modules: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    device: Device | None = None
    no_device: str = ""
    failure: str = ""


def ask(host: Host, worker_python: Path | None) -> Interpreter:
    """worker_python: None asks the Python that we run in."""
    path = str(worker_python or sys.executable)
    ran = host.run((path, "-c", ASK, HOME), _ASK_S)
    if ran is None:
        return Interpreter(path, failure="it is not there or cannot be started")
    if ran.status != 0:
        lines = ran.err.strip().splitlines() or [f"exit status {ran.status}"]
        return Interpreter(path, failure=lines[-1])
    try:
        answer = json.loads(ran.out.strip().splitlines()[-1])
        device = Device(**answer["device"]) if "device" in answer else None
        return Interpreter(
            path, answer["version"], answer["modules"], answer["broken"],
            # A host without a GPU may be answered by an error or by a device without a name.
            device if device is not None and device.gpu else None,
            answer.get("no_device", ""),
        )  # fmt: skip
    except (IndexError, KeyError, TypeError, ValueError):
        return Interpreter(path, failure="its answer cannot be read")


def pythons(interpreter: Interpreter, worker_python: Path | None) -> CheckResult:
    """The pair: the service's, and the worker's where there is one."""
    ours = "{}.{}.{}".format(*sys.version_info[:3])
    if interpreter.failure:
        return fail(
            TOPIC,
            f"service {ours}; {interpreter.path}: {interpreter.failure}",
            "set MAMMOSONO_WORKER_PYTHON to a Python that starts (on a Nano /usr/bin/python3.6)"
            if worker_python
            else "install mammosono anew",
        )
    observation = f"service {ours}, the engine in its process"
    if worker_python:
        observation = f"service {ours}, worker {interpreter.version}"
    if numbers(interpreter.version) < _OLDEST:
        return fail(TOPIC, observation, "set MAMMOSONO_WORKER_PYTHON to Python 3.6 or later")
    numpy = interpreter.modules.get("numpy", "")
    if numbers(numpy) < _OLDEST_NUMPY:
        fault = f"numpy {numpy} is too old" if numpy else "no numpy that can be imported"
        return fail(
            TOPIC,
            f"{observation}; there {fault}",
            f"{interpreter.path} -m pip install 'numpy>=1.19' (1.19.5 is the last for 3.6)",
        )
    return ok(TOPIC, f"{observation}, numpy {numpy}")


def uses_tensorrt(interpreter: Interpreter, jetson: Jetson, runtime: str) -> bool:
    """Whether TensorRT is to compute here; on a Jetson it is, unless the settings say otherwise."""
    if runtime == "auto":
        return jetson.is_jetson or "tensorrt" in {*interpreter.modules, *interpreter.broken}
    return runtime == "tensorrt"


def numbers(version: str) -> tuple[int, ...]:
    """(8, 2, 1, 8) of "8.2.1.8"; () of ""."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4])
