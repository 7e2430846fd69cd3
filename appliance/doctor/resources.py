"""RAM, swap and disk."""

from __future__ import annotations

import re
from pathlib import Path

from mammosono.appliance.doctor.check_result import CheckResult, fail, note, ok, warn
from mammosono.appliance.doctor.host import Host
from mammosono.appliance.doctor.jetson import Jetson
from mammosono.appliance.telemetry.sensors import meminfo_bytes

SWAP = "Swap"
MEMORY = "Free memory"
DISK = "Free disk"

MIB = 1024 * 1024
GIB = 1024 * MIB
_SMALL = 6 * GIB
"""RAM below which a build of engines needs a swap file beside it."""
_TENSORRT = 3 * GIB // 2
"""CUDA, cuBLAS and cuDNN alone take 0.7 to 1.3 GB of a Nano before the first engine is loaded."""
_ONNXRUNTIME = GIB // 2
_SERVING = 256 * MIB
"""Left beside a service that already holds its engine."""
_DISK_WARN, _DISK_FAIL = 2 * GIB, GIB // 2
_SWAP_FILE = (
    "sudo fallocate -l 4G /var/swapfile && sudo chmod 600 /var/swapfile\n"
    "sudo mkswap /var/swapfile && sudo swapon /var/swapfile"
)
_LESS = (
    "stop what else runs here; the desktop, on the host:\n"
    "sudo systemctl set-default multi-user.target && sudo reboot"
)


def swap(host: Host, jetson: Jetson) -> CheckResult:
    small = _total(host) < _SMALL
    rows = [row.split() for row in host.text("proc/swaps").splitlines()[1:]]
    zram = sum(int(row[2]) for row in rows if "/zram" in row[0]) * 1024
    size = sum(int(row[2]) for row in rows) * 1024
    used = sum(int(row[3]) for row in rows) * 1024
    if used > size / 2:
        return warn(
            SWAP,
            f"{_gib(used)} of {_gib(size)} in use: memory is short",
            _LESS,
        )
    if size > zram:
        return ok(SWAP, f"{_gib(size - zram)} on disk" + (f", {_gib(zram)} zram" if zram else ""))
    if not small:
        return ok(SWAP, "none, and none is needed" if not zram else f"{_gib(zram)} zram")
    if not zram:
        return warn(
            SWAP, "none, beside little memory", f"add a swap file, on the host:\n{_SWAP_FILE}"
        )
    return note(
        SWAP,
        f"{_gib(zram)} zram: enough to read, in the way when engines are built",
        f"before build-engine, on the host:\nsudo systemctl stop nvzramconfig\n{_SWAP_FILE}",
    )


def memory(host: Host, *, tensorrt: bool, serving: bool) -> CheckResult:
    """tensorrt: that is what will be loaded. serving: it is loaded already, by the service."""
    free = _available(host)
    total = _total(host)
    if not total:
        return note(MEMORY, "the kernel does not say how much there is")
    needed = _SERVING if serving else _TENSORRT if tensorrt else _ONNXRUNTIME
    observation = f"{_gib(free)} of {_gib(total)}"
    if free >= needed:
        return ok(MEMORY, observation)
    result = fail if free < needed / 2 else warn
    beside = "the running service should keep" if serving else "starting the engine takes"
    return result(
        MEMORY,
        f"{observation}; {beside} {_gib(needed)}",
        _LESS,
    )


def disk(host: Host, folder: Path) -> CheckResult:
    """`folder`, or the nearest folder above it that exists."""
    near = next((path for path in (folder, *folder.parents) if host.owner(path)), Path("/"))
    usage = host.disk(near)
    if usage is None:
        return note(DISK, f"cannot be asked at {near}")
    free, total = usage
    observation = f"{_gib(free)} of {_gib(total)} at {near}"
    if free >= _DISK_WARN:
        return ok(DISK, observation)
    result = fail if free < _DISK_FAIL else warn
    return result(DISK, observation, "make room: sudo apt-get clean; docker image prune; old logs")


def _available(host: Host) -> int:
    """Bytes still available: of the machine, and of the container if it is limited."""
    free = meminfo_bytes(host.root, "MemAvailable") or 0
    for group, limit, used in (
        ("sys/fs/cgroup", "memory.max", "memory.current"),
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        most, taken = host.number(f"{group}/{limit}"), host.number(f"{group}/{used}")
        if most is not None and taken is not None:
            # Files read once lie in the group's account; the kernel gives them up when asked.
            cached = re.search(r"^inactive_file (\d+)", host.text(f"{group}/memory.stat"), re.M)
            free = min(free, most - taken + (int(cached[1]) if cached else 0))
    return max(free, 0)


def _total(host: Host) -> int:
    return meminfo_bytes(host.root, "MemTotal") or 0


def _gib(count: float) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"
