"""Where the network is computed: in this process or in a worker's, by TensorRT or onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mammosono.engines.bundle import Bundle
from mammosono.engines.interface import Engine
from mammosono.engines.open import open_engine

RuntimeName = Literal["auto", "tensorrt", "onnxruntime"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """threads: CPU threads of the network; one for each core if None.

    name: "auto" is TensorRT where its module is installed, else onnxruntime.
    plans: folder of the TensorRT plans built on this device; the bundle's own `plans` if None.
    worker_python: an interpreter that runs the engine in a process of its own (on the Jetson Nano
        /usr/bin/python3.6, which alone has NVIDIA's module); None computes in this process.
    run_deadline_s: seconds after which a worker that computes one stage counts as hung.
    """

    threads: int | None = None
    name: RuntimeName = "auto"
    plans: Path | None = None
    worker_python: Path | None = None
    run_deadline_s: float = 60.0

    def open(self, bundle: Bundle) -> Engine:
        """Raises mammosono.engines.errors.BundleError or EngineUnavailable."""
        plans = str(self.plans) if self.plans else None
        if self.worker_python is None:
            return open_engine(bundle, self.threads, self.name, plans)
        from mammosono.engines.worker.supervisor import SupervisedEngine

        return SupervisedEngine(
            str(self.worker_python),
            bundle,
            plans=plans,
            threads=self.threads,
            runtime=self.name,
            run_deadline_s=self.run_deadline_s,
        )
