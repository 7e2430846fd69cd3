"""Which board this is, and which L4T runs on it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mammosono.appliance.doctor.check_result import Line, fail, note, ok, warn
from mammosono.appliance.doctor.host import Machine

TOPIC = "L4T and JetPack"

# NVIDIA's release notes. 32.7.1 is the first with TensorRT 8.2.1.
_JETPACK = {
    "32.7.1": "4.6.1", "32.7.2": "4.6.2", "32.7.3": "4.6.3", "32.7.4": "4.6.4",
    "32.7.5": "4.6.5", "32.7.6": "4.6.6", "35.1.0": "5.0.2", "35.2.1": "5.1",
    "35.3.1": "5.1.1", "35.4.1": "5.1.2", "35.5.0": "5.1.3", "35.6.0": "5.1.4",
    "36.3.0": "6.0", "36.4.0": "6.1", "36.4.3": "6.2", "36.4.4": "6.2.1", "36.4.7": "6.2.1",
}  # fmt: skip
_LINE_OF_KERNEL = {"4.9": 32, "5.10": 35, "5.15": 36}
_OLDEST = (32, 7)
_TRIED = (32, 36)
_RELEASE = re.compile(r"R(\d+) \(release\), REVISION: (\d+(?:\.\d+)*)")


@dataclass(frozen=True, slots=True)
class Board:
    """model: as the board names itself, "" if it does not. l4t: "32.7.1", "" if unknown."""

    jetson: bool
    model: str
    l4t: str
    kernel: str

    @property
    def line(self) -> int:
        """The release line of L4T: 32, 36; 0 if unknown."""
        return int(self.l4t.split(".")[0]) if self.l4t else 0


def board_of(machine: Machine) -> Board:
    kernel = machine.text("proc/sys/kernel/osrelease")
    # Docker hides the device tree from a container, but not the second.
    model = machine.text("proc/device-tree/model") or machine.text("sys/devices/soc0/machine")
    family = machine.text("sys/devices/soc0/family")
    release = _RELEASE.search(machine.text("etc/nv_tegra_release"))
    return Board(
        # The release file alone proves nothing: the container's image brings its own.
        jetson="tegra" in kernel or family == "Tegra" or "Jetson" in model,
        model=model,
        l4t=".".join(release.groups()) if release else "",
        kernel=kernel,
    )


def l4t(board: Board) -> Line:
    if not board.jetson:
        return note(TOPIC, f"not a Jetson: Linux {board.kernel or 'of unknown version'}")
    if not board.l4t:
        return warn(
            TOPIC,
            f"{_model(board)}, but the release of L4T cannot be told",
            "give the container the file: -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro",
        )
    jetpack = f" (JetPack {_JETPACK[board.l4t]})" if board.l4t in _JETPACK else ""
    said = f"L4T {board.l4t}{jetpack} on {_model(board)}"
    beneath = _LINE_OF_KERNEL.get(".".join(board.kernel.split(".")[:2]), board.line)
    if beneath != board.line:
        return fail(
            TOPIC,
            f"the image is made for L4T {board.l4t}, the box runs L4T {beneath}",
            f"build the image for this box: Dockerfile.l4t with the build args of r{beneath}",
        )
    if tuple(int(part) for part in board.l4t.split(".")[:2]) < _OLDEST:
        return fail(
            TOPIC,
            f"{said}: its TensorRT is older than 8.2",
            "flash JetPack 4.6.1 or later (Nano) or JetPack 6 (Orin)",
        )
    if board.line not in _TRIED:
        return warn(
            TOPIC,
            f"{said}: this software was not made for that line",
            "use JetPack 4.6.x (Nano) or JetPack 6 (Orin)",
        )
    return ok(TOPIC, said)


def _model(board: Board) -> str:
    return board.model.removeprefix("NVIDIA ") or "a Jetson that does not name itself"
