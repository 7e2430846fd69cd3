"""Run as the device would read with it: its network in torch behind the device's own reader.

For judging runs against each other before one is exported. Nothing has been calibrated: a score is
the mean of the whole image's and the most malignant region's, a finding is shown as in validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.denoise import denoise
from mammosono.appliance.pipeline.detector.detector import DetectorStages
from mammosono.appliance.pipeline.model import BundleModel, ModalityModel, Normalisation
from mammosono.appliance.pipeline.prepare import RemoveNoise
from mammosono.appliance.values import DenoiseRecord, Modality, ModelInfo, Scoring
from mammosono.engines.interface import Engine
from mammosono.tools.denoiser.training import best_denoiser
from mammosono.tools.denoiser.validation import with_network
from mammosono.tools.evaluation.roles import Roles
from mammosono.tools.export.calibrate import LOWEST
from mammosono.tools.network.config import TrainConfig
from mammosono.tools.network.torch_engine import TorchEngine
from mammosono.tools.training.checkpoint import (
    BadRun,
    best_network,
    config_entry,
    config_of,
    sha256_of,
)
from mammosono.tools.training.validate import FINDING_THRESHOLD

NETWORK = "run"
HALF = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class OpenRun:
    """engine, model, remove: what mammosono.appliance.pipeline.reader.Reader is made of.

    sources: what it learned from, empty where it does not say; split_sha256: of their division;
    fold: what it held back, as "K/N".
    """

    engine: Engine
    model: BundleModel
    remove: RemoveNoise
    config: TrainConfig
    sources: tuple[str, ...]
    split_sha256: str | None
    fold: str | None

    @property
    def roles(self) -> Roles:
        trained = frozenset(self.sources) if self.sources else None
        return Roles(trained, frozenset(self.config.class_free))


def sources_of(runs: Path | Mapping[Modality, Path]) -> tuple[str, ...]:
    """What a run, or one of each modality, learned from. Raises BadRun if one does not say."""
    names: dict[str, None] = {}
    for run in [runs] if isinstance(runs, Path) else runs.values():
        data = config_entry(run)["data"]
        if not data:
            raise BadRun(f"{run.name} does not say what it learned from: name --source")
        names |= dict.fromkeys(data["sources"])
    return tuple(names)


def open_run(run: Path, denoiser: Path | None = None) -> OpenRun:
    """The best weights of a run folder; denoiser: the run that denoised its mammograms, if one did.

    Raises BadRun, also if the mammograms were denoised by another one.
    """
    entry = config_entry(run)
    config, data = config_of(entry), entry["data"] or {}
    own = denoiser and sha256_of(denoiser / "best.pt")
    if data.get("denoiser_sha256") != own and "MG" in config.modalities:
        raise BadRun(
            f"{run.name}: its mammograms were denoised otherwise: give the same --denoiser"
        )
    engine = TorchEngine(best_network(run, config.network))
    return OpenRun(
        engine,
        _model(run.resolve().name, engine.runtime, config),
        _removing(denoiser),
        config,
        tuple(data.get("sources", ())),
        data.get("split_sha256"),
        data.get("fold"),
    )


def _model(name: str, runtime: str, config: TrainConfig) -> BundleModel:
    own = ModalityModel(
        network=NETWORK,
        stages=DetectorStages(),
        geometry=config.network.geometry,
        normalisation=Normalisation(config.percentiles, config.mean, config.std),
        denoiser=None,
        finding_threshold=FINDING_THRESHOLD,
        scoring=Scoring(head_weight=HALF, region_floor=LOWEST, operating_point=HALF),
    )
    points: dict[str, float] = dict.fromkeys(config.modalities, HALF)
    info = ModelInfo(name, "run", "", runtime, points)
    return BundleModel(info, {Modality(code): own for code in config.modalities})


def _removing(denoiser: Path | None) -> RemoveNoise:
    gaussian = with_network(best_denoiser(denoiser)[0]) if denoiser else None

    def remove(
        working: NDArray[np.float32], modality: Modality, peak: float
    ) -> tuple[NDArray[np.float32], DenoiseRecord]:
        return denoise(working, modality, peak=peak, threads=1, gaussian=gaussian)

    return remove
