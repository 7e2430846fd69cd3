"""Temperatures and memory, as the kernel reports them in /sys and /proc."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ThermalZone:
    """A temperature sensor. folder: below the root, without a leading slash."""

    folder: str
    name: str
    celsius: float


def thermal_zones(root: Path) -> list[ThermalZone]:
    """The zones below `root` that can be read; one that is powered off cannot."""
    zones = []
    for folder in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        with contextlib.suppress(OSError, ValueError):
            celsius = int((folder / "temp").read_text()) / 1000
            name = (folder / "type").read_text().strip()
            zones.append(ThermalZone(str(folder.relative_to(root)), name, celsius))
    return zones


def meminfo_bytes(root: Path, field: str) -> int | None:
    """A field of /proc/meminfo, as "MemAvailable"; None if the kernel does not say."""
    try:
        text = (root / "proc/meminfo").read_text()
    except OSError:
        return None
    row = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(row[1]) * 1024 if row else None
