"""All checks, from the hardware up to the service."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mammosono.appliance.doctor import (
    bundle_check,
    dicom_node,
    gpu,
    interpreter,
    power,
    protection,
    resources,
    service,
)
from mammosono.appliance.doctor.check_result import CheckResult, fail
from mammosono.appliance.doctor.devices import device_nodes
from mammosono.appliance.doctor.frequencies import frequencies
from mammosono.appliance.doctor.host import Host
from mammosono.appliance.doctor.jetson import jetson_of, l4t
from mammosono.appliance.doctor.self_test import self_test
from mammosono.appliance.doctor.temperature import temperature
from mammosono.appliance.doctor.time_sync import time_sync
from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.appliance.security import tokens
from mammosono.appliance.security.exposure import wants_tls
from mammosono.appliance.security.tokens import Tokens
from mammosono.engines.open import open_engine

if TYPE_CHECKING:
    from mammosono.appliance.settings import Settings


def examine(settings: Settings, host: Host) -> tuple[CheckResult, ...]:
    """One result for each check. Takes seconds: the engine is started once."""
    jetson = jetson_of(host)
    python = interpreter.ask(host, settings.worker_python)
    tensorrt = interpreter.uses_tensorrt(python, jetson, settings.runtime)
    tls = wants_tls(settings)
    serving = service.ask(host, settings.host, settings.port, tls=tls)
    bundle_line, bundle = bundle_check.check_bundle(settings.bundle, settings.bundle_sha256)
    data = settings.plans or settings.bundle or SHIPPED
    checks: tuple[Callable[[], CheckResult], ...] = (
        partial(l4t, jetson),
        partial(power.power_mode, host, jetson),
        partial(power.power_supply, host, jetson),
        partial(frequencies, host, jetson),
        partial(temperature, host),
        partial(resources.memory, host, tensorrt=tensorrt, serving=serving.ready),
        partial(resources.swap, host, jetson),
        partial(resources.disk, host, Path(data)),
        partial(time_sync, host),
        partial(device_nodes, host, jetson),
        partial(gpu.gpu, python, jetson, tensorrt=tensorrt),
        partial(interpreter.pythons, python, settings.worker_python),
        partial(gpu.tensorrt, python, jetson, used=tensorrt),
        lambda: bundle_line,
        partial(bundle_check.plans, bundle, settings.plans, python, tensorrt=tensorrt),
        partial(
            self_test, bundle, lambda made: open_engine(made, settings.engine()),
            worker=settings.worker_python is not None, serving=serving.ready,
        ),
        partial(protection.permissions, settings),
        partial(protection.certificate, settings, host, used=tls),
        partial(protection.tokens_, settings),
        partial(protection.audit_log, settings),
        partial(dicom_node.outbox, settings),
        partial(dicom_node.certificates, settings, host),
        partial(service.port, serving, settings.port),
        lambda: service.exposure(
            settings.host,
            container=service.in_container(host),
            tokens=Tokens(settings.state_folder() / tokens.FILE).in_use,
            tls=tls,
        ),
    )  # fmt: skip
    return tuple(map(_checked, checks))


def _checked(check: Callable[[], CheckResult]) -> CheckResult:
    # An unknown kind of sensor must not hide the results of the other checks.
    try:
        return check()
    except Exception as error:
        name = check.func.__name__ if isinstance(check, partial) else "a check"
        return fail(
            "This command",
            f"{name} itself failed: {type(error).__name__}",
            "report it with the board's model and the output of: uname -a",
        )
