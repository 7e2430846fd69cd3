"""Box arithmetic: xyxy, half-open, float32 pixels; deltas as in R-CNN (Girshick 2014)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", np.float32, np.float64)
Boxes = NDArray[np.float32]
"""[N, 4] x0, y0, x1, y1."""


def area(boxes: NDArray[Real]) -> NDArray[Real]:
    """[N] square pixels; zero for empty boxes."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1])


def iou(a: NDArray[Real], b: NDArray[Real]) -> NDArray[Real]:
    """[N, M] intersection over union of every pair, as precise as the boxes; 0 where both are
    empty."""
    # A coordinate at a time: numpy is slow along an axis of two (measured: three to four times).
    ax0, ay0, ax1, ay1 = np.ascontiguousarray(a.T)[..., None]
    bx0, by0, bx1, by1 = np.ascontiguousarray(b.T)
    width = np.maximum(np.minimum(ax1, bx1) - np.maximum(ax0, bx0), 0)
    height = np.maximum(np.minimum(ay1, by1) - np.maximum(ay0, by0), 0)
    common = width * height
    union = area(a)[:, None] + area(b)[None, :] - common
    return np.asarray(common / np.maximum(union, np.float32(1e-9)))


def clip(boxes: Boxes, size: tuple[int, int]) -> Boxes:
    """Cut boxes to an image of `size` = (height, width)."""
    height, width = size
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))


def encode(boxes: Boxes, anchors: Boxes, weights: tuple[float, float, float, float]) -> Boxes:
    """Deltas [N, 4] that take each anchor to its box; `decode` is the inverse.

    dx = wx (cx - cxa) / wa,  dw = ww log(w / wa), and the same for y and h.
    """
    size, centre = _size_centre(boxes)
    anchor_size, anchor_centre = _size_centre(anchors)
    shift = (centre - anchor_centre) / anchor_size
    scale = np.log(size / anchor_size)
    return np.concatenate([shift, scale], axis=1) * np.array(weights, np.float32)


def decode(
    deltas: Boxes,
    anchors: Boxes,
    weights: tuple[float, float, float, float],
    delta_clamp: float,
) -> Boxes:
    """Boxes [N, 4] from deltas; log sizes are cut at `delta_clamp` before exp."""
    deltas = np.asarray(deltas / np.array(weights, np.float32))
    anchor_size, anchor_centre = _size_centre(anchors)
    centre = anchor_centre + deltas[:, :2] * anchor_size
    half = 0.5 * anchor_size * np.exp(np.minimum(deltas[:, 2:], np.float32(delta_clamp)))
    return np.concatenate([centre - half, centre + half], axis=1)


def nms(boxes: Boxes, scores: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: kept indices, best score first; ties keep input order.

    A box goes if its IoU with a kept better one is above `threshold`.
    """
    order = np.argsort(-scores, kind="stable")
    overlaps = iou(boxes[order], boxes[order]) > threshold
    alive = np.ones(len(order), dtype=bool)
    for i in range(len(order)):
        if alive[i]:
            alive[i + 1 :] &= ~overlaps[i, i + 1 :]
    return order[alive]


def _size_centre(boxes: Boxes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    size = boxes[:, 2:] - boxes[:, :2]
    return size, boxes[:, :2] + np.float32(0.5) * size
