"""POST, GET and DELETE of studies and their pictures."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from appliance.service import problems, schemas
from appliance.service.desk import Desk
from appliance.service.form import MAX_FILES_OF_PART, StudyForm, read_form
from appliance.service.pictures import PictureKind, picture_png
from appliance.service.refusals import StudyNotRead, UploadTooSlow
from appliance.service.studies import Status, Study
from appliance.settings import Settings

PRIVATE = {"Cache-Control": "no-store"}

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

    async def receive(self, request: Request) -> StudyForm:
        """Read the posted form. Raises StudyError or EmptyFile."""
        async with self._places:
            try:
                return await asyncio.wait_for(read_form(request), self._upload_s)
            except asyncio.TimeoutError:
                raise UploadTooSlow(
                    f"Send the whole request within {self._upload_s:g} seconds."
                ) from None


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(_desk)]

router = APIRouter(prefix="/v1/studies", tags=["studies"])


@router.post(
    "",
    response_model=schemas.Result,
    responses={
        **schemas.refusals(400, 408, 409, 413, 415, 422, 429, 503),
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
    study = desk.take(await reception.receive(request))
    seconds = min(settings.wait_s if wait is None else wait, settings.max_wait_s)
    study = await desk.wait(study.study_id, seconds)
    if study.problem is not None:
        return problems.respond(study.problem, PRIVATE)
    if study.status is Status.DONE:
        return _result(study)
    location = {"Location": f"/v1/studies/{study.study_id}"}
    return JSONResponse(_standing(study), status_code=202, headers=location | PRIVATE)


@router.get("", response_model=schemas.StudyList)
async def list_studies(desk: AtDesk) -> Response:
    """The studies that the appliance holds, newest first."""
    entries = [
        _standing(study)
        | {
            "posted": study.posted.isoformat(timespec="seconds"),
            "verdict": study.reading.verdict.value if study.reading else None,
        }
        for study in desk.studies.list()
    ]
    return JSONResponse({"studies": entries}, headers=PRIVATE)


@router.get(
    "/{study_id}",
    response_model=schemas.Result | schemas.Pending | schemas.Failed,
    responses=schemas.refusals(404),
)
async def get_study(study_id: str, desk: AtDesk) -> Response:
    """The result, or how far the study is, or why it could not be read."""
    study = desk.studies.get(study_id)
    if study.status is Status.DONE:
        return _result(study)
    document = _standing(study)
    if study.problem is not None:
        document["problem"] = study.problem.document()
    return JSONResponse(document, headers=PRIVATE)


@router.get(
    "/{study_id}/images/{index}/{kind}.png",
    response_class=Response,
    responses={
        **schemas.refusals(404, 409),
        200: {"content": {"image/png": {}}, "description": "8-bit PNG, size as posted"},
    },
)
async def get_picture(
    request: Request, study_id: str, index: int, kind: PictureKind, desk: AtDesk
) -> Response:
    """The image as read, without its noise, with the findings drawn, or the findings alone."""
    reading = desk.studies.get(study_id).reading
    if reading is None:
        raise StudyNotRead("Ask for pictures when the status of the study is done.")
    painter: ThreadPoolExecutor = request.app.state.painter
    loop = asyncio.get_running_loop()
    png = await loop.run_in_executor(painter, picture_png, reading, index, kind)
    return Response(png, media_type="image/png", headers=PRIVATE)


@router.delete("/{study_id}", status_code=204, responses=schemas.refusals(404))
async def delete_study(study_id: str, desk: AtDesk) -> Response:
    """Forget the study, its result and its pictures; one that waits will not be read."""
    desk.delete(study_id)
    return Response(status_code=204)


def _standing(study: Study) -> dict[str, Any]:
    return {"id": study.study_id, "status": study.status.value}


def _result(study: Study) -> Response:
    return Response(study.result, media_type="application/json", headers=PRIVATE)
