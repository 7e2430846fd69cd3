"""Which model answers, and whether it can."""

from __future__ import annotations

from fastapi import APIRouter, Request

from appliance.service import schemas
from appliance.service.desk import Desk
from appliance.spool import Spool

router = APIRouter(tags=["status"])


@router.get("/v1/model", responses=schemas.refusals(503))
async def get_model(request: Request) -> schemas.Model:
    """The model that reads, and the score from which each modality is positive."""
    desk: Desk = request.app.state.desk
    return schemas.Model.model_validate(desk.reading.model)


@router.get("/healthz")
async def get_health() -> dict[str, str]:
    """200 as long as the process lives."""
    return {"status": "alive"}


@router.get("/readyz", responses=schemas.refusals(503, 507))
async def get_readiness(request: Request) -> dict[str, str]:
    """200 if a study can be read now; 503 with the reason if not."""
    desk: Desk = request.app.state.desk
    _ = desk.reading.model
    await desk.archive(Spool.check)
    return {"status": "ready"}
