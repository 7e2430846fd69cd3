"""Power mode and power supply."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf

from mammosono.appliance.doctor.check_result import CheckResult, not_a_jetson, note, ok, warn
from mammosono.appliance.doctor.host import Host
from mammosono.appliance.doctor.jetson import Jetson

MODE = "Power mode"
SUPPLY = "Power supply"

_ASKED = re.compile(r"NV Power Mode:\s*(\S+)\s+(\d+)")
_STATUS = re.compile(r"pmode:0*(\d+)")
_DEFINED = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>")
_WATT = re.compile(r"(\d+)W")


@dataclass(frozen=True, slots=True)
class Mode:
    id: int
    name: str

    @property
    def watt(self) -> float:
        """Its budget; MAXN, and MAXN_SUPER above it, have none."""
        watt = _WATT.search(self.name)
        return inf if self.name.startswith("MAXN") else float(watt[1]) if watt else 0.0


def power_mode(host: Host, jetson: Jetson) -> CheckResult:
    if not jetson.is_jetson:
        return not_a_jetson(MODE)
    modes = _modes(host)
    mode = _mode(host, modes)
    if mode is None:
        return note(MODE, "nvpmodel cannot be asked here", "ask on the host: sudo nvpmodel -q")
    best = max((mode, *modes), key=lambda each: each.watt)
    if best.watt > mode.watt:
        supply = " (a Nano then needs the 5 V 4 A barrel jack)" if jetson.release_line == 32 else ""
        return warn(
            MODE,
            f"{mode.name} (mode {mode.id}), where {best.name} (mode {best.id}) would be faster",
            f"on the host: sudo nvpmodel -m {best.id}{supply}",
        )
    return ok(MODE, f"{mode.name} (mode {mode.id})")


def power_supply(host: Host, jetson: Jetson) -> CheckResult:
    """From Orin on the hardware counts how often it throttled for want of power."""
    if not jetson.is_jetson:
        return not_a_jetson(SUPPLY)
    counts = [
        (host.number(path), path) for path in host.glob("sys/class/hwmon/hwmon*/oc*_event_cnt")
    ]
    if not counts:
        return note(SUPPLY, "this board does not count its power alarms")
    low = sum(count or 0 for count, path in counts if path.endswith("/oc1_event_cnt"))
    over = sum(count or 0 for count, _ in counts) - low
    if low:
        return warn(
            SUPPLY,
            f"throttled {_times(low)} since the start because the voltage fell",
            "use the supply that came with the board, on its own socket, with a shorter cable",
        )
    if over:
        return note(SUPPLY, f"throttled {_times(over)} since the start at peaks of current")
    return ok(SUPPLY, "no under-voltage and no over-current since the start")


def _modes(host: Host) -> tuple[Mode, ...]:
    defined = _DEFINED.findall(host.text("etc/nvpmodel.conf"))
    return tuple(Mode(int(number), name) for number, name in defined)


def _mode(host: Host, modes: tuple[Mode, ...]) -> Mode | None:
    for command in ("/usr/sbin/nvpmodel", "/usr/bin/nvpmodel"):
        ran = host.run((command, "-q"), 10.0)
        match = _ASKED.search(ran.out) if ran is not None and ran.status == 0 else None
        if match:
            return Mode(int(match[2]), match[1])
    # What nvpmodel keeps over a restart; a container may have been given that and no more.
    status = _STATUS.search(host.text("var/lib/nvpmodel/status"))
    return next((mode for mode in modes if status and mode.id == int(status[1])), None)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
