"""Device files of a Jetson's GPU, and permission to open them."""

from __future__ import annotations

from mammosono.appliance.doctor.check_result import CheckResult, fail, not_a_jetson, ok
from mammosono.appliance.doctor.host import Host, Owner
from mammosono.appliance.doctor.jetson import Jetson

TOPIC = "Device nodes"

_MEMORY = "dev/nvmap"
_CONTROL = ("dev/nvhost-ctrl-gpu", "dev/nvgpu/igpu0/ctrl")
"""The first file that CUDA opens, by its name up to JetPack 5 and from 6."""
_OTHERS = ("dev/nvhost-ctrl", "dev/nvhost-gpu", "dev/nvhost-as-gpu",
           "dev/nvgpu/igpu0/as", "dev/nvgpu/igpu0/channel")  # fmt: skip


def device_nodes(host: Host, jetson: Jetson) -> CheckResult:
    if not jetson.is_jetson:
        return not_a_jetson(TOPIC)
    owners = {path: host.owner(host.root / path) for path in (_MEMORY, *_CONTROL, *_OTHERS)}
    there = {path: owner for path, owner in owners.items() if owner is not None}
    if _MEMORY not in there or not any(path in there for path in _CONTROL):
        missing = _MEMORY if _MEMORY not in there else _CONTROL[0]
        return fail(
            TOPIC,
            f"/{missing} is not here",
            "start the container with --runtime nvidia; on the host itself, restart the machine",
        )
    closed = {path: owner for path, owner in there.items() if not _opens(owner, host)}
    if closed:
        path, owner = next(iter(closed.items()))
        more = len(closed) - 1
        return fail(
            TOPIC,
            f"/{path} is closed to uid {host.uid}; it belongs to group "
            f"{_group(host, owner.gid)}" + (f" (and {more} more)" if more else ""),
            f"in a container: --group-add {owner.gid}\n"
            f"on the host: sudo usermod -aG {_group(host, owner.gid)} USER; sign in again",
        )
    return ok(TOPIC, f"{len(there)} of GPU and memory, open to uid {host.uid}")


def _opens(owner: Owner, host: Host) -> bool:
    """Whether we may read and write, as the kernel decides it: the first class that fits rules."""
    if host.uid == 0:
        return True
    shift = 6 if host.uid == owner.uid else 3 if owner.gid in host.gids else 0
    return owner.mode >> shift & 0o6 == 0o6


def _group(host: Host, gid: int) -> str:
    rows = (row.split(":") for row in host.text("etc/group").splitlines())
    return next((row[0] for row in rows if len(row) > 2 and row[2] == str(gid)), str(gid))
