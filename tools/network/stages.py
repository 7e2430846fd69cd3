"""Stages of the network, as exported and as the torch engine runs them: trunk, heads, masks."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.tools.network.model import RefinedMaskRcnn, pool_rois


class TrunkStage(nn.Module):
    """image [1, 1, H, W] -> objectness [1, A], deltas [1, A, 4], pyramid [P, C],
    image_classes [1, 3]."""

    inputs: ClassVar[tuple[str, ...]] = ("image",)
    outputs: ClassVar[tuple[str, ...]] = ("objectness", "deltas", "pyramid", "image_classes")

    def __init__(self, network: RefinedMaskRcnn) -> None:
        super().__init__()
        self.trunk = network.trunk

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        out = self.trunk(image)
        return (
            out.objectness,
            out.deltas,
            out.pyramid.flatten(0, 1),
            torch.softmax(out.image_logits, 1),
        )


class HeadsStage(nn.Module):
    """pyramid, rows [R, 49, K], weights [R, 49, K] -> classes [R, 3], box_deltas [R, 4]."""

    inputs: ClassVar[tuple[str, ...]] = ("pyramid", "rows", "weights")
    outputs: ClassVar[tuple[str, ...]] = ("classes", "box_deltas")

    def __init__(self, network: RefinedMaskRcnn) -> None:
        super().__init__()
        self.box_head = network.box_head

    def forward(self, pyramid: Tensor, rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = self.box_head(pool_rois(pyramid, rows, weights))
        return torch.softmax(logits, 1), deltas


class MasksStage(nn.Module):
    """pyramid, rows [D, 196, K], weights [D, 196, K] -> masks [D, 56, 56] in 0..1."""

    inputs: ClassVar[tuple[str, ...]] = ("pyramid", "rows", "weights")
    outputs: ClassVar[tuple[str, ...]] = ("masks",)

    def __init__(self, network: RefinedMaskRcnn) -> None:
        super().__init__()
        self.mask_head = network.mask_head

    def forward(self, pyramid: Tensor, rows: Tensor, weights: Tensor) -> tuple[Tensor]:
        return (torch.sigmoid(self.mask_head(pool_rois(pyramid, rows, weights))),)


def stage_inputs(geometry: Geometry, channels: int) -> dict[str, dict[str, Tensor]]:
    """Zeros of each stage's static input shapes: what a graph is traced with."""
    height, width = geometry.input_size
    pyramid = torch.zeros(geometry.pyramid_rows, channels)

    def samples(count: int, bins: int) -> dict[str, Tensor]:
        shape = (count, bins * bins, geometry.samples_per_row)
        return {
            "pyramid": pyramid,
            "rows": torch.zeros(shape, dtype=torch.int32),
            "weights": torch.zeros(shape),
        }

    return {
        "trunk": {"image": torch.zeros(1, 1, height, width)},
        "heads": samples(geometry.proposals, geometry.box_bins),
        "masks": samples(geometry.findings, geometry.mask_bins),
    }
