"""Kind network: a few plain convolutions on the small picture that the appliance makes of an image.

Mean and greatest value over the picture go into the last layer: most of what tells the kinds apart
is everywhere, some (a sector's apex, a line of text) in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mammosono.appliance.pipeline.kind import CLASSES


@dataclass(frozen=True, slots=True)
class KindConfig:
    """By level, each of half the resolution of the one before: channels and 3x3 convolutions."""

    channels: tuple[int, ...] = (16, 32, 64, 96)
    convolutions: tuple[int, ...] = (1, 1, 2, 2)

    def __post_init__(self) -> None:
        """Raises ValueError if the levels do not agree."""
        if not len(self.channels) == len(self.convolutions) > 0 or min(self.convolutions) < 1:
            raise ValueError("channels and convolutions must name the same levels, at least one")


class KindNetwork(nn.Module):
    """picture [N, 2, H, W] -> probabilities of CLASSES, [N, 3]."""

    inputs: ClassVar[tuple[str, ...]] = ("picture",)
    outputs: ClassVar[tuple[str, ...]] = ("kind",)

    def __init__(self, config: KindConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 2
        for channels, count in zip(config.channels, config.convolutions, strict=True):
            for k in range(count):
                layers += [
                    nn.Conv2d(before, channels, 3, 1 if k else 2, 1, bias=False),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(inplace=True),
                ]
                before = channels
        self.body = nn.Sequential(*layers)
        self.drop = nn.Dropout(0.2)
        self.last = nn.Linear(2 * before, len(CLASSES))

    def logits(self, picture: Tensor) -> Tensor:
        seen = self.body(picture)
        whole = torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], 1)
        answer: Tensor = self.last(self.drop(whole))
        return answer

    def forward(self, picture: Tensor) -> Tensor:
        return self.logits(picture).softmax(1)
