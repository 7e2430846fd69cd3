"""A denoiser's run as the stage `denoise_mg` of a bundle."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mammosono.appliance.pipeline.denoise.network import STAGE
from mammosono.engines.interface import Engine
from mammosono.tools.denoiser.network import Denoiser
from mammosono.tools.export.graphs import export_stage
from mammosono.tools.export.parity import BOUND, ParityError


def export_denoiser(
    network: Denoiser, size: tuple[int, int], folder: Path, file: str = f"{STAGE}.onnx"
) -> dict[str, Any]:
    """Write the graph for pictures of this size (height, width) and return its manifest entry.

    Raises ValueError if the network cannot take the size.
    """
    multiple = 2 ** len(network.down)
    if size[0] % multiple or size[1] % multiple:
        raise ValueError(f"the denoiser's input must be multiples of {multiple}, not {size}")
    return export_stage(network, {"noisy": torch.zeros(1, 1, *size)}, folder / file)


def compare_denoiser(
    network: Denoiser, engine: Engine, noisy: Iterable[NDArray[Any]], stage: str = STAGE
) -> dict[str, float]:
    """Largest relative difference between torch and the graph over these inputs [1, 1, H, W].

    Raises ParityError above `mammosono.tools.export.parity.BOUND`, and where there is no input.
    """
    key = f"{stage}.noise"
    worst: float | None = None
    for tensor in noisy:
        with torch.inference_mode():
            wanted = network.eval()(torch.from_numpy(tensor)).numpy()
        got = np.asarray(engine.run(stage, {"noisy": tensor})["noise"])
        difference = float(np.abs(got - wanted).max() / max(np.abs(wanted).max(), 1e-6))
        # Unlike max, this keeps a NaN, which the bound then refuses.
        worst = difference if worst is None else float(np.maximum(worst, difference))
    if worst is None:
        raise ParityError("no mammogram to compare the denoiser's graph on: give validation images")
    if not worst <= BOUND:
        raise ParityError(f"{key} differs by {worst:.2e}, more than {BOUND:.0e}")
    return {key: worst}
