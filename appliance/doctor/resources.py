"""Room: RAM, swap and disk."""

from __future__ import annotations

import re
from pathlib import Path

from mammosono.appliance.doctor.check_result import Line, fail, note, ok, warn
from mammosono.appliance.doctor.host import Machine
from mammosono.appliance.doctor.jetson import Board

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


def swap(machine: Machine, board: Board) -> Line:
    small = _meminfo(machine, "MemTotal") < _SMALL
    rows = [row.split() for row in machine.text("proc/swaps").splitlines()[1:]]
    zram = sum(int(row[2]) for row in rows if "/zram" in row[0]) * 1024
    size = sum(int(row[2]) for row in rows) * 1024
    used = sum(int(row[3]) for row in rows) * 1024
    if used > size / 2:
        return warn(
            SWAP,
            f"{_gib(used)} of {_gib(size)} in use: the box is short of memory",
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


def memory(machine: Machine, *, tensorrt: bool, serving: bool) -> Line:
    """tensorrt: that is what will be loaded. serving: it is loaded already, by the service."""
    free = _available(machine)
    total = _meminfo(machine, "MemTotal")
    if not total:
        return note(MEMORY, "the kernel does not say how much there is")
    needed = _SERVING if serving else _TENSORRT if tensorrt else _ONNXRUNTIME
    said = f"{_gib(free)} of {_gib(total)}"
    if free >= needed:
        return ok(MEMORY, said)
    told = fail if free < needed / 2 else warn
    beside = "the running service should keep" if serving else "starting the engine takes"
    return told(
        MEMORY,
        f"{said}; {beside} {_gib(needed)}",
        _LESS,
    )


def disk(machine: Machine, folder: Path) -> Line:
    """Where `folder` lies, or the nearest folder above it that exists."""
    near = next((path for path in (folder, *folder.parents) if machine.owner(path)), Path("/"))
    seen = machine.disk(near)
    if seen is None:
        return note(DISK, f"cannot be asked at {near}")
    free, total = seen
    said = f"{_gib(free)} of {_gib(total)} at {near}"
    if free >= _DISK_WARN:
        return ok(DISK, said)
    told = fail if free < _DISK_FAIL else warn
    return told(DISK, said, "make room: sudo apt-get clean; docker image prune; old logs")


def _available(machine: Machine) -> int:
    """Bytes that can still be had: of the box, and of the container if it is bounded."""
    free = _meminfo(machine, "MemAvailable")
    for group, limit, used in (
        ("sys/fs/cgroup", "memory.max", "memory.current"),
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        most, taken = machine.number(f"{group}/{limit}"), machine.number(f"{group}/{used}")
        if most is not None and taken is not None:
            # Files read once lie in the group's account; the kernel gives them up when asked.
            cached = re.search(r"^inactive_file (\d+)", machine.text(f"{group}/memory.stat"), re.M)
            free = min(free, most - taken + (int(cached[1]) if cached else 0))
    return max(free, 0)


def _meminfo(machine: Machine, name: str) -> int:
    for row in machine.text("proc/meminfo").splitlines():
        if row.startswith(f"{name}:"):
            return int(row.split()[1]) * 1024
    return 0


def _gib(count: float) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"
