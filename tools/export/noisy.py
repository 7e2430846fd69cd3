"""What a denoiser's stage is fed while images are prepared: for whoever looks into that stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.model import Model
from mammosono.engines.interface import Engine, Tensor


class Overheard(Engine):
    """Another engine; `noisy` holds, by stage, each input [1, 1, H, W] of the model's denoisers."""

    def __init__(self, engine: Engine, model: Model) -> None:
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
