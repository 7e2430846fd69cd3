"""The engine of a bundle: its runtime, in this process or in a worker's."""

import importlib

from mammosono.engines.bundle import Bundle, require_pinned, with_variant
from mammosono.engines.errors import EngineUnavailable
from mammosono.engines.interface import Engine
from mammosono.engines.options import RUNTIMES, EngineOptions

DEFAULT = EngineOptions()


def open_engine(bundle: Bundle, options: EngineOptions = DEFAULT) -> Engine:
    """Raises EngineUnavailable or BundleError with the remedy."""
    if options.runtime not in RUNTIMES:
        raise EngineUnavailable(
            "no runtime %r; use one of: %s" % (options.runtime, ", ".join(RUNTIMES))
        )
    require_pinned(bundle, options.bundle_sha256)
    if options.worker_python is not None:
        from mammosono.engines.worker.supervisor import SupervisedEngine

        return SupervisedEngine(bundle, options)
    if options.variant is not None:
        bundle = with_variant(bundle, options.variant)
    runtime = options.runtime
    if runtime == "auto":
        runtime = "tensorrt" if _installed("tensorrt") else "onnxruntime"
    if runtime == "tensorrt":
        from mammosono.engines.trt.engine import TensorRtEngine
        from mammosono.engines.trt.plan import plans_of

        return TensorRtEngine(bundle, options.plans or plans_of(bundle))
    from mammosono.engines.onnx_engine import OnnxEngine

    return OnnxEngine(bundle, options.threads)


def _installed(module: str) -> bool:
    # Not find_spec: a module whose libraries do not load is no runtime either.
    try:
        importlib.import_module(module)
    except Exception:  # an extension module raises what it likes
        return False
    return True
