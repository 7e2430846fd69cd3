"""Identity of the device, as far as a plan depends on it."""

import hashlib
import re
from typing import NamedTuple

from mammosono.engines.trt.api_compat import import_tensorrt
from mammosono.engines.trt.memory import first_gpu

_RELEASE = "/etc/nv_tegra_release"
# The board's own number first: an installation copied from card to card keeps its machine-id.
_IDENTITIES = ("/proc/device-tree/serial-number", "/etc/machine-id")
_L4T = re.compile(r"#\s*R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)")


class Device(NamedTuple):
    """A plan fits the device it was built on, and only that one.

    gpu: its name, as CUDA gives it.
    compute_capability: "5.3" of the Jetson Nano.
    tensorrt: version of NVIDIA's module; a plan needs the same one to the last part.
    l4t: version of Jetson Linux, "32.7.1"; "" where there is none.
    serial: sha256 in hex of the board's serial number or the installation's id; "" if unknown.
    """

    gpu: str
    compute_capability: str
    tensorrt: str
    l4t: str
    serial: str


def this_device() -> Device:
    """The device that this process would run on.

    Raises EngineUnavailable if TensorRT or PyCUDA is not installed, or if there is no GPU.
    """
    tensorrt = import_tensorrt()
    gpu = first_gpu()
    return Device(
        gpu=gpu.name(),
        compute_capability="%d.%d" % gpu.compute_capability(),
        tensorrt=tensorrt.__version__,
        l4t=l4t_release(_read(_RELEASE)),
        serial=_serial(),
    )


def l4t_release(release: str) -> str:
    """ "32.7.1" from "# R32 (release), REVISION: 7.1, GCID: ..."."""
    found = _L4T.match(release)
    return "%s.%s" % found.groups() if found else ""


def _serial() -> str:
    for path in _IDENTITIES:
        identity = _read(path).strip("\0 \n")
        if identity:
            return hashlib.sha256(identity.encode("utf-8")).hexdigest()
    return ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
