"""What the manifest says about using the network: geometry, grey levels, scores, thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono import engines
from mammosono.appliance.errors import ModelUnavailable
from mammosono.appliance.pipeline.denoise import network as denoising
from mammosono.appliance.pipeline.detector.frame import normalise
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.appliance.values import Modality, ModelInfo
from mammosono.engines.bundle import Bundle, open_bundle
from mammosono.engines.errors import BundleError, EngineUnavailable
from mammosono.engines.interface import Engine
from mammosono.engines.open import open_engine
from mammosono.engines.options import EngineOptions

SHIPPED = Path(engines.__file__).parent / "bundles" / "default"


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Grey levels as in training: two percentiles become 0 and 1, then (v - mean) / std."""

    percentiles: tuple[float, float]
    mean: float
    std: float

    def levels(self, working: NDArray[np.float32]) -> NDArray[np.float32]:
        """0..1"""
        return normalise(working, self.percentiles)

    def standardise(self, canvas: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the trunk is fed; the padding around the image is standardised black."""
        return np.asarray((canvas - np.float32(self.mean)) / np.float32(self.std))


@dataclass(frozen=True, slots=True)
class Model:
    """A bundle as the reader uses it.

    head_weight: by modality, the whole-image head's share in a malignancy score; the rest is the
    finding's own. finding_threshold: lowest lesion score of a finding that is reported.
    All chosen on validation data.
    denoises: the bundle has a stage that denoises mammograms.
    """

    info: ModelInfo
    geometry: Geometry
    normalisation: Normalisation
    head_weight: Mapping[Modality, float]
    finding_threshold: Mapping[Modality, float]
    operating_point: Mapping[Modality, float]
    denoises: bool = False


def open_model(folder: Path | None, options: EngineOptions) -> tuple[Engine, Model]:
    """The engine and the model of a bundle folder; None is the bundle that ships with us.

    Raises ModelUnavailable if the bundle is missing, damaged or incomplete, or cannot run here.
    """
    try:
        bundle = open_bundle(folder or SHIPPED)
        engine = open_engine(bundle, options)
    except (BundleError, EngineUnavailable) as error:
        raise ModelUnavailable(str(error)) from error
    return engine, model_of(bundle, engine.runtime)


def model_of(bundle: Bundle, runtime: str) -> Model:
    """Raises ModelUnavailable if the manifest lacks a number or one makes no sense."""
    try:
        manifest: Mapping[str, Any] = bundle.manifest
        grey = manifest["normalisation"]
        points = {m: float(manifest["operating_points"][m.value]) for m in Modality}
        weights = {m: float(manifest["image_score"][m.value]["head_weight"]) for m in Modality}
        thresholds = {m: float(manifest["finding_thresholds"][m.value]) for m in Modality}
        # Written so that NaN, which json reads and no score reaches, is refused as well.
        if not all(0 <= v <= 1 for each in (points, weights, thresholds) for v in each.values()):
            raise ValueError("a threshold or weight of a score is outside 0..1")
        low, high = (float(v) for v in grey["percentiles"])
        mean, std = float(grey["mean"]), float(grey["std"])
        if not (0 <= low < high <= 100 and isfinite(mean) and 0 < std < inf):
            raise ValueError("the normalisation's numbers make no sense")
        geometry = Geometry.from_manifest(manifest["geometry"])
        return Model(
            ModelInfo(
                bundle.name,
                bundle.version,
                bundle.sha256,
                runtime,
                {m.value: point for m, point in points.items()},
            ),
            geometry,
            Normalisation((low, high), mean, std),
            weights,
            thresholds,
            points,
            _denoises(bundle, geometry),
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
        raise ModelUnavailable(
            f"the bundle's manifest cannot be used: {reason}; export the bundle anew"
        ) from error


def _denoises(bundle: Bundle, geometry: Geometry) -> bool:
    stage = bundle.stages.get(denoising.STAGE)
    if stage is None:
        return False
    picture = ("float32", (1, 1, *geometry.input_size))
    if (dict(stage.inputs), dict(stage.outputs)) != ({"noisy": picture}, {"noise": picture}):
        raise ValueError(f"stage {stage.name} does not fit the network's input")
    return True
