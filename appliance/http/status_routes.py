"""Status routes: model, health, readiness."""

from __future__ import annotations

import contextlib

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from mammosono.appliance.errors import ApplianceError
from mammosono.appliance.http import problems, schemas
from mammosono.appliance.security.access import AccessControl
from mammosono.appliance.security.dependencies import anyone, needs
from mammosono.appliance.studies.queue import StudyQueue
from mammosono.appliance.studies.spool import Spool
from mammosono.appliance.telemetry.metrics import PARTS

router = APIRouter(tags=["status"])


async def impediments(request: Request) -> dict[str, ApplianceError]:
    """Why no study can be taken and read now, by part of PARTS; empty if nothing is wrong."""
    queue: StudyQueue = request.app.state.queue
    access: AccessControl = request.app.state.access
    found = await queue.impediments()
    try:
        access.check()
    except ApplianceError as error:
        found["access"] = error
    return found


@router.get("/v1/openapi.json", include_in_schema=False, dependencies=[needs()])
async def get_description(request: Request) -> Response:
    return JSONResponse(request.app.openapi())


@router.get("/v1/model", dependencies=[needs()], responses=schemas.refusals(401, 503))
async def get_model(request: Request) -> schemas.InstalledModel:
    """The model that reads, and the score from which each modality is positive. A modality that it
    does not name is not read: a study with such an image is refused."""
    queue: StudyQueue = request.app.state.queue
    return schemas.InstalledModel.model_validate(queue.reader.model)


@router.get("/healthz", dependencies=[anyone()])
async def get_health() -> dict[str, str]:
    """200 as long as the process lives."""
    return {"status": "alive"}


@router.get("/readyz", dependencies=[anyone()], responses=schemas.refusals(503, 507))
async def get_readiness(request: Request) -> Response:
    """200 if a study can be taken and read now; else the reason, and what is well beside it.

    `reader`: the bundle is whole, the engine has passed its self-test, the process answers.
    `worker`: what is queued is worked off, and the disk takes the results.
    """
    queue: StudyQueue = request.app.state.queue
    access: AccessControl = request.app.state.access
    found = await impediments(request)
    checks = {name: str(found.get(name, "ok")) for name in PARTS}
    if "access" not in found:
        is_open = "open to everybody: there are no tokens"
        checks["access"] = is_open if access.open else "by token"
    with contextlib.suppress(ApplianceError):
        if unclaimed := await queue.storage(Spool.unclaimed_files):
            checks["unclaimed"] = f"{unclaimed} posted files that no study has are kept"
    for error in found.values():
        return problems.refuse(error, checks=checks)
    return JSONResponse({"status": "ready", "checks": checks})
