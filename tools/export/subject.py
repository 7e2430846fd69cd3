"""Subject of check-graphs: an opened bundle, and the result of one check of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from mammosono.appliance.pipeline.kind import look
from mammosono.appliance.pipeline.model import BundleModel, ModalityModel, model_of
from mammosono.appliance.pipeline.prepare import denoiser, prepare
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.values import Modality, SourceImage
from mammosono.engines.bundle import Bundle, open_bundle, read_file, read_stage
from mammosono.engines.trt.plan import MIXED
from mammosono.tools.export.probes import DenoiserInputs, alone

CheckState = Literal["ok", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """bundle: name and version. stage: "" for the whole bundle. said: figures, or fault."""

    bundle: str
    stage: str
    what: str
    state: CheckState
    said: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkSubject:
    """name: "" of the only one. own: of one of its modalities; what is asked of it here is all
    their. stages: names. canvases: [H, W], each with its finding threshold."""

    name: str
    own: ModalityModel
    stages: tuple[str, ...]
    canvases: Sequence[tuple[NDArray[np.float32], float]]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """One opened bundle with all that the checks look at.

    mixed: of the stages that have one; empty where the bundle has none. canvases: [H, W], each with
    its modality.
    noisy: [1, 1, H, W], what each denoiser's stage was fed for them. looks: what the kind stage is.
    """

    bundle: Bundle
    model: BundleModel
    graphs: Mapping[str, ModelProto]
    mixed: Mapping[str, ModelProto]
    canvases: Sequence[tuple[Modality, NDArray[np.float32]]]
    noisy: Mapping[str, Sequence[NDArray[np.float32]]] = field(default_factory=dict)
    looks: Sequence[NDArray[np.float32]] = ()

    @classmethod
    def open(cls, folder: Path, images: Sequence[SourceImage]) -> Subject:
        bundle = open_bundle(folder)
        model = model_of(bundle, "check-graphs")
        graphs = {name: onnx.load_from_string(read_stage(s)) for name, s in bundle.stages.items()}
        mixed = {
            name: onnx.load_from_string(read_file(stage.variants[MIXED]))
            for name, stage in bundle.stages.items()
            if MIXED in stage.variants
        }
        # These stages alone: what is wrong with the others is for the checks to say.
        used = {own.denoiser for own in model.modalities.values()}
        denoising = {name: stage for name, stage in bundle.stages.items() if name in used}
        with closing(DenoiserInputs(alone(bundle._replace(stages=denoising)), model)) as engine:
            remove = denoiser(engine, model, 1)
            prepared = [
                (image.modality, prepare(image, model, remove, Stopwatch()))
                for image in images
                if image.modality in model.modalities
            ]
        canvases = [(modality, each.canvas) for modality, each in prepared]
        looks = [look(each.shown) for _, each in prepared if each.shown is not None]
        return cls(bundle, model, graphs, mixed, canvases, engine.noisy, looks)

    @property
    def lowered(self) -> Mapping[str, ModelProto]:
        """What half precision is built from: of each stage its mixed graph, or its FP32 one."""
        return {**self.graphs, **self.mixed}

    def networks(self) -> list[NetworkSubject]:
        """Each network with what is its own."""
        by_network = {own.network: own for own in self.model.modalities.values()}
        return [
            NetworkSubject(
                name if len(by_network) > 1 else "",
                own,
                tuple(self.bundle.networks[name].stages.values()),
                [
                    (canvas, self.model.of(modality).finding_threshold)
                    for modality, canvas in self.canvases
                    if self.model.of(modality).network == name
                ],
            )
            for name, own in by_network.items()
        ]

    def result(self, stage: str, what: str, wrong: Sequence[str], said: str = "") -> Check:
        return self._check(stage, what, "fail" if wrong else "ok", tuple(wrong) or (said,))

    def skipped(self, what: str, why: str) -> Check:
        return self._check("", what, "skipped", (why,))

    def _check(self, stage: str, what: str, state: CheckState, said: tuple[str, ...]) -> Check:
        name = f"{self.bundle.name} {self.bundle.version}"
        return Check(name, stage, what, state, tuple(line for line in said if line))
