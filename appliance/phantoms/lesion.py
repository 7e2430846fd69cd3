"""Lesion outlines: star-shaped regions, from a smooth oval to a spiculated star."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.values import Box, FloatImage, Label


@dataclass(frozen=True, slots=True, eq=False)
class PhantomLesion:
    """mask: bool [height, width]; box: its extent, xyxy, half-open, px."""

    label: Label
    mask: NDArray[np.bool_]
    box: Box


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """r(theta) = 1 + sum_k wave_k cos(k theta + phase_k), stretched to half-axes and turned.

    centre: (x, y) px. axes: half-axes (a, b) px. tilt: radians, clockwise on the screen.
    waves, phases: for k = 2, 3, ...
    spikes: (count, height, phase) of narrow cusps on top; height 0 for none.
    """

    centre: tuple[float, float]
    axes: tuple[float, float]
    tilt: float
    waves: NDArray[np.float64]
    phases: NDArray[np.float64]
    spikes: tuple[int, float, float] = (0, 0.0, 0.0)

    def radius(self, height: int, width: int) -> FloatImage:
        """float32 [height, width]: distance from the centre as a fraction of the outline's."""
        x = np.arange(width, dtype=np.float32)[None] - np.float32(self.centre[0])
        y = np.arange(height, dtype=np.float32)[:, None] - np.float32(self.centre[1])
        cos, sin = np.float32(np.cos(self.tilt)), np.float32(np.sin(self.tilt))
        u = (x * cos + y * sin) / np.float32(self.axes[0])
        v = (y * cos - x * sin) / np.float32(self.axes[1])
        return np.asarray(np.hypot(u, v) / self._limit(np.arctan2(v, u)), np.float32)

    def _limit(self, theta: FloatImage) -> FloatImage:
        """r(theta), looked up in a table: the angles are many and the curve is one."""
        table_theta = np.linspace(-np.pi, np.pi, 1025)
        orders = np.arange(2, 2 + self.waves.size)[:, None]
        table = 1 + (self.waves[:, None] * np.cos(orders * table_theta + self.phases[:, None])).sum(
            axis=0
        )
        count, height, phase = self.spikes
        table += height * np.abs(np.cos(count * table_theta / 2 + phase)) ** 8
        index = ((theta + np.pi) * (1024 / (2 * np.pi))).astype(np.int32)
        return np.asarray(np.maximum(table, 0.25).astype(np.float32)[index], np.float32)


def oval(
    centre: tuple[float, float],
    axes: tuple[float, float],
    tilt: float,
    rng: np.random.Generator,
) -> Outline:
    """A benign outline: an ellipse with at most a gentle lobe."""
    waves = rng.uniform(0.0, 0.06, 3) / np.arange(1, 4)
    return Outline(centre, axes, tilt, waves, rng.uniform(0, 2 * np.pi, 3))


def irregular(
    centre: tuple[float, float],
    axes: tuple[float, float],
    tilt: float,
    rng: np.random.Generator,
    *,
    spike_height: float = 0.0,
) -> Outline:
    """A malignant outline: lobes of every order, optionally with cusps."""
    orders = 9
    waves = rng.normal(0.0, 0.16, orders) / np.arange(1, orders + 1) ** 0.8
    # |cos| repeats after half a turn, so any whole number of cusps closes the curve.
    spikes = (int(rng.integers(5, 12)), spike_height, float(rng.uniform(0, np.pi)))
    return Outline(centre, axes, tilt, waves, rng.uniform(0, 2 * np.pi, orders), spikes)


def lesion(label: Label, mask: NDArray[np.bool_]) -> PhantomLesion:
    """The lesion that covers `mask`, which must not be empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    return PhantomLesion(label, mask, box)


def place(
    room: FloatImage, need: float, rng: np.random.Generator, *, insist: bool
) -> tuple[float, float] | None:
    """A random pixel (x, y) with more than `need` px of room around it, None if there is none.

    insist: take a pixel among the roomiest rather than none.
    """
    least = min(need, 0.8 * float(room.max())) if insist else need
    candidates = np.flatnonzero(room > least)
    if candidates.size == 0:
        return None
    y, x = divmod(int(rng.choice(candidates)), room.shape[1])
    return float(x), float(y)


def distance(region: NDArray[np.bool_]) -> FloatImage:
    """float32 [height, width]: distance to the nearest pixel outside the region, px."""
    return np.asarray(cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def lesion_count(label: Label | None, rng: np.random.Generator) -> int:
    """None in a normal picture, else one, in every seventh picture two."""
    return 0 if label is None else 1 + int(rng.random() < 1 / 7)
