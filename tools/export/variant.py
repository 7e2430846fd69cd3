"""A bundle with other graphs in the place of its own, and the engine to look into either."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from onnx import ModelProto

from mammosono.engines.bundle import Bundle
from mammosono.engines.interface import Engine, Tensor
from mammosono.engines.onnx_engine import OnnxEngine
from mammosono.tools.export.graphs import specs


def alone(bundle: Bundle) -> OnnxEngine:
    """On one thread: sums in one order whatever the machine, and no waiting on a busy one."""
    return OnnxEngine(bundle, threads=1)


class Named(Engine):
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
