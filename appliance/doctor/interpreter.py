"""The Python that runs the engine, asked in a process of its own: what is installed there, and
what it sees of the GPU. On a Nano that is another Python than the service's."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mammosono.appliance.doctor.check_result import Line, fail, ok
from mammosono.appliance.doctor.host import Machine
from mammosono.appliance.doctor.jetson import Board
from mammosono.engines.python_launch import HOME, PACKAGE
from mammosono.engines.trt.device import Device

TOPIC = "Python"

ASK = (
    PACKAGE
    + """
import json, sys
sys.dont_write_bytecode = True
seen = {"version": "%d.%d.%d" % sys.version_info[:3], "modules": {}, "broken": {}}
for name in ("numpy", "tensorrt", "pycuda", "onnxruntime"):
    try:
        module = __import__(name)
        seen["modules"][name] = getattr(module, "__version__", getattr(module, "VERSION_TEXT", "?"))
    except Exception as error:
        if str(error) != "No module named %r" % name:
            seen["broken"][name] = "%s: %s" % (type(error).__name__, error)
try:
    from mammosono.engines.trt.device import this_device
    seen["device"] = this_device()._asdict()
except Exception as error:
    seen["no_device"] = str(error) or type(error).__name__
sys.stdout.write("\\n" + json.dumps(seen))
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
    failure: why the interpreter told nothing at all, "" if it did."""

    path: str
    version: str = ""
    modules: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    device: Device | None = None
    no_device: str = ""
    failure: str = ""


def ask(machine: Machine, worker_python: Path | None) -> Interpreter:
    """worker_python: None asks the Python that we run in."""
    path = str(worker_python or sys.executable)
    ran = machine.run((path, "-c", ASK, HOME), _ASK_S)
    if ran is None:
        return Interpreter(path, failure="it is not there or cannot be started")
    if ran.status != 0:
        said = ran.err.strip().splitlines() or [f"exit status {ran.status}"]
        return Interpreter(path, failure=said[-1])
    try:
        seen = json.loads(ran.out.strip().splitlines()[-1])
        device = Device(**seen["device"]) if "device" in seen else None
        return Interpreter(
            path, seen["version"], seen["modules"], seen["broken"],
            # A machine without a GPU may be answered by an error or by a device without a name.
            device if device is not None and device.gpu else None,
            seen.get("no_device", ""),
        )  # fmt: skip
    except (IndexError, KeyError, TypeError, ValueError):
        return Interpreter(path, failure="its answer cannot be read")


def pythons(interpreter: Interpreter, worker_python: Path | None) -> Line:
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
    said = f"service {ours}, the engine in its process"
    if worker_python:
        said = f"service {ours}, worker {interpreter.version}"
    if numbers(interpreter.version) < _OLDEST:
        return fail(TOPIC, said, "set MAMMOSONO_WORKER_PYTHON to Python 3.6 or later")
    numpy = interpreter.modules.get("numpy", "")
    if numbers(numpy) < _OLDEST_NUMPY:
        seen = f"numpy {numpy} is too old" if numpy else "no numpy that can be imported"
        return fail(
            TOPIC,
            f"{said}; there {seen}",
            f"{interpreter.path} -m pip install 'numpy>=1.19' (1.19.5 is the last for 3.6)",
        )
    return ok(TOPIC, f"{said}, numpy {numpy}")


def uses_tensorrt(interpreter: Interpreter, board: Board, runtime: str) -> bool:
    """Whether TensorRT is to compute here; on a Jetson it is, unless it was told not to."""
    if runtime == "auto":
        return board.jetson or "tensorrt" in {*interpreter.modules, *interpreter.broken}
    return runtime == "tensorrt"


def numbers(version: str) -> tuple[int, ...]:
    """(8, 2, 1, 8) of "8.2.1.8"; () of ""."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4])
