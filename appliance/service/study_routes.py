"""POST, GET and DELETE of studies and their pictures."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from appliance.problem import Problem
from appliance.reading.work import PictureKind, picture_name
from appliance.service import problems, schemas
from appliance.service.desk import Desk
from appliance.service.event_routes import standing
from appliance.service.form import MAX_FILES_OF_PART, StudyForm, read_form
from appliance.service.refusals import UnknownImage, UploadTooSlow
from appliance.settings import Settings
from appliance.spool import Spool, Status, Study
from appliance.spool.files import disk_errors

PRIVATE = {"Cache-Control": "no-store"}
OWNER = "local"

FILES = {
    "type": "array",
    "items": {"type": "string", "format": "binary"},
    "maxItems": MAX_FILES_OF_PART,
}
FORM = {
    "type": "object",
    "description": "At least one file: PNG, JPEG, TIFF or DICOM.",
    "properties": {
        "mammogram": FILES,
        "ultrasound": FILES,
        "study_id": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "additionalProperties": False,
}
REQUEST_BODY = {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}


class Reception:
    """The way in: how many bodies are received at once, and for how long each may take."""

    def __init__(self, settings: Settings) -> None:
        self._places = asyncio.Semaphore(settings.max_uploads)
        self._upload_s = settings.upload_s

    @asynccontextmanager
    async def receive(self, request: Request, incoming: Path) -> AsyncIterator[StudyForm]:
        """The posted form; what nobody took of it is gone afterwards.

        Raises StudyError, EmptyFile, StorageFull or StorageFailed.
        """
        async with self._places:
            with disk_errors():
                folder = tempfile.TemporaryDirectory(dir=incoming)
            with folder:
                try:
                    form = await asyncio.wait_for(
                        read_form(request, Path(folder.name)), self._upload_s
                    )
                except asyncio.TimeoutError:
                    raise UploadTooSlow(
                        f"Send the whole request within {self._upload_s:g} seconds."
                    ) from None
                yield form


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(_desk)]

router = APIRouter(prefix="/v1/studies", tags=["studies"])


@router.post(
    "",
    response_model=schemas.Result,
    responses={
        **schemas.refusals(400, 408, 409, 413, 415, 422, 429, 503, 507),
        202: {"model": schemas.Pending, "description": "Taken, not read yet"},
    },
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def post_study(
    request: Request,
    desk: AtDesk,
    wait: Annotated[float | None, Query(ge=0, description="Seconds to wait for it")] = None,
) -> Response:
    """Read the images of one patient as one study."""
    settings: Settings = request.app.state.settings
    reception: Reception = request.app.state.reception
    desk.check()
    async with reception.receive(request, desk.archive.spool.incoming) as form:
        study = await desk.take(form, OWNER)
    seconds = min(settings.wait_s if wait is None else wait, settings.max_wait_s)
    study = await desk.wait(study, seconds)
    if study.problem is not None:
        return problems.respond(_problem(study), PRIVATE)
    if study.status is Status.DONE:
        return _result(study)
    location = {"Location": f"/v1/studies/{study.study_id}"}
    return JSONResponse(_progress(study), status_code=202, headers=location | PRIVATE)


@router.get("", response_model=schemas.StudyList)
async def list_studies(
    desk: AtDesk,
    status: Annotated[Status | None, Query(description="Only studies of this status")] = None,
    search: Annotated[str, Query(max_length=64, description="A part of the id")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """The studies that the appliance holds, newest first."""
    studies = await desk.archive(
        Spool.list, status=status, search=search, limit=limit, before=before
    )
    following = studies[-1].number if len(studies) == limit else None
    entries = [standing(study) for study in studies]
    return JSONResponse({"studies": entries, "next": following}, headers=PRIVATE)


@router.get(
    "/{study_id}",
    response_model=schemas.Result | schemas.Pending | schemas.Failed,
    responses=schemas.refusals(404),
)
async def get_study(study_id: str, desk: AtDesk) -> Response:
    """The result, or how far the study is, or why it could not be read."""
    study = await desk.archive(Spool.get, study_id)
    if study.status is Status.DONE:
        return _result(study)
    document = _progress(study)
    if study.problem is not None:
        document["problem"] = _problem(study).document()
    return JSONResponse(document, headers=PRIVATE)


@router.get(
    "/{study_id}/images/{index}/{kind}.png",
    response_class=Response,
    responses={
        **schemas.refusals(404, 409),
        200: {"content": {"image/png": {}}, "description": "8-bit PNG, size as posted"},
    },
)
async def get_picture(study_id: str, index: int, kind: PictureKind, desk: AtDesk) -> Response:
    """The image as read, without its noise, with the findings drawn, or the findings alone."""
    study = await desk.archive(Spool.get, study_id)
    if not 0 <= index < len(study.images):
        raise UnknownImage(f"Ask for an image from 0 to {len(study.images) - 1}.")
    path = await desk.picture(study, picture_name(index, kind))
    return FileResponse(path, media_type="image/png", headers=PRIVATE)


@router.delete("/{study_id}", status_code=204, responses=schemas.refusals(404))
async def delete_study(study_id: str, desk: AtDesk) -> Response:
    """Forget the study, its result and its pictures; one that waits will not be read."""
    await desk.delete(study_id)
    return Response(status_code=204)


def _progress(study: Study) -> dict[str, Any]:
    return {"id": study.study_id, "status": study.status.value}


def _problem(study: Study) -> Problem:
    members = {name: value for name, value in (study.problem or {}).items() if name != "type"}
    return Problem(**members)


def _result(study: Study) -> Response:
    return Response(study.result, media_type="application/json", headers=PRIVATE)
