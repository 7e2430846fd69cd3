"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from mammosono.appliance.values import ModelInfo

_BUSY_LOAD = 0.5


@dataclass(frozen=True, slots=True)
class Machine:
    """load: average number of running processes in the minute before the first run."""

    processor: str
    cores: int
    load: float
    python: str

    @property
    def busy(self) -> bool:
        """Others had a good part of a core before the bench began: its times are too long."""
        return self.load > _BUSY_LOAD


def measured_with(day: date, machine: Machine, model: ModelInfo) -> dict[str, Any]:
    """How every bench document begins: the day, the machine and the model, as plain values."""
    return {
        "day": day.isoformat(),
        "machine": {**asdict(machine), "busy": machine.busy},
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
    }


def this_machine() -> Machine:
    """Cores are those that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(_processor(), cores or 1, os.getloadavg()[0], platform.python_version())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'processor'} ({platform.machine()})"
