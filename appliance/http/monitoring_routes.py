"""Monitoring routes: Prometheus metrics, and health and metadata of KServe's protocol.

Source: Open Inference Protocol, inference_rest.md; of it only what needs no tensors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from mammosono import appliance
from mammosono.appliance.errors import ApplianceError
from mammosono.appliance.http import schemas
from mammosono.appliance.http.status_routes import impediments
from mammosono.appliance.modality import BY_PART
from mammosono.appliance.security.dependencies import anyone, needs
from mammosono.appliance.security.roles import Role
from mammosono.appliance.studies.queue import StudyQueue
from mammosono.appliance.studies.spool import Spool, Status

router = APIRouter(tags=["watching"])


@router.get(
    "/metrics",
    response_class=Response,
    dependencies=[needs(Role.TECHNICIAN)],
    responses=schemas.refusals(401, 403),
)
async def get_metrics(request: Request) -> Response:
    """Numbers for Prometheus."""
    queue: StudyQueue = request.app.state.queue
    counts: Mapping[Status, int] = {}
    free = 0
    with contextlib.suppress(ApplianceError):  # a disk that fails shows as not ready
        counts = await queue.storage(Spool.counts)
        free = await queue.storage(Spool.free_bytes)
    impeded = await impediments(request)
    text = queue.metrics.exposition(counts, free, not impeded, impeded=impeded)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


@router.get("/v2", dependencies=[needs()], responses=schemas.refusals(401))
async def get_server() -> dict[str, Any]:
    """Server metadata."""
    return {"name": "mammosono", "version": appliance.__version__, "extensions": []}


@router.get("/v2/health/live", dependencies=[anyone()])
async def get_live() -> dict[str, bool]:
    return {"live": True}


@router.get("/v2/health/ready", dependencies=[anyone()], responses=schemas.refusals(503))
async def get_ready(request: Request) -> dict[str, bool]:
    """200 if a study can be read now, else 503."""
    if await impediments(request):
        raise HTTPException(503, "Not ready; /readyz says why.")
    return {"ready": True}


@router.get("/v2/models/{name}", dependencies=[needs()], responses=schemas.refusals(401, 404, 503))
async def get_model(request: Request, name: str) -> dict[str, Any]:
    """Model metadata. The images go in by POST /v1/studies, as files."""
    queue: StudyQueue = request.app.state.queue
    model = queue.reader.model
    if name != model.name:
        raise HTTPException(404, f"The model is called {model.name}.")
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": model.runtime,
        "inputs": [{"name": part, "datatype": "BYTES", "shape": [-1]} for part in BY_PART],
        "outputs": [{"name": "result", "datatype": "BYTES", "shape": [1]}],
    }


@router.get(
    "/v2/models/{name}/ready", dependencies=[needs()], responses=schemas.refusals(401, 404, 503)
)
async def get_model_ready(request: Request, name: str) -> dict[str, Any]:
    await get_model(request, name)
    return await get_ready(request) | {"name": name}
