"""Server-sent events of study changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from mammosono.appliance.http import schemas
from mammosono.appliance.security.access import AccessControl
from mammosono.appliance.security.dependencies import needs
from mammosono.appliance.security.roles import Principal, Role
from mammosono.appliance.studies.broadcast import Broadcast
from mammosono.appliance.studies.queue import StudyQueue
from mammosono.appliance.studies.spool import Study

router = APIRouter(tags=["studies"])

BEAT_S = 15.0
"""A comment is sent after so long without an event: it shows whether the client is still there."""


def standing(study: Study) -> dict[str, Any]:
    """Summary of a study, for lists and events."""
    return {
        "id": study.study_id,
        "status": study.status.value,
        "posted": study.posted.isoformat(timespec="seconds"),
        "verdict": study.verdict.value if study.verdict else None,
    }


@router.get(
    "/v1/events",
    response_class=StreamingResponse,
    responses={
        **schemas.refusals(401, 403),
        200: {"content": {"text/event-stream": {}}, "description": "Server-sent events"},
    },
)
async def get_events(
    request: Request, who: Annotated[Principal, needs(Role.WORKSTATION, Role.READER)]
) -> StreamingResponse:
    """An event `study` for every change of a study from now on; its data is as in the list.

    The stream may end at any time: list the studies, then ask for events again.
    """
    queue: StudyQueue = request.app.state.queue
    return StreamingResponse(
        _lines(queue.broadcast, request.app.state.access, who),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _lines(broadcast: Broadcast, access: AccessControl, who: Principal) -> AsyncIterator[str]:
    yield ": listening\n\n"
    changes = broadcast.changes()
    coming = asyncio.ensure_future(anext(changes, None))
    try:
        while True:
            done, _ = await asyncio.wait([coming], timeout=BEAT_S)
            if not access.is_current(who):
                return
            if not done:
                yield ": still here\n\n"
                continue
            study = coming.result()
            if study is None:
                return
            if who.sees in (None, study.owner):
                yield f"event: study\ndata: {json.dumps(standing(study))}\n\n"
            coming = asyncio.ensure_future(anext(changes, None))
    finally:
        coming.cancel()
