"""How large the numbers inside the graphs become: FP16 ends at 65504."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from mammosono.appliance.pipeline.detector.detector import Detector, DetectorStages
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.engines.bundle import Bundle, read_stage
from mammosono.engines.interface import Engine, Tensor
from mammosono.tools.export.mixed import half_tensors
from mammosono.tools.export.parity_tensors import EVERY
from mammosono.tools.export.variant import alone, variant

BOUND = 3e4
"""Largest magnitude allowed: half of what FP16 holds is left to images that were not tried."""
_PEAK = ".peak"

Peaks = dict[str, dict[str, float]]
"""By stage and tensor, the largest magnitude."""


def peaks(
    bundle: Bundle,
    canvases: Sequence[NDArray[np.float32]],
    geometry: Geometry,
    noisy: Mapping[str, Sequence[NDArray[np.float32]]],
    stages: DetectorStages | None = None,
) -> Peaks:
    """The largest magnitude, over all canvases [H, W], of every tensor that is FP16 on a device.

    noisy: [1, 1, H, W], for each denoiser's stage. stages: as Detector takes them.
    Raises EngineFault if a stage answers with NaN or Inf, EngineUnavailable.
    """
    graphs = {name: onnx.load_from_string(read_stage(s)) for name, s in bundle.stages.items()}
    watched = {
        name: with_peaks(graph, sorted(half_tensors(graph, bundle.stages[name].fp32)))
        for name, graph in graphs.items()
    }
    with TemporaryDirectory() as folder:
        engine = alone(variant(bundle, watched, Path(folder)))
        watching = _Watching(engine)
        try:
            for canvas in canvases:
                Detector(watching, geometry, stages).detect(canvas, EVERY)
            for stage, tensors in noisy.items():
                for tensor in tensors:
                    watching.run(stage, {"noisy": tensor})
        finally:
            engine.close()
    return watching.seen


def with_peaks(graph: ModelProto, tensors: Sequence[str]) -> ModelProto:
    """The graph with the largest magnitude of each named tensor as one more output, a scalar."""
    watched = ModelProto()
    watched.CopyFrom(graph)
    for name in tensors:
        magnitude, peak = f"{name}.magnitude", name + _PEAK
        watched.graph.node.append(helper.make_node("Abs", [name], [magnitude], magnitude))
        watched.graph.node.append(
            helper.make_node("ReduceMax", [magnitude], [peak], peak, keepdims=0)
        )
        watched.graph.output.append(helper.make_tensor_value_info(peak, TensorProto.FLOAT, []))
    return watched


class _Watching(Engine):
    """Another engine, the largest of its peaks written down and left out of the answers."""

    def __init__(self, engine: Engine) -> None:
        self.runtime = engine.runtime
        self.seen: Peaks = {}
        self._engine = engine

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        outputs = self._engine.run(stage, inputs, keep)
        seen = self.seen.setdefault(stage, {})
        for name in [name for name in outputs if name.endswith(_PEAK)]:
            value = float(np.asarray(outputs.pop(name)))
            tensor = name.removesuffix(_PEAK)
            seen[tensor] = max(seen.get(tensor, 0.0), value)
        return outputs

    def close(self) -> None:
        self._engine.close()


def too_large(graph: ModelProto, seen: Mapping[str, float]) -> list[str]:
    """In words, each node of one stage whose output passed the bound."""
    maker = {name: node for node in graph.graph.node for name in node.output}
    return [
        f"node {maker[name].name} ({maker[name].op_type}) reaches {peak:.3g}, more than {BOUND:.0e}"
        if name in maker
        else f"input {name} reaches {peak:.3g}, more than {BOUND:.0e}"
        for name, peak in seen.items()
        if not peak <= BOUND
    ]
