"""What a run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mammosono.tools.training.pace import Pace
from mammosono.tools.training.validate import Glance


@dataclass(frozen=True, slots=True)
class Progress:
    """One step's report: losses averaged over the epoch so far, and seconds left."""

    epoch: int
    epochs: int
    step: int
    steps: int
    losses: dict[str, float]
    accuracy: float
    pace: Pace
    seconds_left: float


OnStep = Callable[[Progress], None]
OnEpoch = Callable[[int, dict[str, float], Glance | None], None]
