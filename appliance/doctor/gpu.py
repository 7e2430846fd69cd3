"""The GPU and TensorRT, as the Python that runs the engine sees them."""

from __future__ import annotations

from mammosono.appliance.doctor.check_result import Line, fail, note, ok, warn
from mammosono.appliance.doctor.interpreter import Interpreter, numbers
from mammosono.appliance.doctor.jetson import Board

GPU = "GPU"
TENSORRT = "TensorRT"

_TRIED = {"5.3", "6.2", "7.2", "8.7"}
"""Compute capabilities of the Jetsons: Nano, TX2, Xavier, Orin."""
_OLDEST = (8, 2)


def gpu(interpreter: Interpreter, board: Board, *, tensorrt: bool) -> Line:
    device = interpreter.device
    if device is None:
        if not tensorrt:
            return note(GPU, "none is used: the network runs on the CPU")
        # Our own errors bring a remedy; here it is that of the box.
        reason = (interpreter.no_device or interpreter.failure).partition("; ")[0] or "none is here"
        return fail(
            GPU,
            f"cannot be used: {reason}",
            "start the container with --runtime nvidia and group video; see device nodes"
            if board.jetson
            else "install NVIDIA's driver, or set MAMMOSONO_RUNTIME=onnxruntime",
        )
    said = f"{device.gpu}, SM {device.compute_capability}"
    if board.jetson and device.compute_capability not in _TRIED:
        return warn(
            GPU,
            f"{said}: this software was not tried on it",
            "look at the parity figures of build-engine before use",
        )
    return ok(GPU, said)


def tensorrt(interpreter: Interpreter, board: Board, *, used: bool) -> Line:
    """used: that TensorRT is to compute; otherwise onnxruntime must be there."""
    if interpreter.failure:
        return note(TENSORRT, "not looked at: its Python does not start")
    if not used:
        return _onnxruntime(interpreter, board)
    version = interpreter.modules.get("tensorrt")
    for module in ("tensorrt", "pycuda"):
        if module in interpreter.broken:
            return fail(
                TENSORRT,
                f"{module} is installed but cannot be imported: {interpreter.broken[module]}",
                _absent(interpreter, board),
            )
        if module not in interpreter.modules:
            return fail(
                TENSORRT,
                f"{module} is not installed for Python {interpreter.version or 'of the worker'}",
                _absent(interpreter, board),
            )
    assert version is not None
    if numbers(version) < _OLDEST:
        return fail(TENSORRT, f"{version} is too old", "flash JetPack 4.6.1 or later")
    return ok(TENSORRT, f"{version}, PyCUDA {interpreter.modules['pycuda']}")


def _onnxruntime(interpreter: Interpreter, board: Board) -> Line:
    version = interpreter.modules.get("onnxruntime")
    if version is None:
        return fail(
            TENSORRT,
            "neither TensorRT nor onnxruntime can be imported",
            interpreter.broken.get("onnxruntime")
            or f"{interpreter.path} -m pip install onnxruntime",
        )
    said = f"not used; onnxruntime {version} computes on the CPU"
    if board.jetson:
        return warn(TENSORRT, f"{said}, some forty times slower", "set MAMMOSONO_RUNTIME=auto")
    return note(TENSORRT, said)


def _absent(interpreter: Interpreter, board: Board) -> str:
    if board.line == 32 and numbers(interpreter.version)[:2] != (3, 6):
        return "set MAMMOSONO_WORKER_PYTHON=/usr/bin/python3.6: NVIDIA made it for that one alone"
    if board.jetson:
        return (
            "use the image of Dockerfile.l4t with --runtime nvidia; on the host itself: "
            "sudo apt-get install python3-libnvinfer, and PyCUDA by pip"
        )
    return "install it, or set MAMMOSONO_RUNTIME=onnxruntime"
