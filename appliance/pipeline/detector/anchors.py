"""Anchor boxes of every proposing level."""

from __future__ import annotations

import numpy as np

from mammosono.appliance.pipeline.detector.boxes import Boxes
from mammosono.appliance.pipeline.detector.geometry import Geometry


def anchors_by_level(geometry: Geometry) -> tuple[Boxes, ...]:
    """For each proposing level [h * w * A, 4], cell by cell in row order, A anchors a cell.

    Centres lie at the middle of each cell; A runs over sizes, then ratios.
    """
    shapes = geometry.level_shapes(geometry.rpn_strides)
    return tuple(
        _level_anchors(shape, stride, sizes, geometry.anchor_ratios)
        for shape, stride, sizes in zip(
            shapes, geometry.rpn_strides, geometry.anchor_sizes, strict=True
        )
    )


def _level_anchors(
    shape: tuple[int, int], stride: int, sizes: tuple[float, ...], ratios: tuple[float, ...]
) -> Boxes:
    half = np.array(
        [(s / r**0.5 / 2, s * r**0.5 / 2) for s in sizes for r in ratios], dtype=np.float32
    )
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    centres = (np.stack([x, y], axis=-1).reshape(-1, 1, 2) + np.float32(0.5)) * stride
    return np.concatenate([centres - half, centres + half], axis=-1).reshape(-1, 4)
