"""Self-test of the engine: it is started as by the service and reads a phantom pair."""

from __future__ import annotations

import time
from collections.abc import Callable

from mammosono.appliance.doctor.check_result import CheckResult, failed, note, ok
from mammosono.appliance.errors import ApplianceError
from mammosono.appliance.pipeline.model import model_of
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.self_test import prove
from mammosono.engines.bundle import Bundle
from mammosono.engines.errors import EngineError
from mammosono.engines.interface import Engine

TOPIC = "Engine"


def self_test(
    bundle: Bundle | None, open_engine: Callable[[Bundle], Engine], *, worker: bool, serving: bool
) -> CheckResult:
    """worker: that the engine has a process of its own. serving: that the service is ready.

    Beside a ready service no second engine is started: a Nano has memory for one.
    """
    if serving:
        return ok(TOPIC, "the running service is ready; no second one is started beside it")
    if bundle is None:
        return note(TOPIC, "not started: there is no bundle to run")
    begun = time.monotonic()
    try:
        engine = open_engine(bundle)
        try:
            started = time.monotonic()
            prove(Reader(engine, model_of(bundle, engine.runtime)))
            runtime, done = engine.runtime, time.monotonic()
        finally:
            engine.close()
    except (EngineError, ApplianceError) as error:
        return failed(TOPIC, error)
    place = "worker" if worker else "engine"
    return ok(
        TOPIC,
        f"{runtime}: {place} started in {started - begun:.1f} s, "
        f"a small drawn pair read in {done - started:.1f} s",
    )
