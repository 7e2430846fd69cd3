"""Pictures that a program spoils: breast images made something that their slot does not say.

`SPOILT` are ways that meet a device: inverted, as a detector gives them, cut down to a scrap.
`DISTORTED` hardly do; they have the grey levels and the grain of a breast image and not its order,
so that neither alone passes. They are always trained on, `SPOILT` are left out to be judged.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mammosono.tools.kind.family import DISTORTED_GROUP, SPOILT_GROUP, Grey

SPOILT = ("inverted", "for processing", "scrap")
DISTORTED = ("tiles", "phases", "fan", "folded levels")
WAYS = {SPOILT_GROUP: SPOILT, DISTORTED_GROUP: DISTORTED}


OF_ULTRASOUND = ("fan",)
"""A fan of a mammogram is much like a mammogram."""


def spoil(grey: Grey, way: str, rng: Generator) -> Grey:
    """A breast image made something else. way: of SPOILT or DISTORTED."""
    if way == "inverted":
        return 255 - grey
    if way == "for processing":
        return _detector_values(grey, rng)
    if way == "scrap":
        return _scrap(grey, rng)
    if way == "tiles":
        return _tiles(grey, rng)
    if way == "phases":
        return _phases(grey, rng)
    if way == "fan":
        return _fan(grey, rng)
    return _folded(grey, rng)


def _detector_values(grey: Grey, rng: Generator) -> Grey:
    """They fall exponentially with what the rays pass: air bright, tissue dark."""
    thickness = grey.astype(np.float32) / 255
    signal = np.exp(-rng.uniform(1.5, 5) * (0.35 * (thickness > 0.06) + thickness))
    low = float(rng.choice([0.0, signal.min()]))
    return np.asarray(255 * (signal - low) / max(float(signal.max()) - low, 1e-6), np.uint8)


def _scrap(grey: Grey, rng: Generator) -> Grey:
    side = rng.uniform(0.06, 0.16)
    height, width = (max(int(side * n), 8) for n in grey.shape)
    y, x = (
        int(rng.integers(0, n - m + 1)) for n, m in zip(grey.shape, (height, width), strict=True)
    )
    part = grey[y : y + height, x : x + width]
    return np.asarray(cv2.resize(part, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC), np.uint8)


def _tiles(grey: Grey, rng: Generator) -> Grey:
    """Cut into tiles that are laid at random; the smallest are single pixels."""
    count = min(int(np.exp(rng.uniform(np.log(3), np.log(150)))), *grey.shape)
    height, width = (n // count for n in grey.shape)
    tiles = grey[: count * height, : count * width].reshape(count, height, count, width)
    laid = rng.permutation(tiles.swapaxes(1, 2).reshape(count * count, height, width))
    rows = laid.reshape(count, count, height, width).swapaxes(1, 2)
    return np.ascontiguousarray(rows.reshape(count * height, count * width))


def _phases(grey: Grey, rng: Generator) -> Grey:
    """The same spectrum with phases drawn at random: grain without anything that is somewhere."""
    spectrum = np.fft.rfft2(grey.astype(np.float32))
    spectrum *= np.exp(2j * np.pi * rng.random(spectrum.shape))
    field = np.fft.irfft2(spectrum, grey.shape)
    field = (field - field.mean()) / max(float(field.std()), 1e-6)
    values = rng.uniform(40, 180) + rng.uniform(15, 70) * field
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _fan(grey: Grey, rng: Generator) -> Grey:
    """The sector of a phased or strongly curved probe, which no breast is scanned with: columns
    become rays from a point at most half the depth above the picture."""
    height = int(rng.integers(240, 340))
    apex, half_angle = rng.uniform(0, 0.5) * height, rng.uniform(0.45, 0.8)
    width = int(2 * (apex + height) * np.sin(half_angle))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    across, down = x - width / 2, y + apex
    depth = (np.hypot(across, down) - apex) / height
    ray = (np.arctan2(across, down) / half_angle + 1) / 2
    return _remap(grey, ray * (grey.shape[1] - 1), depth * (grey.shape[0] - 1))


def _folded(grey: Grey, rng: Generator) -> Grey:
    """From dark to bright and back, once or twice over the levels that the picture has."""
    top = max(float(np.percentile(grey, 99)), 1)
    turns = rng.uniform(2, 4) * np.minimum(np.arange(256) / top, 1)
    levels = 255 * np.abs((turns + int(rng.integers(2))) % 2 - 1)
    return np.asarray(cv2.LUT(grey, np.asarray(levels, np.uint8)), np.uint8)


def _remap(grey: Grey, x: NDArray[np.floating], y: NDArray[np.floating]) -> Grey:
    places = (np.asarray(x, np.float32), np.asarray(y, np.float32))
    return np.asarray(cv2.remap(grey, *places, cv2.INTER_LINEAR), np.uint8)
