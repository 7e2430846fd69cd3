"""An epoch's losses and accuracy as they add up."""

from __future__ import annotations

from tools.training.step import Losses

LOSS_PARTS = ("rpn_class", "rpn_box", "classes", "box", "mask", "image")


class Totals:
    def __init__(self) -> None:
        self._sums = dict.fromkeys(LOSS_PARTS, 0.0)
        self._batches = self._correct = self._known = 0

    def add(self, losses: Losses) -> None:
        for part in LOSS_PARTS:
            self._sums[part] += float(getattr(losses, part).detach())
        self._batches += 1
        self._correct += losses.image_correct
        self._known += losses.image_count

    def means(self) -> dict[str, float]:
        return {part: total / max(self._batches, 1) for part, total in self._sums.items()}

    def accuracy(self) -> float:
        """Of the whole-image head on the augmented training images."""
        return self._correct / max(self._known, 1)
