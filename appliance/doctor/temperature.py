"""Temperatures, against those at which the machine throttles."""

from __future__ import annotations

from mammosono.appliance.doctor.check_result import CheckResult, fail, note, ok, warn
from mammosono.appliance.doctor.host import Host
from mammosono.appliance.telemetry.sensors import thermal_zones

TOPIC = "Temperature"

_THROTTLES = 95.0
"""Degrees Celsius, where a zone does not say; Nano and Orin do, 97 and 99."""
_NEAR = 10.0
_PLAUSIBLE = (60.0, 120.0)
_NOT_MEASURED = ("PMIC-Die", "thermal-fan-est")
"""The first reads 100 on every Nano, hot or cold; the second is a mean of others."""
_REMEDY = "check the fan and the air around the machine; at its limit it slows down"


def temperature(host: Host) -> CheckResult:
    zones = [zone for zone in thermal_zones(host.root) if zone.name not in _NOT_MEASURED]
    if not zones:
        return note(TOPIC, "no sensor can be read here")
    limits = {zone: _limit(host, zone.folder) for zone in zones}
    zone = min(zones, key=lambda zone: limits[zone] - zone.celsius)
    hottest, limit = zone.celsius, limits[zone]
    observation = f"{zone.name} {hottest:.0f} °C, limit {limit:.0f} °C"
    if hottest >= limit:
        return fail(TOPIC, observation, _REMEDY)
    if hottest >= limit - _NEAR:
        return warn(TOPIC, observation, _REMEDY)
    return ok(TOPIC, observation)


def _limit(host: Host, zone: str) -> float:
    """The zone's lowest passive trip point, degrees Celsius."""
    trips = []
    for path in host.glob(f"{zone}/trip_point_*_type"):
        if host.text(path) == "passive":
            celsius = (host.number(path.removesuffix("type") + "temp") or 0) / 1000
            if _PLAUSIBLE[0] <= celsius <= _PLAUSIBLE[1]:
                trips.append(celsius)
    return min(trips, default=_THROTTLES)
