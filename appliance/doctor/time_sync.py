"""Time synchronisation: readings carry their date."""

from __future__ import annotations

from datetime import datetime, timezone

from mammosono.appliance.doctor.check_result import CheckResult, fail, note, ok, warn
from mammosono.appliance.doctor.host import Host

TOPIC = "Time"

_FIRST_YEAR = 2025
"""Before it this software did not exist. A Nano has no battery: without a time server it wakes
up where its image was made."""
_REMEDY = (
    "on the host: sudo timedatectl set-ntp true\n"
    "without the internet, name the site's time server: NTP= in /etc/systemd/timesyncd.conf"
)


def time_sync(host: Host) -> CheckResult:
    now = datetime.fromtimestamp(host.now(), timezone.utc)
    observation = f"{now:%Y-%m-%d %H:%M} UTC"
    if now.year < _FIRST_YEAR:
        return fail(TOPIC, f"the clock says {observation}", _REMEDY)
    synchronised = host.synchronised()
    if synchronised is None:
        return note(TOPIC, f"{observation}; whether a time server sets it cannot be read", _REMEDY)
    if not synchronised:
        return warn(TOPIC, f"{observation}, set by no time server", _REMEDY)
    return ok(TOPIC, f"{observation}, set by a time server")
