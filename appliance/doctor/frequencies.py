"""Clock frequencies of GPU and CPU, as nvpmodel and jetson_clocks set them in sysfs."""

from __future__ import annotations

from mammosono.appliance.doctor.check_result import CheckResult, not_a_jetson, note, ok, warn
from mammosono.appliance.doctor.host import Host
from mammosono.appliance.doctor.jetson import Jetson

TOPIC = "Clocks"

_GPU = (".gpu", ".gp10b", ".gv11b", ".ga10b")
"""How the GPU's devfreq folder ends on Nano and Orin, TX2, Xavier, Orin with JetPack 5."""
_FASTER = "on the host: sudo nvpmodel -m N; the modes N are in /etc/nvpmodel.conf"
_CPUS = "sys/devices/system/cpu"


def frequencies(host: Host, jetson: Jetson) -> CheckResult:
    if not jetson.is_jetson:
        return not_a_jetson(TOPIC)
    online, present = (_count(host.text(f"{_CPUS}/{name}")) for name in ("online", "present"))
    cores = f"{online} of {present} cores" if online < present else f"{online} cores"
    gpu = next((p for p in host.glob("sys/class/devfreq/*") if p.endswith(_GPU)), None)
    if gpu is None:
        return warn(
            TOPIC,
            f"the GPU's clock cannot be read; {cores}",
            "restart the machine: its driver did not come up",
        )
    low, high = (host.number(f"{gpu}/{name}") or 0 for name in ("min_freq", "max_freq"))
    steps = [int(step) for step in host.text(f"{gpu}/available_frequencies").split()]
    top = max([high, *steps])
    if high < top or online < present:
        held = f"GPU up to {_mhz(high)} of {_mhz(top)} MHz, {cores}"
        return warn(TOPIC, f"held back by the power mode: {held}", _FASTER)
    if low < high:
        observation = f"GPU {_mhz(low)} to {_mhz(high)} MHz as the load asks, {cores}"
        return note(TOPIC, observation, "for steadier times, after each start: sudo jetson_clocks")
    return ok(TOPIC, f"GPU pinned at {_mhz(high)} MHz, {cores}")


def _count(ranges: str) -> int:
    """How many numbers "0-3,5" names."""
    ends = [part.split("-") for part in ranges.split(",") if part]
    return sum(int(end[-1]) - int(end[0]) + 1 for end in ends)


def _mhz(hertz: int) -> str:
    return f"{hertz / 1e6:.1f}".removesuffix(".0")
