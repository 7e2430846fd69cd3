"""What the kernel tells of the board: temperatures and memory."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path


def temperatures(root: Path) -> dict[str, float]:
    """Degrees Celsius by zone; empty where there is no sensor."""
    found = {}
    for zone in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        with contextlib.suppress(OSError, ValueError):  # a zone that is powered off has none
            name = (zone / "type").read_text().strip()
            found[name] = int((zone / "temp").read_text()) / 1000
    return found


def memory_available_bytes(root: Path) -> int | None:
    try:
        text = (root / "proc/meminfo").read_text()
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None
