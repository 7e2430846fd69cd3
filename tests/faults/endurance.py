"""Post pairs at the queue's limit, hundreds of them, and see whether memory grows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from faults.appliance import Appliance, rss_mib
from faults.clients import Clients, Pair


@dataclass
class Endurance:
    """rss_mib: of a process, with the number of studies that were read by then."""

    read: int = 0
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    rss_mib: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def slope(self, name: str) -> float:
        """MiB by which the process grows in 1000 studies, by least squares over the second half:
        caches and allocators fill during the first."""
        samples = np.array(self.rss_mib[name])
        late = samples[len(samples) // 2 :]
        return float(np.polyfit(late[:, 0], late[:, 1], 1)[0] * 1000)


def endure(
    folder: Path,
    pairs: Sequence[Pair],
    count: int,
    *,
    tell: Callable[[int], None] = lambda _: None,
) -> Endurance:
    """Have `count` pairs read, the queue being full all the time."""
    outcome, started = Endurance(), time.monotonic()
    appliance = Appliance(folder / "state", worker=False, queue_length=8, min_free_bytes=0)
    try:
        appliance.start()
        appliance.until_ready()
        with Clients(appliance.url, pairs, count=4, pause_s=0.0, restless=False) as clients:
            while outcome.read < count:
                time.sleep(1.0)
                outcome.read = appliance.count("done")
                for name, pid in appliance.pids().items():
                    outcome.rss_mib.setdefault(name, []).append((outcome.read, rss_mib(pid)))
                tell(outcome.read)
        outcome.answers, outcome.seconds = clients.answers, time.monotonic() - started
        appliance.stop()
    finally:
        appliance.end()
    return outcome
