"""What a load run measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Level:
    """Post-to-result with so many clients, each posting its next pair when it has its answer.

    seconds: of the level. latencies_s: of the pairs that were read. rejected: answers of 429.
    errors: anything else than 200 and 429.
    """

    clients: int
    seconds: float
    latencies_s: tuple[float, ...]
    rejected: int
    errors: int

    @property
    def pairs_per_minute(self) -> float:
        return 60 * len(self.latencies_s) / self.seconds

    @property
    def rejected_share(self) -> float:
        answers = len(self.latencies_s) + self.rejected + self.errors
        return self.rejected / answers if answers else 0.0

    def percentile(self, q: float) -> float:
        """Seconds; NaN if no pair was read."""
        return float(np.percentile(self.latencies_s, q)) if self.latencies_s else float("nan")


@dataclass(frozen=True, slots=True)
class Overhead:
    """The same pair through the service and through a bare reader, in turns. Milliseconds."""

    service_ms: tuple[float, ...]
    bare_ms: tuple[float, ...]

    @property
    def share(self) -> float:
        """What the service adds, as a share of the bare reader's time; of the medians."""
        return float(np.median(self.service_ms) / np.median(self.bare_ms)) - 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """health_per_second: answers of /healthz, one client after another."""

    health_per_second: float
    levels: Sequence[Level]
    overhead: Overhead | None
