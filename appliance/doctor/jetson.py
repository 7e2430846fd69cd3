"""Jetson model and release of L4T (Jetson Linux)."""

from __future__ import annotations

from dataclasses import dataclass

from mammosono.appliance.doctor.check_result import CheckResult, fail, note, ok, warn
from mammosono.appliance.doctor.host import Host
from mammosono.engines.trt.device import l4t_release

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


@dataclass(frozen=True, slots=True)
class Jetson:
    """Whether the host is one, and which. model, l4t ("32.7.1"): "" if unknown."""

    is_jetson: bool
    model: str
    l4t: str
    kernel: str

    @property
    def release_line(self) -> int:
        """The release line of L4T: 32, 36; 0 if unknown."""
        return int(self.l4t.split(".")[0]) if self.l4t else 0


def jetson_of(host: Host) -> Jetson:
    kernel = host.text("proc/sys/kernel/osrelease")
    # Docker hides the device tree from a container, but not the second.
    model = host.text("proc/device-tree/model") or host.text("sys/devices/soc0/machine")
    family = host.text("sys/devices/soc0/family")
    return Jetson(
        # The release file alone proves nothing: the container's image brings its own.
        is_jetson="tegra" in kernel or family == "Tegra" or "Jetson" in model,
        model=model,
        l4t=l4t_release(host.text("etc/nv_tegra_release")),
        kernel=kernel,
    )


def l4t(jetson: Jetson) -> CheckResult:
    if not jetson.is_jetson:
        return note(TOPIC, f"not a Jetson: Linux {jetson.kernel or 'of unknown version'}")
    if not jetson.l4t:
        return warn(
            TOPIC,
            f"{_model(jetson)}, but the release of L4T is unknown",
            "give the container the file: -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro",
        )
    jetpack = f" (JetPack {_JETPACK[jetson.l4t]})" if jetson.l4t in _JETPACK else ""
    observation = f"L4T {jetson.l4t}{jetpack} on {_model(jetson)}"
    beneath = _LINE_OF_KERNEL.get(".".join(jetson.kernel.split(".")[:2]), jetson.release_line)
    if beneath != jetson.release_line:
        return fail(
            TOPIC,
            f"the image is made for L4T {jetson.l4t}, this machine runs L4T {beneath}",
            f"build the image for this machine: Dockerfile.l4t with the build args of r{beneath}",
        )
    if tuple(int(part) for part in jetson.l4t.split(".")[:2]) < _OLDEST:
        return fail(
            TOPIC,
            f"{observation}: its TensorRT is older than 8.2",
            "flash JetPack 4.6.1 or later (Nano) or JetPack 6 (Orin)",
        )
    if jetson.release_line not in _TRIED:
        return warn(
            TOPIC,
            f"{observation}: this software was not made for that line",
            "use JetPack 4.6.x (Nano) or JetPack 6 (Orin)",
        )
    return ok(TOPIC, observation)


def _model(jetson: Jetson) -> str:
    return jetson.model.removeprefix("NVIDIA ") or "a Jetson that does not name itself"
