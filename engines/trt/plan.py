"""Plans: stages compiled by TensorRT for this device.

    trunk.plan   what TensorRT serialised
    trunk.json   the sidecar: for which device, from which graph, with which hash
    .lock        held shared by an engine for its life, exclusively by the builder

A plan is code. It is handed to TensorRT only after its owner, its mode, its sidecar and its hash
were checked, because TensorRT itself checks little and its message is hard to act on.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Tuple

from mammosono.engines.bundle import Bundle, Stage
from mammosono.engines.disk import write_whole
from mammosono.engines.errors import EngineUnavailable
from mammosono.engines.trt.device import Device
from mammosono.engines.trt.publish import finish

PRECISIONS = ("fp16", "fp32")
"""That TensorRT may choose layer by layer, and single; or else the name of a variant's graph."""
MIXED = "mixed"
"""The variant with half-precision types in the graph, where TensorRT takes them from there."""

BUILD = "run: mammosono-tools build-engine BUNDLE"

_SCHEMA = 1
_LOCK = ".lock"


class Sidecar(NamedTuple):
    """What is known of a plan.

    onnx_sha256: of the graph it was built from: the stage's, or that of the variant that
        `precision` names.
    plan_sha256: of the plan's bytes; `write_plan` fills it in.
    precision: "fp16", "fp32" or a variant's name, as "mixed".
    created: when, ISO 8601 with the offset.
    log: the last lines of the build.
    parity: figures of the trial on the bundle's right answers, by name.
    """

    device: Device
    onnx_sha256: str
    precision: str
    created: str
    log: Tuple[str, ...] = ()
    parity: Mapping[str, float] = {}
    plan_sha256: str = ""


def plans_of(bundle: Bundle) -> str:
    """Where the plans of a bundle lie unless another folder is named."""
    return os.path.join(bundle.folder, "plans")


def write_plan(folder: str, stage: str, plan: bytes, sidecar: Sidecar) -> None:
    """Write the plan of the stage of that name, then its sidecar, each whole or not at all.

    Cut short in between, the new plan lies beside the old sidecar, whose hash it does not have:
    it is refused, not run. Both are readable by their owner alone. Makes `folder` if need be.

    Raises EngineUnavailable if they cannot be written.
    """
    sidecar = sidecar._replace(plan_sha256=hashlib.sha256(plan).hexdigest())
    content = dict(sidecar._asdict(), schema=_SCHEMA, device=dict(sidecar.device._asdict()))
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        write_whole(os.path.join(folder, stage + ".plan"), plan, 0o600)
        write_whole(os.path.join(folder, stage + ".json"), text.encode("utf-8"), 0o600)
    except OSError as error:
        raise EngineUnavailable(
            "stage %s: its plan cannot be written (%s); check space and rights"
            % (stage, error.strerror)
        ) from error


def read_plan(folder: str, stage: Stage, device: Device) -> bytes:
    """The plan of `stage`, if it was built on `device` from this very graph.

    Raises EngineUnavailable, naming what differs and the remedy, if plan or sidecar is missing,
    belongs to another user, can be read or written by others, or does not fit.
    """
    sidecar = read_sidecar(folder, stage.name)
    _check_device(stage.name, sidecar.device, device)
    if sidecar.onnx_sha256 != _graph_sha256(stage, sidecar.precision):
        raise _unfit(stage.name, "was built from another graph than the bundle's")
    plan = _read(folder, stage.name, ".plan")
    if hashlib.sha256(plan).hexdigest() != sidecar.plan_sha256:
        raise _unfit(stage.name, "is damaged: its sha256 is not the sidecar's")
    return plan


def read_sidecar(folder: str, stage: str) -> Sidecar:
    """What is known of the plan of the stage of that name.

    Raises EngineUnavailable as `read_plan` does, but for what only the plan's bytes can show.
    """
    data = _read(folder, stage, ".json")
    try:
        return _parsed(json.loads(data.decode("utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _unfit(stage, "has a malformed sidecar") from error


def plan_state(folder: str, stage: Stage, device: Device) -> str:
    """ "" if the plan of `stage` would be run on `device`, else the reason and the remedy."""
    try:
        read_plan(folder, stage, device)
    except EngineUnavailable as error:
        return str(error)
    return ""


@contextlib.contextmanager
def hold(folder: str, exclusive: bool) -> Iterator[None]:
    """Hold the plans: shared to run them, exclusively to build them. Does not wait.

    Makes `folder` if it is to be built in. Raises EngineUnavailable if somebody else's hold is in
    the way, or if there is no such folder.
    """
    try:
        if exclusive:
            os.makedirs(folder, mode=0o700, exist_ok=True)
        lock = os.open(os.path.join(folder, _LOCK), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise EngineUnavailable("no plans were built yet; " + BUILD) from error
        raise EngineUnavailable(
            "the folder of the plans cannot be used (%s); check its rights" % error.strerror
        ) from error
    try:
        fcntl.flock(lock, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise EngineUnavailable(
            "the service holds the device; stop it: systemctl stop mammosono"
            if exclusive
            else "the plans are being built; start again when build-engine has ended"
        ) from error
    try:
        # Of a build that was cut short while it published. Where they cannot be moved, the plans
        # are checked as they lie.
        with contextlib.suppress(OSError):
            finish(folder)
        yield
    finally:
        os.close(lock)  # and so unlocked


def _check_device(stage: str, built: Device, device: Device) -> None:
    for field, what in (
        ("gpu", "GPU"),
        ("compute_capability", "compute capability"),
        ("tensorrt", "TensorRT"),
        ("l4t", "L4T"),
    ):
        before, now = getattr(built, field), getattr(device, field)
        if before != now:
            raise _unfit(
                stage, "was built for %s %s, not %s" % (what, before or "unknown", now or "unknown")
            )
    if built.serial != device.serial:
        raise _unfit(stage, "was built on another board")


def _graph_sha256(stage: Stage, precision: str) -> str:
    if precision in PRECISIONS:
        return stage.sha256
    variant = stage.variants.get(precision)
    return variant.sha256 if variant else ""


def _parsed(content: Mapping[str, Any]) -> Sidecar:
    fields: Dict[str, Any] = dict(content)
    if fields.pop("schema") != _SCHEMA or not isinstance(fields["precision"], str):
        raise ValueError("another schema")
    return Sidecar(**dict(fields, device=Device(**fields["device"]), log=tuple(fields["log"])))


def _read(folder: str, stage: str, suffix: str) -> bytes:
    try:
        # Through the handle that was looked at: the name may mean another file a moment later.
        handle = os.open(
            os.path.join(folder, stage + suffix),
            os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
        )
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise EngineUnavailable("stage %s: it has no plan; %s" % (stage, BUILD)) from error
        raise _unfit(stage, "cannot be read (%s)" % error.strerror) from error
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise _unfit(stage, "is not a file")
        if status.st_uid != os.geteuid():
            raise _unfit(stage, "belongs to another user")
        if status.st_mode & 0o077:
            raise _unfit(stage, "is open to other users (mode %o)" % (status.st_mode & 0o777))
        return file.read()


def _unfit(stage: str, what: str) -> EngineUnavailable:
    return EngineUnavailable("stage %s: its plan %s; %s" % (stage, what, BUILD))
