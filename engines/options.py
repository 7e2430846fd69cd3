"""Options of an engine: one value from the settings to the process that computes."""

import json
from typing import NamedTuple, Optional

from mammosono.engines.errors import EngineUnavailable

RUNTIMES = ("auto", "tensorrt", "onnxruntime")


class EngineOptions(NamedTuple):
    """How and where a bundle is run.

    runtime: "tensorrt", "onnxruntime", or "auto": TensorRT where its module is installed. A
        machine that has TensorRT never falls back to its CPU unasked: it would answer, forty
        times slower.
    threads: of the CPU, for onnxruntime; every core if None.
    plans: folder of the TensorRT plans built on this device; the bundle's own `plans` if None.
    variant: of the graphs, where a stage has it; None runs the graphs themselves. TensorRT then
        takes no plan but one built from that variant.
    worker_python: an interpreter that runs the engine in a process of its own (on the Jetson Nano
        /usr/bin/python3.6, which alone has NVIDIA's module); None computes in this process.
    bundle_sha256: of the one bundle that may be opened; None permits any.
    run_deadline_s: seconds after which a worker that computes one stage counts as hung.
    """

    runtime: str = "auto"
    threads: Optional[int] = None
    plans: Optional[str] = None
    variant: Optional[str] = None
    worker_python: Optional[str] = None
    run_deadline_s: float = 60.0
    bundle_sha256: Optional[str] = None


def to_json(options: EngineOptions) -> str:
    """One line, for an argument or a message of another process."""
    return json.dumps(options._asdict(), sort_keys=True)


def from_json(text: str) -> EngineOptions:
    """Raises EngineUnavailable if it is not what `to_json` of this version writes."""
    try:
        options = EngineOptions(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise EngineUnavailable(
            "the engine's options cannot be read; install the same version on both sides"
        ) from error
    if options.runtime not in RUNTIMES:
        raise EngineUnavailable(
            "no runtime %r; use one of: %s" % (options.runtime, ", ".join(RUNTIMES))
        )
    return options
