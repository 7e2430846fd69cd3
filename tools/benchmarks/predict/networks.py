"""Networks whose needs are predicted: the bundle, `middle`, `paper` and its variants.

Each variant of the paper's network is counted from a graph with that one change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.tools.benchmarks.predict.graph import (
    blank_network,
    denoiser_cost,
    heads_cost,
    masks_cost,
    trunk_cost,
)
from mammosono.tools.benchmarks.predict.measurements import HostWork, ValCheck, host_work
from mammosono.tools.benchmarks.predict.prediction import (
    CostedNetwork,
    Prediction,
    TargetBoard,
    bundle_networks,
    config_network,
    predict,
)
from mammosono.tools.benchmarks.workload import BenchMachine, this_machine
from mammosono.tools.network.config import NetworkConfig, preset
from mammosono.tools.network.model import RefinedMaskRcnn, RpnHead

Surgery = Callable[[RefinedMaskRcnn], None]
Effect = Literal["none", "little", "sweep"]
"""What is to be expected of the accuracy: none, the answers are the same numbers; little, by
reasoning; sweep, only training can tell. Nothing but `none` is known before the sweep."""

PAIRED_ANCHORS = ((32.0, 48.0), (64.0, 96.0), (128.0, 192.0), (256.0, 512.0))
"""The paper's five sizes on four levels: two a level, so none is lost."""

PAPER_TARGET_S = 2.0
"""The network of `paper` is to take less than this on one image, at the planned rates."""


@dataclass(frozen=True, slots=True)
class Variant:
    """changed: the stages whose graphs differ, none if only the host has less to do.

    reason: why accuracy may or may not suffer.
    """

    name: str
    config: NetworkConfig
    changed: tuple[str, ...]
    effect: Effect
    reason: str
    surgery: Surgery = lambda network: None


def vary(base: CostedNetwork, variant: Variant) -> CostedNetwork:
    """The network with that change; the stages that stay the same are taken from `base`."""
    if not variant.changed:
        return replace(base, name=variant.name, geometry=variant.config.geometry)
    network = blank_network(variant.config)
    variant.surgery(network)
    costs = {"trunk": trunk_cost, "heads": heads_cost, "masks": masks_cost}
    changed = {stage: costs[stage](network) for stage in variant.changed}
    geometry = network.config.geometry
    same = geometry.input_size == base.geometry.input_size
    denoiser = base.denoiser if same else denoiser_cost(geometry.input_size)
    return CostedNetwork(variant.name, geometry, {**base.stages, **changed}, denoiser)


def paper_variants(paper: NetworkConfig) -> tuple[Variant, ...]:
    return tuple(_variants(paper))


def _variants(paper: NetworkConfig) -> Iterator[Variant]:
    everything = ("trunk", "heads", "masks")
    few = _with(paper, findings=4)
    yield Variant(
        "masks four at a time", few, ("masks",), "none",
        "the same masks; more than four findings take a second run",
    )  # fmt: skip
    yield Variant(
        "64 proposals", _with(paper, proposals=64), ("heads",), "little",
        "the balanced floor keeps the best of every level",
    )  # fmt: skip
    yield Variant(
        "12 findings", _with(paper, findings=12), ("masks",), "little",
        "hardly any breast image shows more than a few lesions",
    )  # fmt: skip
    yield Variant(
        "300 candidates a level", _with(paper, pre_nms_top_n=300), (), "little",
        "NMS of 300 boxes a level in place of 1000; compact was trained so",
    )  # fmt: skip
    p3 = _with(paper, rpn_strides=(8, 16, 32, 64), anchor_sizes=PAIRED_ANCHORS)
    yield Variant(
        "RPN on P3 to P6", p3, ("trunk",), "little",
        "all anchor sizes stay, two a level; the smallest move in steps of 8 px, not 4",
    )  # fmt: skip
    yield Variant(
        "RPN of 128 channels", paper, ("trunk",), "sweep", "a weaker proposer", _narrow_rpn
    )
    yield Variant(
        "no P2 at all", p3, everything, "sweep",
        "masks of lesions under 112 px lose the finest level: the edge may suffer", _without_p2,
    )  # fmt: skip
    yield Variant(
        "FPN and RPN of 128 channels", replace(paper, fpn_channels=128), everything, "sweep",
        "half the features of every RoI",
    )  # fmt: skip
    yield Variant(
        "stride in the first 1x1", replace(paper, stride_in_1x1=True), ("trunk",), "sweep",
        "as ResNet was first published; skips three of four pixels before the 3x3",
    )  # fmt: skip
    wide = replace(p3, geometry=replace(p3.geometry, input_size=(1024, 768)))
    yield Variant(
        "canvas of 1024 x 768", _with(paper, input_size=(1024, 768)), everything, "sweep",
        "a framed breast is tall and loses little, a wide ultrasound up to a quarter of its scale",
    )  # fmt: skip
    yield Variant(
        "ResNet50", replace(paper, backbone="resnet50"), ("trunk",), "sweep", "half the depth"
    )
    both = replace(p3, geometry=replace(p3.geometry, proposals=64, findings=4))
    yield Variant(
        "P3 to P6, 64 proposals, by four", both, everything, "little", "three of the above"
    )
    tall = replace(wide, geometry=replace(wide.geometry, proposals=64, findings=4))
    yield Variant("the same at 1024 x 768", tall, everything, "sweep", "four of the above")


def _with(config: NetworkConfig, **changes: Any) -> NetworkConfig:
    return replace(config, geometry=replace(config.geometry, **changes))


def _narrow_rpn(network: RefinedMaskRcnn) -> None:
    """The shared head's 3x3 gives half the channels."""
    old = network.trunk.rpn
    wide, narrow = old.conv.in_channels, old.conv.in_channels // 2
    head = RpnHead(narrow, old.objectness.out_channels)
    head.conv = nn.Conv2d(wide, narrow, 3, padding=1)
    network.trunk.rpn = head


class _FromC3(nn.Module):
    """A backbone whose finest stage is not used."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image: Tensor) -> list[Tensor]:
        features: list[Tensor] = self.backbone(image)
        return features[1:]


def _without_p2(network: RefinedMaskRcnn) -> None:
    """No lateral and no smoothing at stride 4, and no RoI takes its features there."""
    trunk, geometry = network.trunk, network.config.geometry
    trunk.backbone = _FromC3(trunk.backbone)  # type: ignore[assignment]
    del trunk.lateral[0], trunk.smooth[0]
    trunk.rpn_levels = [level - 1 for level in trunk.rpn_levels]
    network.config = replace(
        network.config,
        geometry=replace(
            geometry,
            pyramid_strides=geometry.pyramid_strides[1:],
            roi_level_sizes=geometry.roi_level_sizes[1:],
        ),
    )


@dataclass(frozen=True, slots=True)
class BoardPrediction:
    """networks: of the bundle, `middle` and `paper`; variants: of `paper`.

    machine: where the host's work was timed. val: None unless labelled images were given.
    """

    day: date
    machine: BenchMachine
    board: TargetBoard
    networks: tuple[Prediction, ...]
    variants: tuple[tuple[Variant, Prediction], ...]
    val: ValCheck | None = None

    @property
    def target_met(self) -> bool:
        return self.networks[-1].seconds.plan < PAPER_TARGET_S


def run_prediction(
    board: TargetBoard, bundle: Path | None, on_network: Callable[[int, int], None]
) -> BoardPrediction:
    """Predict a bundle, None for the shipped one, and the presets that are larger.

    Raises BundleError, ModelUnavailable, or ValueError for a graph without shapes.
    """
    machine = this_machine()
    paper = preset("paper").network
    variants = paper_variants(paper)
    chosen = list(_networks(bundle or SHIPPED, paper))
    total = len(chosen) + len(variants)
    networks: list[Prediction] = []
    for network in chosen:
        networks.append(predict(network, _work(network), board))
        on_network(len(networks), total)
    base, varied = networks[-1], []
    for variant in variants:
        network = vary(base.network, variant)
        # Timed again only where the host is what changes: the noise of timing would hide the rest.
        work = base.work if variant.changed else _work(network)
        varied.append((variant, predict(network, work, board)))
        on_network(len(networks) + len(varied), total)
    return BoardPrediction(date.today(), machine, board, tuple(networks), tuple(varied))


def _work(network: CostedNetwork) -> tuple[HostWork, ...]:
    return host_work(network.geometry, network.denoiser is not None)


def _networks(bundle: Path, paper: NetworkConfig) -> Iterator[CostedNetwork]:
    yield from bundle_networks(bundle)
    yield config_network(preset("middle").network, "middle")
    yield config_network(paper, "paper")
