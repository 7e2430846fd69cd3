"""Refined Mask R-CNN as three stages that export one to one: trunk, heads, masks.

Between the stages stand top-k, decoding, NMS and RoI sampling, in numpy: the device's own code
(`appliance.pipeline.detector`), so training sees exactly the RoIs that the device will see.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.tools.network.backbones import (
    EfficientNetLite0,
    ResNet,
    imagenet_weights,
    load_imagenet,
)
from mammosono.tools.network.config import NetworkConfig

CLASSES = ("background", "benign", "malignant")
IMAGE_CLASSES = ("normal", "benign", "malignant")


class TrunkOutput(NamedTuple):
    objectness: Tensor
    """[N, A] logits, level after level, cells in row order, anchors of a cell together."""
    deltas: Tensor
    """[N, A, 4]"""
    pyramid: Tensor
    """[N, P, C] rows of the flat pyramid."""
    image_logits: Tensor
    """[N, 3] normal, benign, malignant."""


class Trunk(nn.Module):
    """Pure convolution: backbone, FPN, RPN heads and the whole-image head."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.backbone: ResNet | EfficientNetLite0 = (
            EfficientNetLite0(config.stage_strides)
            if config.backbone == "efficientnet_lite0"
            else ResNet(config.backbone, config.width, config.stage_strides, config.stride_in_1x1)
        )
        geometry = config.geometry
        if self.backbone.strides != geometry.pyramid_strides:
            raise ValueError(
                f"the backbone gives strides {self.backbone.strides}, "
                f"the geometry asks for {geometry.pyramid_strides}"
            )
        self.rpn_levels = _rpn_levels(geometry)
        channels = config.fpn_channels
        self.lateral = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in self.backbone.channels)
        self.smooth = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in self.backbone.channels
        )
        per_cell = len(geometry.anchor_sizes[0]) * len(geometry.anchor_ratios)
        self.rpn = RpnHead(channels, per_cell)
        self.image_head = ImageHead(self.backbone.channels[-1])

    def forward(self, image: Tensor) -> TrunkOutput:
        features = self.backbone(image)
        pyramid = self._pyramid(features)
        # Past the pyramid's last stride the RPN reads a subsampled copy of its last level.
        levels = [*pyramid, F.max_pool2d(pyramid[-1], 1, stride=2)]
        scores, deltas = zip(*(self.rpn(levels[k]) for k in self.rpn_levels), strict=True)
        rows = [level.flatten(2).transpose(1, 2) for level in pyramid]
        return TrunkOutput(
            torch.cat(scores, 1),
            torch.cat(deltas, 1),
            torch.cat(rows, 1),
            self.image_head(features[-1]),
        )

    def _pyramid(self, features: list[Tensor]) -> list[Tensor]:
        above = self.lateral[-1](features[-1])
        merged = [above]
        for k in range(len(features) - 2, -1, -1):
            here = self.lateral[k](features[k])
            if here.shape[-1] != above.shape[-1]:  # equal where a stage is dilated instead
                above = F.interpolate(above, scale_factor=2.0, mode="nearest")
            above = here + above
            merged.insert(0, above)
        return [smooth(level) for smooth, level in zip(self.smooth, merged, strict=True)]


def _rpn_levels(geometry: Geometry) -> list[int]:
    """Index of each proposing level in the pyramid and the extra level behind it.

    Two levels of one stride (a dilated stage) are taken in turn. Raises ValueError if a stride
    has no level, the input does not divide into whole cells, or the levels' anchors differ in
    number, which one shared head cannot serve.
    """
    last = geometry.pyramid_strides[-1]
    if any(side % last for side in geometry.input_size):
        raise ValueError(f"the input must be a multiple of {last} px, not {geometry.input_size}")
    if len({len(sizes) for sizes in geometry.anchor_sizes}) != 1:
        raise ValueError("every proposing level needs as many anchor sizes as the others")
    strides = (*geometry.pyramid_strides, 2 * last)
    levels: list[int] = []
    for stride in geometry.rpn_strides:
        first = levels[-1] + 1 if levels else 0
        if stride not in strides[first:]:
            raise ValueError(f"no level of {strides} is left to propose at stride {stride}")
        levels.append(strides.index(stride, first))
    return levels


class RpnHead(nn.Module):
    def __init__(self, channels: int, per_cell: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, per_cell, 1)
        self.deltas = nn.Conv2d(channels, per_cell * 4, 1)
        for layer in (self.conv, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, level: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.conv(level))
        n = x.shape[0]
        scores = self.objectness(x).permute(0, 2, 3, 1).reshape(n, -1)
        deltas = self.deltas(x).permute(0, 2, 3, 1).reshape(n, -1, 4)
        return scores, deltas


class ImageHead(nn.Module):
    """Whole-image classes: the mean and the strongest cell of the last stage."""

    def __init__(self, channels: int, inner: int = 256) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, inner, 1)
        self.dropout = nn.Dropout(0.2)
        self.linear = nn.Linear(2 * inner, len(IMAGE_CLASSES))

    def forward(self, last: Tensor) -> Tensor:
        x = F.relu(self.conv(last))
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        logits: Tensor = self.linear(self.dropout(pooled))
        return logits


def pool_rois(pyramid: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """RoIAlign by gather: [P, C], int [R, B, K], [R, B, K] -> [R, B, C].

    Exported as Gather and MatMul, which TensorRT 8.2 has. In torch itself a weighted embedding
    bag does the same without the [R, B, K, C] of gathered rows: five times as fast on a CPU.
    """
    weights = weights.to(pyramid.dtype)
    if torch.onnx.is_in_onnx_export():
        gathered = F.embedding(rows, pyramid)
        return torch.matmul(weights.unsqueeze(2), gathered).squeeze(2)
    count, bins, _ = rows.shape
    bag = F.embedding_bag(
        rows.flatten(0, 1), pyramid, mode="sum", per_sample_weights=weights.flatten(0, 1)
    )
    return bag.view(count, bins, -1)


class BoxHead(nn.Module):
    """Pooled RoIs [R, bins * bins, C] -> class logits [R, 3] and box deltas [R, 4]."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        inner = config.box_channels
        self.fc6 = nn.Linear(config.geometry.box_bins**2 * config.fpn_channels, inner)
        self.fc7 = nn.Linear(inner, inner)
        self.classes = nn.Linear(inner, len(CLASSES))
        self.deltas = nn.Linear(inner, 4)
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        nn.init.zeros_(self.classes.bias)
        nn.init.zeros_(self.deltas.bias)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.fc6(pooled.flatten(1)))
        x = F.relu(self.fc7(x))
        return self.classes(x), self.deltas(x)


class MaskHead(nn.Module):
    """Pooled RoIs [D, 14 * 14, C] -> mask logits [D, 56, 56]: four 3x3 with 64 channels,
    two deconvolutions, as in the paper. One mask whatever the class."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.bins = config.geometry.mask_bins
        channels = config.mask_channels
        layers: list[nn.Module] = []
        for k in range(4):
            cin = config.fpn_channels if k == 0 else channels
            layers += [nn.Conv2d(cin, channels, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(2):
            layers += [nn.ConvTranspose2d(channels, channels, 2, stride=2), nn.ReLU(inplace=True)]
        last = nn.Conv2d(channels, 1, 1)
        self.body = nn.Sequential(*layers, last)
        for layer in self.body:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        # One output channel would make fan-out's last layer shout: start at "may be".
        nn.init.normal_(last.weight, std=0.001)

    def forward(self, pooled: Tensor) -> Tensor:
        count, _, channels = pooled.shape
        grid = pooled.transpose(1, 2).reshape(count, channels, self.bins, self.bins)
        logits: Tensor = self.body(grid).squeeze(1)
        return logits


class RefinedMaskRcnn(nn.Module):
    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(config)
        self.box_head = BoxHead(config)
        self.mask_head = MaskHead(config)

    def load_pretrained(self, frozen_blocks: int) -> None:
        """ImageNet weights into the encoder; its first blocks are then not trained.

        Raises ValueError for an encoder that has none, ModuleNotFoundError without the package.
        """
        backbone = self.trunk.backbone
        if not isinstance(backbone, EfficientNetLite0):
            raise ValueError("pretrained weights exist for efficientnet_lite0 alone")
        load_imagenet(backbone, imagenet_weights())
        backbone.freeze(frozen_blocks)
