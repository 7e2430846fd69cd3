"""Inputs and right answers of every stage, stored in a bundle: a freshly built plan is tried on
them, on a device that has numpy and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.intake import read_image
from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.output.render import grey_png
from mammosono.appliance.phantoms.demo import demo_phantom
from mammosono.appliance.pipeline.detector.detector import Detector
from mammosono.appliance.pipeline.model import model_of
from mammosono.appliance.pipeline.prepare import denoiser, prepare
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.values import SourceImage
from mammosono.engines.bundle import Bundle
from mammosono.engines.interface import DeviceTensor, Engine, Tensor
from mammosono.tools.export.variant import alone

CASES = {modality.value.lower(): modality for modality in MODALITIES}
"""By name, the modality of a phantom of the demo."""
EVERY = 0.0
"""A finding threshold that leaves the masks stage something to do, whatever the weights."""


def phantom_image(case: str) -> SourceImage:
    """One of CASES, as the appliance takes it in."""
    modality = CASES[case]
    return read_image(grey_png(demo_phantom(modality).pixels), modality)


def parity_tensors(bundle: Bundle) -> dict[str, NDArray[Any]]:
    """`<case>/<stage>/in/<tensor>` and `<case>/<stage>/out/<tensor>`: floats float16, rows int32.

    The answers are those of the FP32 graphs to exactly the inputs as they are stored. An input
    without a tensor is what an earlier stage of the case kept under that name (the pyramid). A
    denoiser's stage has the case alone of the modality that it denoises.
    Raises ValueError if a stage was not reached or answered with more than float16 holds;
    EngineError, ModelUnavailable.
    """
    stored: dict[str, NDArray[Any]] = {}
    engine = alone(bundle)
    try:
        model = model_of(bundle, engine.runtime)
        denoisers = {own.denoiser for own in model.modalities.values()}
        for case, modality in CASES.items():
            if modality not in model.modalities:
                continue
            own = model.of(modality)
            recorder = _Recorder(engine, case, stored)
            remove = denoiser(recorder, model, 1)
            canvas = prepare(phantom_image(case), model, remove, Stopwatch()).canvas
            Detector(recorder, own.geometry, own.stages).detect(canvas, EVERY)
            for stage in bundle.networks[own.network].stages.values():
                if stage in denoisers and stage != own.denoiser:
                    continue
                if not any(name.startswith(f"{case}/{stage}/out/") for name in stored):
                    raise ValueError(f"stage {stage} finds nothing to do on the {case} phantom")
    finally:
        engine.close()
    return stored


class _Recorder(Engine):
    """Another engine, its float inputs rounded to float16, all that passes written down."""

    def __init__(self, engine: Engine, case: str, stored: dict[str, NDArray[Any]]) -> None:
        self.runtime = engine.runtime
        self._engine, self._case, self._stored = engine, case, stored

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        self._store(f"{self._case}/{stage}/in", inputs)
        outputs = self._engine.run(stage, {n: _rounded(v) for n, v in inputs.items()}, keep)
        self._store(f"{self._case}/{stage}/out", outputs)
        return outputs

    def _store(self, where: str, tensors: Mapping[str, Tensor]) -> None:
        for name, value in tensors.items():
            if not isinstance(value, DeviceTensor):
                self._stored[f"{where}/{name}"] = _short(value, f"{where}/{name}")

    def close(self) -> None:
        self._engine.close()


def _short(value: NDArray[Any], name: str) -> NDArray[Any]:
    if not np.issubdtype(value.dtype, np.floating):
        return value
    with np.errstate(over="ignore"):
        short = value.astype(np.float16)
    if not np.isfinite(short).all():
        raise ValueError(f"{name} does not fit into float16; such a network is not for FP16")
    return short


def _rounded(value: Tensor) -> Tensor:
    if isinstance(value, DeviceTensor) or not np.issubdtype(value.dtype, np.floating):
        return value
    return np.asarray(value.astype(np.float16).astype(value.dtype))
