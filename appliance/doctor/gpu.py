"""GPU and TensorRT, as the Python that runs the engine reports them."""

from __future__ import annotations

from mammosono.appliance.doctor.check_result import CheckResult, fail, note, ok, warn
from mammosono.appliance.doctor.interpreter import Interpreter, numbers
from mammosono.appliance.doctor.jetson import Jetson

GPU = "GPU"
TENSORRT = "TensorRT"

_TRIED = {"5.3", "6.2", "7.2", "8.7"}
"""Compute capabilities of the Jetsons: Nano, TX2, Xavier, Orin."""
_OLDEST = (8, 2)


def gpu(interpreter: Interpreter, jetson: Jetson, *, tensorrt: bool) -> CheckResult:
    device = interpreter.device
    if device is None:
        if not tensorrt:
            return note(GPU, "none is used: the network runs on the CPU")
        # Our own errors bring a remedy; here it is that of the machine.
        reason = (interpreter.no_device or interpreter.failure).partition("; ")[0] or "none is here"
        return fail(
            GPU,
            f"cannot be used: {reason}",
            "start the container with --runtime nvidia and group video; see device nodes"
            if jetson.is_jetson
            else "install NVIDIA's driver, or set MAMMOSONO_RUNTIME=onnxruntime",
        )
    observation = f"{device.gpu}, SM {device.compute_capability}"
    if jetson.is_jetson and device.compute_capability not in _TRIED:
        return warn(
            GPU,
            f"{observation}: this software was not tried on it",
            "look at the parity figures of build-engine before use",
        )
    return ok(GPU, observation)


def tensorrt(interpreter: Interpreter, jetson: Jetson, *, used: bool) -> CheckResult:
    """used: that TensorRT is to compute; otherwise onnxruntime must be there."""
    if interpreter.failure:
        return note(TENSORRT, "not looked at: its Python does not start")
    if not used:
        return _onnxruntime(interpreter, jetson)
    version = interpreter.modules.get("tensorrt")
    for module in ("tensorrt", "pycuda"):
        if module in interpreter.broken:
            return fail(
                TENSORRT,
                f"{module} is installed but cannot be imported: {interpreter.broken[module]}",
                _absent(interpreter, jetson),
            )
        if module not in interpreter.modules:
            return fail(
                TENSORRT,
                f"{module} is not installed for Python {interpreter.version or 'of the worker'}",
                _absent(interpreter, jetson),
            )
    assert version is not None
    if numbers(version) < _OLDEST:
        return fail(TENSORRT, f"{version} is too old", "flash JetPack 4.6.1 or later")
    return ok(TENSORRT, f"{version}, PyCUDA {interpreter.modules['pycuda']}")


def _onnxruntime(interpreter: Interpreter, jetson: Jetson) -> CheckResult:
    version = interpreter.modules.get("onnxruntime")
    if version is None:
        return fail(
            TENSORRT,
            "neither TensorRT nor onnxruntime can be imported",
            interpreter.broken.get("onnxruntime")
            or f"{interpreter.path} -m pip install onnxruntime",
        )
    observation = f"not used; onnxruntime {version} computes on the CPU"
    if jetson.is_jetson:
        return warn(
            TENSORRT, f"{observation}, some forty times slower", "set MAMMOSONO_RUNTIME=auto"
        )
    return note(TENSORRT, observation)


def _absent(interpreter: Interpreter, jetson: Jetson) -> str:
    if jetson.release_line == 32 and numbers(interpreter.version)[:2] != (3, 6):
        return "set MAMMOSONO_WORKER_PYTHON=/usr/bin/python3.6: NVIDIA made it for that one alone"
    if jetson.is_jetson:
        return (
            "use the image of Dockerfile.l4t with --runtime nvidia; on the host itself: "
            "sudo apt-get install python3-libnvinfer, and PyCUDA by pip"
        )
    return "install it, or set MAMMOSONO_RUNTIME=onnxruntime"
