"""What the denoiser's stage is fed while images are prepared: for whoever looks into that stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.denoise.network import STAGE
from mammosono.engines.interface import Engine, Tensor


class Overheard(Engine):
    """Another engine; `noisy` holds each input [1, 1, H, W] of its stage `denoise_mg`, in order."""

    def __init__(self, engine: Engine) -> None:
        self.runtime = engine.runtime
        self.noisy: list[NDArray[Any]] = []
        self._engine = engine

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        if stage == STAGE:
            self.noisy.append(np.array(inputs["noisy"]))
        return self._engine.run(stage, inputs, keep)

    def close(self) -> None:
        self._engine.close()
