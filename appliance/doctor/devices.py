"""The device files of a Jetson's GPU, and whether we may open them."""

from __future__ import annotations

from mammosono.appliance.doctor.check_result import Line, fail, not_a_jetson, ok
from mammosono.appliance.doctor.host import Machine, Owner
from mammosono.appliance.doctor.jetson import Board

TOPIC = "Device nodes"

_MEMORY = "dev/nvmap"
_CONTROL = ("dev/nvhost-ctrl-gpu", "dev/nvgpu/igpu0/ctrl")
"""The first file that CUDA opens, by its name up to JetPack 5 and from 6."""
_OTHERS = ("dev/nvhost-ctrl", "dev/nvhost-gpu", "dev/nvhost-as-gpu",
           "dev/nvgpu/igpu0/as", "dev/nvgpu/igpu0/channel")  # fmt: skip


def device_nodes(machine: Machine, board: Board) -> Line:
    if not board.jetson:
        return not_a_jetson(TOPIC)
    owners = {path: machine.owner(machine.root / path) for path in (_MEMORY, *_CONTROL, *_OTHERS)}
    there = {path: owner for path, owner in owners.items() if owner is not None}
    if _MEMORY not in there or not any(path in there for path in _CONTROL):
        missing = _MEMORY if _MEMORY not in there else _CONTROL[0]
        return fail(
            TOPIC,
            f"/{missing} is not here",
            "start the container with --runtime nvidia; on the host itself, restart the box",
        )
    closed = {path: owner for path, owner in there.items() if not _opens(owner, machine)}
    if closed:
        path, owner = next(iter(closed.items()))
        more = len(closed) - 1
        return fail(
            TOPIC,
            f"/{path} is closed to uid {machine.uid}; it belongs to group "
            f"{_group(machine, owner.gid)}" + (f" (and {more} more)" if more else ""),
            f"in a container: --group-add {owner.gid}\n"
            f"on the host: sudo usermod -aG {_group(machine, owner.gid)} USER; sign in again",
        )
    return ok(TOPIC, f"{len(there)} of GPU and memory, open to uid {machine.uid}")


def _opens(owner: Owner, machine: Machine) -> bool:
    """Whether we may read and write, as the kernel decides it: the first class that fits rules."""
    if machine.uid == 0:
        return True
    shift = 6 if machine.uid == owner.uid else 3 if owner.gid in machine.gids else 0
    return owner.mode >> shift & 0o6 == 0o6


def _group(machine: Machine, gid: int) -> str:
    rows = (row.split(":") for row in machine.text("etc/group").splitlines())
    return next((row[0] for row in rows if len(row) > 2 and row[2] == str(gid)), str(gid))
