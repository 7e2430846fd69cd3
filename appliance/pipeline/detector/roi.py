"""RoIAlign (He 2017) as rows to gather and weights to sum: one function for host and training.

A bin's value is the mean of its bilinear samples, and each sample is a weighted sum of four
pyramid rows; so a pooled RoI is `sum_k weights[.., k] * pyramid[rows[.., k]]`. That needs no
RoiAlign operator on the device, and keeps every coordinate in FP32 on the host.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.detector.boxes import Boxes, area
from mammosono.appliance.pipeline.detector.geometry import Geometry


def roi_samples(
    boxes: Boxes, bins: int, geometry: Geometry
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Sample rows and weights of each box: int32 and float32, both [N, bins * bins, K].

    boxes: [N, 4] input px, clipped to the input. Aligned convention: a feature at (i, j) of a
    level of stride s stands at input px ((j + 0.5) s, (i + 0.5) s).
    """
    count = len(geometry.pyramid_strides)
    if geometry.roi_levels == "fused":
        parts = [
            _level_samples(boxes, np.full(len(boxes), k), bins, geometry) for k in range(count)
        ]
        rows = np.concatenate([r for r, _ in parts], axis=-1)
        weights = np.concatenate([w for _, w in parts], axis=-1) / np.float32(count)
        return rows, weights
    return _level_samples(boxes, roi_level(boxes, geometry), bins, geometry)


def roi_level(boxes: Boxes, geometry: Geometry) -> NDArray[np.intp]:
    """[N] index of the pyramid level whose size range holds sqrt(area)."""
    return np.searchsorted(np.array(geometry.roi_level_sizes), np.sqrt(area(boxes)), side="right")


def _level_samples(
    boxes: Boxes, level: NDArray[np.intp], bins: int, geometry: Geometry
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    shapes = np.array(geometry.level_shapes(geometry.pyramid_strides))
    offsets = np.concatenate([[0], np.cumsum(shapes[:, 0] * shapes[:, 1])[:-1]])
    strides = np.array(geometry.pyramid_strides, np.float32)[level]
    height, width = shapes[level, 0], shapes[level, 1]

    per_bin = geometry.samples_per_bin
    steps = (np.arange(bins * per_bin, dtype=np.float32) + np.float32(0.5)) / (bins * per_bin)
    x_low, x_high, x_frac = _corners(boxes[:, 0], boxes[:, 2], steps, strides, width)
    y_low, y_high, y_frac = _corners(boxes[:, 1], boxes[:, 3], steps, strides, height)

    # [N, samples_y, samples_x, 4 corners]
    ys = np.stack([y_low, y_low, y_high, y_high], axis=-1)[:, :, None, :]
    xs = np.stack([x_low, x_high, x_low, x_high], axis=-1)[:, None, :, :]
    rows = offsets[level][:, None, None, None] + ys * width[:, None, None, None] + xs
    wy = np.stack([1 - y_frac, 1 - y_frac, y_frac, y_frac], axis=-1)[:, :, None, :]
    wx = np.stack([1 - x_frac, x_frac, 1 - x_frac, x_frac], axis=-1)[:, None, :, :]
    weights = wy * wx / np.float32(per_bin**2)
    return _by_bin(rows, bins, per_bin).astype(np.int32), _by_bin(weights, bins, per_bin)


def _corners(
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    steps: NDArray[np.float32],
    strides: NDArray[np.float32],
    size: NDArray[np.intp],
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Neighbouring cells and the fraction towards the upper one, each [N, samples]."""
    position = (low[:, None] + (high - low)[:, None] * steps) / strides[:, None] - np.float32(0.5)
    position = np.clip(position, 0, (size - 1)[:, None].astype(np.float32))
    below = np.floor(position).astype(np.intp)
    above = np.minimum(below + 1, (size - 1)[:, None])
    return below, above, (position - below).astype(np.float32)


def _by_bin(samples: NDArray[Any], bins: int, per_bin: int) -> NDArray[Any]:
    """[N, bins * s, bins * s, 4] -> [N, bins * bins, s * s * 4]."""
    n = len(samples)
    split = samples.reshape(n, bins, per_bin, bins, per_bin, 4).transpose(0, 1, 3, 2, 4, 5)
    return np.ascontiguousarray(split).reshape(n, bins * bins, per_bin * per_bin * 4)
