"""Configuration of a network and its training: fields, presets, and JSON files of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import inf
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from mammosono.appliance.pipeline.detector.geometry import Geometry

COMPACT_GEOMETRY = Geometry(
    input_size=(640, 448),
    pyramid_strides=(4, 8, 16, 32),
    rpn_strides=(8, 16, 32, 64),
    anchor_sizes=((20.0, 32.0), (48.0, 72.0), (104.0, 152.0), (216.0, 304.0)),
)

MIDDLE_GEOMETRY = Geometry(
    input_size=(768, 576),
    pyramid_strides=(4, 8, 16, 32),
    rpn_strides=(8, 16, 32, 64),
    anchor_sizes=((24.0, 40.0), (56.0, 88.0), (128.0, 184.0), (256.0, 368.0)),
    roi_level_sizes=(32.0, 64.0, 128.0),
)

PAPER_GEOMETRY = Geometry(
    input_size=(1024, 1024),
    pyramid_strides=(4, 8, 16, 32),
    rpn_strides=(4, 8, 16, 32, 64),
    anchor_sizes=((32.0,), (64.0,), (128.0,), (256.0,), (512.0,)),
    anchor_ratios=(0.5, 1.0, 2.0),
    pre_nms_top_n=1000,
    proposals=128,
    roi_level_sizes=(112.0, 224.0, 448.0),
    findings=20,
)


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """What is built. Channel counts are features, strides are per stage."""

    geometry: Geometry
    backbone: Literal["efficientnet_lite0", "resnet18", "resnet34", "resnet50", "resnet101"] = (
        "efficientnet_lite0"
    )
    width: float = 1.0
    """Factor on a ResNet's channels."""
    stage_strides: tuple[int, int, int, int] = (1, 2, 2, 2)
    """Stride of C2 to C5 after the stem (which has 4): the paper's stride schedule.
    A stage of stride 1 in the place of 2 is dilated instead, so its field of view stays."""
    stride_in_1x1: bool = False
    """A ResNet bottleneck's stride in its first 1x1 (as first published) or in its 3x3."""
    fpn_channels: int = 64
    box_channels: int = 256
    mask_channels: int = 64


LOSS_PARTS = ("rpn_class", "rpn_box", "classes", "box", "mask", "image")
"""Names of the losses that L is the sum of."""


@dataclass(frozen=True, slots=True)
class LossConfig:
    """L = Lrpn + Lcls + Lbox + Lmask + image_weight * Limage."""

    box_alpha: float = 2.0
    """Order of the Renyi entropy of the box residuals; 1 is smooth L1 (huber kernel)."""
    box_kernel: Literal["huber", "gaussian"] = "huber"
    image_weight: float = 0.5
    rpn_positive_iou: float = 0.6
    rpn_negative_iou: float = 0.3
    rpn_samples: int = 128
    roi_positive_iou: float = 0.5
    roi_samples: int = 32
    roi_positive_share: float = 0.34


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How it is trained."""

    network: NetworkConfig
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    beta1: float = 0.9
    batch_size: int = 8
    """Images a step, over all devices and passes."""
    micro_batch: int | None = None
    """Images a pass on one device; None: a device's whole share of the step at once.
    batch_size / (micro_batch * devices) passes are summed into one step."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of the passes; weights and optimizer stay fp32. auto: half where the hardware has it."""
    epochs: int = 40
    validate_every: int = 2
    """Epochs between two looks at validation; the last epoch is always looked at."""
    patience: int = 0
    """Looks at validation without a better score after which the run ends; 0: never."""
    warmup_steps: int = 200
    ema_decay: float = 0.998
    gradient_clip: float = 5.0
    phantom_share: float = 0.08
    """Share of drawn images that are phantoms."""
    pretrained: bool = True
    """Start from the ImageNet weights of the encoder; its first blocks are then not trained."""
    frozen_blocks: int = 3
    """Encoder blocks that keep their pretrained weights: edges, textures, a third of the time."""
    backbone_rate: float = 0.4
    """Learning rate of a pretrained encoder as a share of the rest's."""
    class_free: tuple[str, ...] = ()
    """Sources whose images teach where lesions are and never of which kind: those in which the
    kind goes with something else, such as the scanner."""
    balance: float = 0.5
    """How evenly (source, label) groups are drawn: 0 as their sizes are, 1 equally often."""
    augmentation: Literal["plain", "scanner"] = "plain"
    """scanner: plain, and what differs between scanners and digitisers (tools/data/perturb.py)."""
    patch: tuple[int, int] | None = None
    """(height, width) of pieces of the canvas that it learns from in place of whole images: around
    lesions and beside them, each by what it shows. It is watched on whole images all the same."""
    views: Literal["both", "only", "off"] = "both"
    """What is drawn of a sample: before and after denoising, only after, or only before."""
    modalities: tuple[Literal["MG", "US"], ...] = ("MG", "US")
    """Whose images it learns from, and alone reads."""
    percentiles: tuple[float, float] = (1.0, 99.7)
    """Grey levels of a working image that become 0 and 1."""
    mean: float = 0.35
    std: float = 0.25
    seed: int = 1

    def __post_init__(self) -> None:
        """Raises ValueError for a number that nothing can be trained with."""
        for name in ("batch_size", "epochs", "validate_every", "warmup_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise ValueError("micro_batch is at least 1")
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ValueError("modalities names MG, US or both, each once")
        if not 0 <= self.phantom_share <= 1:
            raise ValueError("phantom_share is a share from 0 to 1")
        if not 0 <= self.balance <= 1:
            raise ValueError("balance is a number from 0 to 1")
        if not 0 < self.learning_rate < inf:
            raise ValueError("learning_rate is a number above 0")
        if self.patch and any(side % 32 or side < 64 for side in self.patch):
            raise ValueError("patch has sides that are multiples of 32, from 64 on")
        # As the appliance takes them: else hours later the bundle would be refused.
        low, high = self.percentiles
        if not (0 <= low < high <= 100 and 0 <= self.mean <= 1 and 0 < self.std <= 1):
            raise ValueError("percentiles, mean and std are not those of grey levels from 0 to 1")


def on_patches(config: TrainConfig) -> TrainConfig:
    """The configuration with the patch as the network's canvas, where it learns from patches."""
    if config.patch is None:
        return config
    geometry = replace(config.network.geometry, input_size=config.patch)
    return replace(config, network=replace(config.network, geometry=geometry))


PresetName = Literal["compact", "compact-scratch", "middle", "paper"]
PRESETS: tuple[PresetName, ...] = get_args(PresetName)


def preset(name: str) -> TrainConfig:
    """The configuration of one of PRESETS.

    compact: trains in an hour on two CPU cores and is small enough to ship.
    compact-scratch: the same frame around a half-width ResNet18, without any foreign weight.
    middle: ResNet50 with the paper's widths at 768 px, compact's RoIs and optimizer, from scratch.
    paper: Kumar et al. 2025: ResNet101, 1024 px, Adam, lr 1e-3, weight decay 1e-4, batch 100,
    from scratch, on denoised pictures alone, without phantoms.
    """
    if name == "compact":
        return TrainConfig(network=NetworkConfig(geometry=COMPACT_GEOMETRY))
    if name == "compact-scratch":
        network = NetworkConfig(geometry=COMPACT_GEOMETRY, backbone="resnet18", width=0.5)
        return TrainConfig(network=network, pretrained=False)
    if name == "middle":
        network = NetworkConfig(
            geometry=MIDDLE_GEOMETRY, backbone="resnet50", fpn_channels=256, box_channels=1024
        )
        return TrainConfig(network=network, pretrained=False)
    network = NetworkConfig(
        geometry=PAPER_GEOMETRY, backbone="resnet101", fpn_channels=256, box_channels=1024
    )
    return TrainConfig(
        network=network,
        optimizer="adam",
        weight_decay=1e-4,
        batch_size=100,
        micro_batch=4,
        views="only",
        phantom_share=0.0,
        pretrained=False,
    )


_NOT_SETTINGS = ("preset", "data", "software")
"""Of a file: where to start from, and what a run folder's file records beside the settings."""


def train_config(entry: Mapping[str, Any]) -> TrainConfig:
    """All settings of a printed configuration, of this version or an earlier one; a geometry is
    whole or refused.

    Raises ValueError that names the field.
    """
    if not isinstance(entry, Mapping):
        raise ValueError("it is not an object of fields")
    settings = _migrated(entry)
    network = settings.get("network")
    geometry = network.get("geometry") if isinstance(network, Mapping) else None
    if isinstance(geometry, Mapping):
        missing = {f.name for f in fields(Geometry)} - set(geometry)
        if missing:
            raise ValueError(f"network.geometry.{min(missing)} is missing")
    try:
        # From JSON, where strict mode has lists only; a float field takes a whole number.
        config = _TRAIN_CONFIG.validate_json(json.dumps(settings), strict=True)
    except ValidationError as error:
        raise ValueError(_sentence(error.errors())) from None
    _refuse_unknown(settings, asdict(config), "")
    return config


def _migrated(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an entry in this version's fields; those it has not get their defaults."""
    settings = {k: v for k, v in entry.items() if k not in _NOT_SETTINGS}
    if "accumulate" in settings:  # until 0.1: images a pass, and passes a step
        passes, images = settings.pop("accumulate"), settings.get("batch_size")
        if type(passes) is not int or type(images) is not int:
            raise ValueError("accumulate needs a batch_size beside it, both whole numbers")
        settings["micro_batch"] = images if passes > 1 else None
        settings["batch_size"] = images * passes
    return settings


def read_settings(path: Path, start: str | None = None) -> TrainConfig:
    """A configuration file: a preset's name under "preset" (compact if none is named), and the
    fields that are changed, nested as config.json of a run has them; or such a config.json.

    start: the preset to start from in place of the file's own.
    Raises OSError, and ValueError that names the field.
    """
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"the configuration file is not JSON: {error}") from None
    if not isinstance(entry, dict):
        raise ValueError("the configuration file is not an object of fields")
    name = start or entry.get("preset", "compact")
    if name not in PRESETS:
        raise ValueError(f"preset is none of {', '.join(PRESETS)}")
    if "accumulate" in entry:
        entry = asdict(_whole(entry))
    settings = {k: v for k, v in entry.items() if k not in _NOT_SETTINGS}
    start_from: dict[str, Any] = asdict(preset(name))
    return _whole(_merged(start_from, settings))


def _whole(entry: Mapping[str, Any]) -> TrainConfig:
    try:
        return train_config(entry)
    except ValueError as error:
        raise ValueError(f"the configuration file: {error}") from None


def _merged(start: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(start)
    for name, value in changes.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _merged(old, value)
        merged[name] = value
    return merged


def _refuse_unknown(entry: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for name, value in entry.items():
        if name not in known:
            raise ValueError(f"there is no field {where}{name}")
        if isinstance(value, Mapping):
            _refuse_unknown(value, known[name], f"{where}{name}.")


_REFUSALS = {
    "missing": "is missing",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "bool_type": "is not true or false",
    "string_type": "is not a text",
    "tuple_type": "is not a list",
    "dataclass_type": "is not an object of fields",
}


def _sentence(errors: Sequence[ErrorDetails]) -> str:
    """The first complaint of pydantic, by the field's name."""
    kind, place, context = errors[0]["type"], errors[0]["loc"], errors[0].get("ctx", {})
    where = ".".join(part for part in place if isinstance(part, str))
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"{where} is none of {context['expected'].replace(chr(39), '')}"
    if kind == "too_long":
        return f"{where} takes {context['max_length']} values, not {context['actual_length']}"
    if kind == "missing" and isinstance(place[-1], int):  # one complaint for each value
        given = len(errors[0]["input"])
        lacking = sum(e["type"] == kind and e["loc"][:-1] == place[:-1] for e in errors)
        return f"{where} takes {given + lacking} values, not {given}"
    return f"{where} {_REFUSALS.get(kind, errors[0]['msg'])}"


_TRAIN_CONFIG = TypeAdapter(TrainConfig)
