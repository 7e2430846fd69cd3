"""Builder of TensorRT-RTX: a real parse and build, by TensorRT's own parser, without a GPU.

It proves that today's TensorRT takes a graph; for 8.2 the rules stand in (rules.py). It takes
type errors that onnxruntime refuses, so it is no substitute for loading a graph there.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


def runtime() -> ModuleType | None:
    """The module, or None where it is not installed or does not load."""
    try:
        return importlib.import_module("tensorrt_rtx")
    except (ImportError, OSError):
        return None


class Builder:
    """One for all graphs: a process has one TensorRT log, its first builder's."""

    def __init__(self, trt: Any) -> None:
        self.version: str = trt.__version__
        self._trt, self._logged = trt, list[str]()
        errors_logged, levels = self._logged, (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR)

        class Log(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in levels:
                    errors_logged.append(message)

        self._log = Log()
        self._builder = trt.Builder(self._log)

    def refusals(self, data: bytes) -> list[str]:
        """Parse and build a graph; what is refused, with the node where it is known."""
        self._logged.clear()
        network = self._builder.create_network(0)
        parser = self._trt.OnnxParser(network, self._log)
        if not parser.parse(data):
            errors = (parser.get_error(k) for k in range(parser.num_errors))
            return [f"node {error.node_name() or '?'}: {error.desc()}" for error in errors] or [
                "it is not parsed"
            ]
        config = self._builder.create_builder_config()
        if self._builder.build_serialized_network(network, config) is None:
            return self._logged or ["it is parsed but not built"]
        return []
