"""Denoising network: a small U-Net of plain convolutions that predicts the noise (residual).

Everything happens at half resolution and below, where a convolution costs a quarter and less:
what is hard about faint noise is to average far enough, not to see single pixels. No
normalisation: the noise has standard deviation 1 already.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class DenoiserConfig:
    """By level, finest (half resolution) first: channels, and 3x3 convolutions down and up."""

    channels: tuple[int, ...] = (16, 32, 64, 64)
    down: tuple[int, ...] = (1, 2, 2, 1)
    up: tuple[int, ...] = (2, 2, 2, 1)

    def __post_init__(self) -> None:
        """Raises ValueError if the levels do not agree."""
        if not len(self.channels) == len(self.down) == len(self.up) > 0:
            raise ValueError("channels, down and up must name the same levels, at least one")


class Denoiser(nn.Module):
    """noisy [N, 1, H, W], less its level, noise of std 1 -> noise [N, 1, H, W]."""

    inputs: ClassVar[tuple[str, ...]] = ("noisy",)
    outputs: ClassVar[tuple[str, ...]] = ("noise",)

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        channels = config.channels
        pairs = list(pairwise(channels))
        self.enter = nn.Conv2d(1, channels[0], 2, 2)
        self.down = nn.ModuleList(_convolutions(*level) for level in _zip(channels, config.down))
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 2, 2) for fine, coarse in pairs)
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, 2, 2) for fine, coarse in pairs
        )
        self.up = nn.ModuleList(_convolutions(*level) for level in _zip(channels, config.up))
        self.leave = nn.ConvTranspose2d(channels[0], 1, 2, 2)

    def forward(self, noisy: Tensor) -> Tensor:
        x = self.down[0](self.enter(noisy))
        fine = []
        for shrink, down in zip(self.shrink, self.down[1:], strict=True):
            fine.append(x)
            x = down(shrink(x))
        x = self.up[-1](x)
        for k in reversed(range(len(fine))):
            x = self.up[k](self.enlarge[k](x) + fine[k])
        noise: Tensor = self.leave(x)
        return noise


def _zip(channels: tuple[int, ...], counts: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(zip(channels, counts, strict=True))


def _convolutions(channels: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(count):
        layers += [nn.Conv2d(channels, channels, 3, 1, 1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def predict(network: Denoiser, noisy: Tensor) -> Tensor:
    """`noisy` [N, 1, H, W] of any size -> its noise; continued by reflection to fit the levels."""
    multiple = 2 ** len(network.down)
    height, width = noisy.shape[2:]
    border = (0, -width % multiple, 0, -height % multiple)
    with torch.inference_mode():
        full: Tensor = network(nn.functional.pad(noisy, border, mode="reflect"))
    return full[:, :, :height, :width]
