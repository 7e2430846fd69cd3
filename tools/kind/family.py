"""Family: pictures of one kind of source that are neither mammogram nor breast ultrasound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.kind import CELL, SIZE

Grey = NDArray[np.uint8]
"""[height, width]."""

GROUPS = (
    "scenes", "text and graphics", "textures and noise", "films and slices", "other ultrasound",
    "spoilt",
)  # fmt: skip
"""What is left out of training together: families so alike that one would give the other away."""
SPOILT_GROUP = GROUPS[-1]
DISTORTED_GROUP = "distorted"
"""Of breast images; never left out, and no kind that a device meets."""


@dataclass(frozen=True, slots=True)
class Family:
    """group: of GROUPS. licence: of the pictures; "drawn" where a program here draws them."""

    name: str
    group: str
    licence: str = "drawn"


def stored(grey: NDArray[Any]) -> Grey:
    """As a picture is kept for training: as large as `look` makes use of, and a fifth more."""
    shrink = 1.2 * CELL * max(SIZE) / max(grey.shape)
    if shrink >= 1:
        return np.asarray(grey, np.uint8)
    size = tuple(max(round(side * shrink), 1) for side in grey.shape[::-1])
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def windowed(values: NDArray[Any], low: float = 0.5, high: float = 99.5) -> Grey:
    """Grey levels between two percentiles; of a colour picture [H, W, 3 or 4] its grey first."""
    plane = np.asarray(values, np.float32)
    if plane.ndim == 3:
        plane = plane[..., :3].mean(axis=2)
    dark, bright = np.percentile(plane, (low, high))
    scaled = (plane - dark) * (255 / max(float(bright - dark), 1e-6))
    return np.asarray(np.clip(scaled, 0, 255), np.uint8)


def slices(volume: NDArray[Any], each: int) -> Iterator[NDArray[Any]]:
    """About `each` slices of a volume along each of its axes, its ends left out."""
    for axis in range(3):
        length = volume.shape[axis]
        for k in np.linspace(0.15 * length, 0.85 * length, each).astype(int):
            yield np.take(volume, k, axis=axis)
