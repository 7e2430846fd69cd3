"""Probes of a bundle's graphs: engines that record what passes through them, a bundle with other
graphs in the place of its own, and the largest magnitudes that its tensors reach.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from mammosono.appliance.pipeline.detector.detector import Detector, DetectorStages
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.appliance.pipeline.model import BundleModel
from mammosono.engines.bundle import Bundle, read_stage
from mammosono.engines.interface import Engine, Tensor
from mammosono.engines.onnx_engine import OnnxEngine
from mammosono.tools.export.graphs import specs
from mammosono.tools.export.mixed import half_tensors

EVERY = 0.0
"""A finding threshold that leaves the masks stage something to do, whatever the weights."""
RANGE_BOUND = 3e4
"""Largest magnitude allowed: half of what FP16 holds (65504) is left to images not tried."""
_PEAK = ".peak"

Peaks = dict[str, dict[str, float]]
"""By stage and tensor, the largest magnitude."""


def peaks(
    bundle: Bundle,
    canvases: Sequence[NDArray[np.float32]],
    geometry: Geometry | None,
    single: Mapping[str, Sequence[NDArray[np.float32]]],
    stages: DetectorStages | None = None,
) -> Peaks:
    """The largest magnitude, over all canvases [H, W], of every tensor that is FP16 on a device.

    geometry: of the canvases' network; None where there are none. single: inputs of each stage
    that has but one, a denoiser's or the kind's. stages: as Detector takes them.
    Raises EngineFault if a stage answers with NaN or Inf, EngineUnavailable.
    """
    graphs = {name: onnx.load_from_string(read_stage(s)) for name, s in bundle.stages.items()}
    watched = {
        name: with_peaks(graph, sorted(half_tensors(graph, bundle.stages[name].fp32)))
        for name, graph in graphs.items()
    }
    with TemporaryDirectory() as folder:
        engine = alone(variant(bundle, watched, Path(folder)))
        recorder = _PeakRecorder(engine)
        try:
            if geometry is not None:
                detector = Detector(recorder, geometry, stages)
                for canvas in canvases:
                    detector.detect(canvas, EVERY)
            for stage, tensors in single.items():
                (name,) = bundle.stages[stage].inputs
                for tensor in tensors:
                    recorder.run(stage, {name: tensor})
        finally:
            engine.close()
    return recorder.peaks


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


class _PeakRecorder(Engine):
    """Another engine, the largest of its peaks written down and left out of the answers."""

    def __init__(self, engine: Engine) -> None:
        self.runtime = engine.runtime
        self.peaks: Peaks = {}
        self._engine = engine

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        outputs = self._engine.run(stage, inputs, keep)
        largest = self.peaks.setdefault(stage, {})
        for name in [name for name in outputs if name.endswith(_PEAK)]:
            value = float(np.asarray(outputs.pop(name)))
            tensor = name.removesuffix(_PEAK)
            largest[tensor] = max(largest.get(tensor, 0.0), value)
        return outputs

    def close(self) -> None:
        self._engine.close()


def too_large(graph: ModelProto, peaks: Mapping[str, float]) -> list[str]:
    """In words, each node of one stage whose output passed the bound."""
    maker = {name: node for node in graph.graph.node for name in node.output}
    return [
        (f"node {maker[name].name} ({maker[name].op_type})" if name in maker else f"input {name}")
        + f" reaches {peak:.3g}, more than {RANGE_BOUND:.0e}"
        for name, peak in peaks.items()
        if not peak <= RANGE_BOUND
    ]


def alone(bundle: Bundle) -> OnnxEngine:
    """On one thread: sums in one order whatever the machine, and no waiting on a busy one."""
    return OnnxEngine(bundle, threads=1)


class RenamedStages(Engine):
    """An engine whose stages are called by a network's own names."""

    def __init__(self, engine: Engine, names: Mapping[str, str]) -> None:
        """names: the engine's name of each."""
        self.runtime = engine.runtime
        self._engine, self._names = engine, names

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        return self._engine.run(self._names[stage], inputs, keep)

    def close(self) -> None:
        """The engine inside is its owner's."""


def variant(bundle: Bundle, graphs: Mapping[str, ModelProto], folder: Path) -> Bundle:
    """`bundle` with these graphs by stage, written into `folder`; all else is as it was."""
    stages = dict(bundle.stages)
    for name, graph in graphs.items():
        data = graph.SerializeToString()
        file = folder / f"{name}.onnx"
        file.write_bytes(data)
        stages[name] = stages[name]._replace(
            path=str(file.resolve()),
            sha256=hashlib.sha256(data).hexdigest(),
            inputs=specs(graph.graph.input),
            outputs=specs(graph.graph.output),
        )
    return bundle._replace(stages=stages)


class DenoiserInputs(Engine):
    """Another engine; `noisy` holds, by stage, each input [1, 1, H, W] of the model's denoisers."""

    def __init__(self, engine: Engine, model: BundleModel) -> None:
        self.runtime = engine.runtime
        self.noisy: dict[str, list[NDArray[Any]]] = {
            own.denoiser: [] for own in model.modalities.values() if own.denoiser is not None
        }
        self._engine = engine

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        if stage in self.noisy:
            self.noisy[stage].append(np.array(inputs["noisy"]))
        return self._engine.run(stage, inputs, keep)

    def close(self) -> None:
        self._engine.close()
