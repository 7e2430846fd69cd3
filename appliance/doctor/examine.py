"""All checks, from the board up to the service."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mammosono.appliance.doctor import bundle_check as model_files
from mammosono.appliance.doctor import gpu, interpreter, power, service
from mammosono.appliance.doctor import resources as room
from mammosono.appliance.doctor.check_result import Line, fail
from mammosono.appliance.doctor.devices import device_nodes
from mammosono.appliance.doctor.frequencies import clocks
from mammosono.appliance.doctor.host import Machine
from mammosono.appliance.doctor.jetson import board_of, l4t
from mammosono.appliance.doctor.self_test import self_test
from mammosono.appliance.doctor.temperature import temperature
from mammosono.appliance.doctor.time_sync import time_sync
from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.appliance.security import tokens
from mammosono.appliance.security.exposure import wants_tls
from mammosono.appliance.security.tokens import Tokens

if TYPE_CHECKING:
    from mammosono.appliance.settings import Settings


def examine(settings: Settings, machine: Machine) -> tuple[Line, ...]:
    """One line for each thing that can be wrong. Takes seconds: it starts the engine once."""
    board = board_of(machine)
    python = interpreter.ask(machine, settings.worker_python)
    tensorrt = interpreter.uses_tensorrt(python, board, settings.runtime)
    tls = wants_tls(settings)
    serving = service.ask(machine, settings.host, settings.port, tls=tls)
    bundle_line, bundle = model_files.check_bundle(settings.bundle)
    data = settings.plans or settings.bundle or SHIPPED
    checks: tuple[Callable[[], Line], ...] = (
        partial(l4t, board),
        partial(power.power_mode, machine, board),
        partial(power.power_supply, machine, board),
        partial(clocks, machine, board),
        partial(temperature, machine),
        partial(room.memory, machine, tensorrt=tensorrt, serving=serving.ready),
        partial(room.swap, machine, board),
        partial(room.disk, machine, Path(data)),
        partial(time_sync, machine),
        partial(device_nodes, machine, board),
        partial(gpu.gpu, python, board, tensorrt=tensorrt),
        partial(interpreter.pythons, python, settings.worker_python),
        partial(gpu.tensorrt, python, board, used=tensorrt),
        lambda: bundle_line,
        partial(model_files.plans, bundle, settings.plans, python, tensorrt=tensorrt),
        partial(
            self_test, bundle, settings.network().open,
            worker=settings.worker_python is not None, serving=serving.ready,
        ),
        partial(service.port, serving, settings.port),
        lambda: service.exposure(
            settings.host,
            container=service.in_container(machine),
            tokens=Tokens(settings.state_folder() / tokens.FILE).in_use,
            tls=tls,
        ),
    )  # fmt: skip
    return tuple(map(_looked, checks))


def _looked(check: Callable[[], Line]) -> Line:
    # A sensor that nobody has seen yet must not hide what the other checks found.
    try:
        return check()
    except Exception as error:
        name = check.func.__name__ if isinstance(check, partial) else "a check"
        return fail(
            "This command",
            f"{name} itself failed: {type(error).__name__}",
            "report it with the board's model and the output of: uname -a",
        )
