"""Timing cache: the builder's measurements of each kernel, kept for the next build.

TensorRT reads such bytes in good faith: one flipped bit can take the process down, and times
taken with other memory at hand would pick kernels that this build could not afford. So the file
says first what it belongs to and what it hashes to, and whatever does not fit is not there.
"""

import hashlib
import json
import os
import stat

from mammosono.engines.trt.device import Device

FILE = "timing.cache"


def read_timings(folder: str, device: Device, workspace_mb: int) -> bytes:
    """The cache of an earlier build on this device with this workspace; b"" if there is none."""
    try:
        with open(os.path.join(folder, FILE), "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
                return b""
            head, _, data = file.read().partition(b"\n")
    except OSError:
        return b""
    return data if head == _head(data, device, workspace_mb) else b""


def write_timings(folder: str, device: Device, workspace_mb: int, data: bytes) -> None:
    """Replace the cache, whole or not at all. Raises OSError."""
    temporary = os.path.join(folder, FILE + ".new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(_head(data, device, workspace_mb) + b"\n" + data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, os.path.join(folder, FILE))


def _head(data: bytes, device: Device, workspace_mb: int) -> bytes:
    head = {
        "device": list(device),
        "workspace_mb": workspace_mb,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return json.dumps(head, sort_keys=True).encode("ascii")
