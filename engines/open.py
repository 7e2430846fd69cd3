"""Which runtime runs a bundle on this machine."""

import importlib
from typing import Optional

from mammosono.engines.bundle import Bundle
from mammosono.engines.errors import EngineUnavailable
from mammosono.engines.interface import Engine

RUNTIMES = ("auto", "tensorrt", "onnxruntime")


def open_engine(
    bundle: Bundle,
    threads: Optional[int] = None,
    runtime: str = "auto",
    plans: Optional[str] = None,
) -> Engine:
    """The engine of a bundle in this process.

    threads: of the CPU, for onnxruntime; every core if None.
    runtime: "tensorrt", "onnxruntime", or "auto": TensorRT where its module is installed. A box
        that has TensorRT never falls back to its CPU unasked: it would answer, forty times slower.
    plans: folder of the plans built on this device; `plans` in the bundle's own folder if None.

    Raises EngineUnavailable or BundleError with the remedy.
    """
    if runtime not in RUNTIMES:
        raise EngineUnavailable("no runtime %r; use one of: %s" % (runtime, ", ".join(RUNTIMES)))
    if runtime == "auto":
        runtime = "tensorrt" if _installed("tensorrt") else "onnxruntime"
    if runtime == "tensorrt":
        from mammosono.engines.trt.engine import TensorRtEngine
        from mammosono.engines.trt.plan import plans_of

        return TensorRtEngine(bundle, plans or plans_of(bundle))
    from mammosono.engines.onnx_engine import OnnxEngine

    return OnnxEngine(bundle, threads)


def _installed(module: str) -> bool:
    # Not find_spec: a module whose libraries do not load is no runtime either.
    try:
        importlib.import_module(module)
    except Exception:  # an extension module raises what it likes
        return False
    return True
