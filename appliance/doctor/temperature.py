"""How hot the board is, against what makes it throttle."""

from __future__ import annotations

from mammosono.appliance.doctor.check_result import Line, fail, note, ok, warn
from mammosono.appliance.doctor.host import Machine

TOPIC = "Temperature"

_THROTTLES = 95.0
"""Degrees Celsius, where a zone does not say; Nano and Orin do, 97 and 99."""
_NEAR = 10.0
_PLAUSIBLE = (60.0, 120.0)
_NOT_MEASURED = ("PMIC-Die", "thermal-fan-est")
"""The first reads 100 on every Nano, hot or cold; the second is a mean of others."""
_REMEDY = "check the fan and the air around the box; at its limit it slows down"


def temperature(machine: Machine) -> Line:
    seen = []
    for zone in machine.glob("sys/class/thermal/thermal_zone*"):
        name = machine.text(f"{zone}/type")
        millidegrees = machine.number(f"{zone}/temp")  # a zone that is powered off has none
        if millidegrees is not None and name not in _NOT_MEASURED:
            seen.append((millidegrees / 1000, _throttles(machine, zone), name))
    if not seen:
        return note(TOPIC, "no sensor can be read here")
    hottest, limit, name = min(seen, key=lambda one: one[1] - one[0])
    said = f"{name} {hottest:.0f} °C, limit {limit:.0f} °C"
    if hottest >= limit:
        return fail(TOPIC, said, _REMEDY)
    if hottest >= limit - _NEAR:
        return warn(TOPIC, said, _REMEDY)
    return ok(TOPIC, said)


def _throttles(machine: Machine, zone: str) -> float:
    """The zone's lowest passive trip point, degrees Celsius."""
    trips = []
    for path in machine.glob(f"{zone}/trip_point_*_type"):
        if machine.text(path) == "passive":
            celsius = (machine.number(path.removesuffix("type") + "temp") or 0) / 1000
            if _PLAUSIBLE[0] <= celsius <= _PLAUSIBLE[1]:
                trips.append(celsius)
    return min(trips, default=_THROTTLES)
