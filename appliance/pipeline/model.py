"""Model of a bundle: for each modality the network, grey levels, scores and thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono import engines
from mammosono.appliance.errors import ModalityNotRead, ModelUnavailable
from mammosono.appliance.modality import MODALITIES, Physics
from mammosono.appliance.pipeline.detector.detector import Detector, DetectorStages
from mammosono.appliance.pipeline.detector.frame import normalise
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.appliance.pipeline.kind import KindModel, kind_model
from mammosono.appliance.values import BreastScoring, Calibration, Modality, ModelInfo, Scoring
from mammosono.engines.bundle import Bundle, Stage, open_bundle
from mammosono.engines.errors import BundleError, EngineUnavailable
from mammosono.engines.interface import Engine
from mammosono.engines.open import open_engine
from mammosono.engines.options import EngineOptions

KIND = "refined-mask-rcnn/1"
"""Of the bundles that this appliance reads: the stages of the Detector, and how they answer."""
RULE = "head-and-region"
"""How an image's score is made of the network's answers: `pipeline.scoring`."""
_BY_FINDING = "head-and-finding"
"""The same in bundles up to 1.3.0: only what is shown as a finding counts, uncalibrated."""

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
class ModalityModel:
    """How the images of one modality are read.

    network: the manifest's name of the network that reads them; stages: its stages' names.
    denoiser: the stage that denoises these images; None is the appliance's own way.
    finding_threshold: lowest lesion score of a finding that is reported. It and the numbers of
    scoring were chosen on images that trained nothing.
    """

    network: str
    stages: DetectorStages
    geometry: Geometry
    normalisation: Normalisation
    denoiser: str | None
    finding_threshold: float
    scoring: Scoring


@dataclass(frozen=True, slots=True)
class BundleModel:
    """A bundle as the reader uses it; `modalities` holds those that it can read.

    kind: the network that tells what an image is; None where the bundle has none.
    """

    info: ModelInfo
    modalities: Mapping[Modality, ModalityModel]
    kind: KindModel | None = None

    def everywhere(self, **changes: Any) -> BundleModel:
        """The same with these fields of every modality's changed."""
        changed = {m: replace(own, **changes) for m, own in self.modalities.items()}
        return replace(self, modalities=changed)

    def of(self, modality: Modality) -> ModalityModel:
        """Raises ModalityNotRead if the bundle holds nothing for such images."""
        if modality not in self.modalities:
            read = ", ".join(each.value for each in self.modalities)
            raise ModalityNotRead(
                f"This appliance's model reads {read} and no {modality.value}; nothing can be said "
                f"of such an image. Leave it out, or install a bundle that reads {modality.value}."
            )
        return self.modalities[modality]


def detectors(engine: Engine, model: BundleModel) -> dict[Modality, Detector]:
    """A modality's own, or one for all that a network serves."""
    each = {
        own.network: Detector(engine, own.geometry, own.stages) for own in model.modalities.values()
    }
    return {modality: each[own.network] for modality, own in model.modalities.items()}


def open_model(folder: Path | None, options: EngineOptions) -> tuple[Engine, BundleModel]:
    """The engine and the model of a bundle folder; None is the bundle that ships with us.

    Raises ModelUnavailable if the bundle is missing, damaged or incomplete, or cannot run here.
    """
    try:
        bundle = open_bundle(folder or SHIPPED)
        engine = open_engine(bundle, options)
    except (BundleError, EngineUnavailable) as error:
        raise ModelUnavailable(str(error)) from error
    return engine, model_of(bundle, engine.runtime)


def model_of(bundle: Bundle, runtime: str) -> BundleModel:
    """Raises ModelUnavailable if the bundle is of another kind, or if its manifest lacks a number
    or one makes no sense."""
    if bundle.kind != KIND:
        raise ModelUnavailable(
            f"the bundle is of kind {bundle.kind} and this version reads {KIND}; update the "
            "software or use another bundle"
        )
    try:
        modalities = {
            Modality(code): _modality_model(bundle, Modality(code), entry)
            for code, entry in bundle.modalities.items()
        }
        kind = kind_model(bundle)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
        raise ModelUnavailable(
            f"the bundle's manifest cannot be used: {reason}; export the bundle anew"
        ) from error
    if not modalities:
        raise ModelUnavailable(
            "the bundle's manifest cannot be used: it reads no modality; export the bundle anew"
        )
    points = {modality.value: each.scoring.operating_point for modality, each in modalities.items()}
    info = ModelInfo(
        bundle.name, bundle.version, bundle.sha256, runtime, points,
        {modality.value: each.network for modality, each in modalities.items()},
        {modality.value: each.geometry.input_size for modality, each in modalities.items()},
        {modality.value: each.scoring for modality, each in modalities.items()},
    )  # fmt: skip
    return BundleModel(info, modalities, kind)


def _modality_model(bundle: Bundle, modality: Modality, entry: Mapping[str, Any]) -> ModalityModel:
    name = _of(modality, entry, "network")
    if name not in bundle.networks:
        raise ValueError(f"network {name} of {modality.value} is not in the bundle")
    network = bundle.networks[name]
    geometry = Geometry.from_manifest(network.entry["geometry"])
    stages = _stages(bundle, name, geometry)
    threshold = _rate(modality, entry, "finding_threshold")
    denoiser = entry.get("denoise")
    if denoiser is not None:
        denoiser = _denoiser(bundle.stages[network.stages[denoiser]], modality, geometry)
    return ModalityModel(
        name, stages, geometry,
        _normalisation(network.entry["normalisation"]),
        denoiser, threshold, _scoring(modality, entry, threshold),
    )  # fmt: skip


def _scoring(modality: Modality, entry: Mapping[str, Any], threshold: float) -> Scoring:
    score = _of(modality, entry, "score")
    weight = _rate(modality, score, "head_weight")
    point = _rate(modality, entry, "operating_point")
    if score["rule"] == _BY_FINDING:
        return Scoring(weight, threshold, point)
    if score["rule"] != RULE:
        raise ValueError(f"the score's rule {score['rule']} of {modality.value} is unknown")
    breast = score.get("breast")
    return Scoring(
        weight, _rate(modality, score, "region_floor"), point,
        _calibration(modality, score),
        breast and BreastScoring(
            _calibration(modality, breast), _rate(modality, breast, "operating_point")
        ),
    )  # fmt: skip


def _calibration(modality: Modality, entry: Mapping[str, Any]) -> Calibration:
    own = _of(modality, entry, "calibration")
    slope, intercept = _of(modality, own, "slope"), _of(modality, own, "intercept")
    numbers = all(type(value) in (int, float) and isfinite(value) for value in (slope, intercept))
    # A slope of 0 or less would turn the scores round.
    if not numbers or slope <= 0:
        raise ValueError(f"the calibration of {modality.value} makes no sense")
    return Calibration(float(slope), float(intercept))


def _rate(modality: Modality, entry: Mapping[str, Any], key: str) -> float:
    value = _of(modality, entry, key)
    # Written so that NaN, which json reads and no score reaches, is refused as well.
    if not (type(value) in (int, float) and 0 <= value <= 1):
        raise ValueError(f"{key} of {modality.value} is no number from 0 to 1")
    return float(value)


def _of(modality: Modality, entry: Mapping[str, Any], key: str) -> Any:
    if key not in entry:
        raise KeyError(f"{key} of {modality.value}")
    return entry[key]


def _stages(bundle: Bundle, name: str, geometry: Geometry) -> DetectorStages:
    network = bundle.networks[name]
    missing = [stage for stage in DetectorStages._fields if stage not in network.stages]
    if missing:
        raise KeyError(f"stage {', '.join(missing)} of network {name}")
    stages = DetectorStages(*(network.stages[stage] for stage in DetectorStages._fields))
    for stage, shapes in zip(stages, _shapes(geometry), strict=True):
        tensors = {**bundle.stages[stage].inputs, **bundle.stages[stage].outputs}
        for tensor, shape in shapes.items():
            if tensor not in tensors or tensors[tensor][1] != shape:
                raise ValueError(f"{tensor} of stage {stage} does not fit the network's geometry")
    return stages


def _shapes(geometry: Geometry) -> tuple[dict[str, tuple[int, ...]], ...]:
    """Of each stage the tensors whose shape the geometry decides."""
    levels = zip(geometry.level_shapes(geometry.rpn_strides), geometry.anchor_sizes, strict=True)
    anchors = sum(h * w * len(sizes) for (h, w), sizes in levels) * len(geometry.anchor_ratios)
    proposals, findings, samples = geometry.proposals, geometry.findings, geometry.samples_per_row
    return (
        {"image": (1, 1, *geometry.input_size), "deltas": (1, anchors, 4)},
        {"rows": (proposals, geometry.box_bins**2, samples), "box_deltas": (proposals, 4)},
        {
            "rows": (findings, geometry.mask_bins**2, samples),
            "masks": (findings, geometry.mask_size, geometry.mask_size),
        },
    )


def _normalisation(entry: Mapping[str, Any]) -> Normalisation:
    low, high = entry["percentiles"]
    mean, std = entry["mean"], entry["std"]
    if not all(type(number) in (int, float) for number in (low, high, mean, std)):
        raise TypeError("the normalisation holds what is no number")
    # Of grey levels from 0 to 1: a larger std would show the network an empty picture.
    if not (0 <= low < high <= 100 and 0 <= mean <= 1 and 0 < std <= 1):
        raise ValueError("the normalisation's numbers make no sense")
    return Normalisation((float(low), float(high)), float(mean), float(std))


def _denoiser(stage: Stage, modality: Modality, geometry: Geometry) -> str:
    if MODALITIES[modality].physics is not Physics.PROJECTION:
        raise ValueError(f"{modality.value} is denoised without a network, not by {stage.name}")
    picture = ("float32", (1, 1, *geometry.input_size))
    if (dict(stage.inputs), dict(stage.outputs)) != ({"noisy": picture}, {"noise": picture}):
        raise ValueError(f"stage {stage.name} does not fit the network's input")
    return stage.name
