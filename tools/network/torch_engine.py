"""Torch engine: the network behind the engine interface, for the device's code to drive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mammosono.engines.errors import EngineFault
from mammosono.engines.interface import DeviceTensor, Engine, Tensor
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.network.stages import HeadsStage, MasksStage, TrunkStage


class TorchEngine(Engine):
    """Runs the three stages of a network in evaluation mode, on the network's own device.

    The network itself is put into evaluation mode and is not copied.
    """

    def __init__(self, network: RefinedMaskRcnn) -> None:
        self.runtime = f"torch {torch.__version__}"
        self._stages: dict[str, TrunkStage | HeadsStage | MasksStage] = {
            "trunk": TrunkStage(network).eval(),
            "heads": HeadsStage(network).eval(),
            "masks": MasksStage(network).eval(),
        }
        self._device = next(network.parameters()).device

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        module = self._stages.get(stage)
        if module is None or set(inputs) != set(module.inputs):
            raise EngineFault(f"no stage {stage} takes {', '.join(sorted(inputs))}")
        with torch.inference_mode():
            answers = module(*(self._tensor(inputs[name]) for name in module.inputs))
        outputs: dict[str, Tensor] = {}
        for name, value in zip(module.outputs, answers, strict=True):
            if name in keep:
                outputs[name] = DeviceTensor(value, tuple(value.shape))
            else:
                array: NDArray[np.float32] = value.float().cpu().numpy()
                if not np.isfinite(array).all():
                    raise EngineFault(f"output {name} of stage {stage} holds NaN or Inf")
                outputs[name] = array
        return outputs

    def close(self) -> None:
        self._stages.clear()

    def _tensor(self, value: Tensor) -> torch.Tensor:
        if isinstance(value, DeviceTensor):
            handle: torch.Tensor = value.handle
            return handle
        return torch.from_numpy(np.ascontiguousarray(value)).to(self._device)
