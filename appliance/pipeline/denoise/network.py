"""Removal of white Gaussian noise by the bundle's small network, which predicts the noise."""

from __future__ import annotations

import cv2
import numpy as np

from mammosono.appliance.pipeline.denoise.gaussian import Gaussian
from mammosono.appliance.values import FloatImage
from mammosono.engines.interface import Engine

STAGE = "denoise_mg"
"""What a network calls the stage, as our own tools write it."""

LEVEL_SIDE = 31
"""px; the level around a pixel is the mean of a square of this side."""
FARTHEST = 64.0
"""The network sees no value farther from its level. In half precision a value of 64 is rounded
by 1/64, a stabilised grey level of 500 by 1/8 of the noise."""
LARGEST_CHANGE = 4.0
"""Of a pixel, in standard deviations of the noise: what stands out farther is no noise, whatever
the network says."""
_RIM = 32
"""px of a tile that see too little of the picture around them to be kept."""


def centred(stabilised: FloatImage) -> FloatImage:
    """Each pixel less the level around it, within +- FARTHEST; float32 of the same shape.

    The noise does not depend on the level once it is stabilised, so the network need not know it,
    and small numbers keep their digits in half precision.
    """
    level = cv2.blur(stabilised, (LEVEL_SIDE, LEVEL_SIDE), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(np.clip(stabilised - level, -FARTHEST, FARTHEST), np.float32)


def network(engine: Engine, size: tuple[int, int], stage: str = STAGE) -> Gaussian:
    """What `engine` runs as `stage`, whose input has this size (height, width):
    noisy float32 [1, 1, height, width], as `centred` gives it -> noise of the same shape.

    A smaller picture is continued by reflection; a larger one is cut into tiles that overlap.
    The function raises EngineError as `Engine.run` does.
    """

    def denoise(stabilised: FloatImage) -> FloatImage:
        height, width = stabilised.shape
        levelled = centred(stabilised)
        noise = np.empty_like(stabilised)
        for top in _starts(height, size[0]):
            for left in _starts(width, size[1]):
                rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
                found = _run(engine, stage, levelled[rows, columns], size)
                # The rim that a tile shares with one before it stays as that one has it.
                y, x = _RIM if top else 0, _RIM if left else 0
                noise[top + y : top + size[0], left + x : left + size[1]] = found[y:, x:]
        return stabilised - np.clip(noise, -LARGEST_CHANGE, LARGEST_CHANGE, out=noise)

    return denoise


def _starts(length: int, side: int) -> list[int]:
    """First pixels of the tiles along one axis, each overlapping the last by two rims."""
    if length <= side:
        return [0]
    return [*range(0, length - side, side - 2 * _RIM), length - side]


def _run(engine: Engine, stage: str, tile: FloatImage, size: tuple[int, int]) -> FloatImage:
    height, width = tile.shape
    border = (0, size[0] - height, 0, size[1] - width)
    noisy = cv2.copyMakeBorder(tile, *border, borderType=cv2.BORDER_REFLECT_101)
    noise = np.asarray(engine.run(stage, {"noisy": noisy[None, None]})["noise"])
    return np.asarray(noise[0, 0, :height, :width], np.float32)
