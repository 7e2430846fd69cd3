"""A step's and an epoch's losses and accuracy as they add up."""

from __future__ import annotations

from typing import NamedTuple

from mammosono.tools.training.columns import LOSS_PARTS
from mammosono.tools.training.step import Losses


class StepTotals(NamedTuple):
    """The losses of a step, and how many images' classes were right and how many are known."""

    rpn_class: float = 0.0
    rpn_box: float = 0.0
    classes: float = 0.0
    box: float = 0.0
    mask: float = 0.0
    image: float = 0.0
    correct: float = 0.0
    known: float = 0.0

    @classmethod
    def of(cls, losses: Losses) -> StepTotals:
        parts = [float(getattr(losses, part).detach()) for part in LOSS_PARTS]
        return cls._make([*parts, float(losses.image_correct), float(losses.image_count)])

    def plus(self, other: StepTotals) -> StepTotals:
        return StepTotals(*(a + b for a, b in zip(self, other, strict=True)))

    def loss(self, image_weight: float) -> float:
        """What was minimised."""
        return sum(self[: LOSS_PARTS.index("image")]) + image_weight * self.image


class Totals:
    """Means over the steps of an epoch."""

    def __init__(self) -> None:
        self._sum = StepTotals()
        self._steps = 0

    def add(self, step: StepTotals) -> None:
        self._sum = self._sum.plus(step)
        self._steps += 1

    def means(self) -> dict[str, float]:
        steps = max(self._steps, 1)
        return {part: getattr(self._sum, part) / steps for part in LOSS_PARTS}

    def accuracy(self) -> float:
        """Of the whole-image head on the augmented training images."""
        return self._sum.correct / max(self._sum.known, 1)
