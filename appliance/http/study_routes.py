"""Study routes: POST, GET and DELETE of studies and their pictures."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.types import Message, Receive, Scope, Send

from mammosono.appliance.errors import StorageError, Unauthorised, UnknownImage, UnknownStudy
from mammosono.appliance.http import problems, schemas
from mammosono.appliance.http.event_routes import standing
from mammosono.appliance.http.upload_slots import UploadSlots
from mammosono.appliance.intake.dicom_view import VIEWS
from mammosono.appliance.modality import BY_PART
from mammosono.appliance.output.document import Result
from mammosono.appliance.output.problem import Problem
from mammosono.appliance.output.save import PictureKind, picture_name
from mammosono.appliance.security.access import AccessControl
from mammosono.appliance.security.audit_writer import AuditWriter
from mammosono.appliance.security.dependencies import needs
from mammosono.appliance.security.roles import Principal, Role
from mammosono.appliance.settings import Settings
from mammosono.appliance.studies.queue import StudyQueue
from mammosono.appliance.studies.spool import Spool, Status, Study

MOST_NUMBER = 2**63 - 1
"""Of a study: SQLite counts no further."""

PRIVATE = {"Cache-Control": "no-store"}


def _each(what: str, words: list[str]) -> dict[str, Any]:
    how = "once for all images, or once for each in the order posted, empty if not known"
    items = {"type": "string", "enum": words}
    return {"type": "array", "items": items, "description": f"{what}, {how}."}


FILES = {
    "type": "array",
    "items": {"type": "string", "format": "binary"},
    "description": "At most MAMMOSONO_MAX_IMAGES, 24 unless it is set.",
}
FORM = {
    "type": "object",
    "description": "At least one file: PNG, JPEG, TIFF or DICOM.",
    "properties": {
        **dict.fromkeys(BY_PART, FILES),
        "study_id": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        "laterality": _each("Side of the breast", ["L", "R", ""]),
        "view": _each("Projection of a mammogram", [*sorted(VIEWS), ""]),
    },
    "additionalProperties": False,
}
REQUEST_BODY = {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}


class PictureResponse(FileResponse):
    """File of a picture, sent in pieces. Raises UnknownStudy if it was deleted meanwhile."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: list[Message] = []

        async def send_once_open(message: Message) -> None:
            # starlette opens the file after the head of the answer: the head waits for that.
            held.append(message)
            if message["type"] != "http.response.start":
                for each in held:
                    await send(each)
                held.clear()

        try:
            await super().__call__(scope, receive, send_once_open)
        except (RuntimeError, FileNotFoundError):  # starlette's, for a file that is missing
            if Path(self.path).exists():
                raise
            raise UnknownStudy("The study was deleted meanwhile.") from None


def _queue(request: Request) -> StudyQueue:
    queue: StudyQueue = request.app.state.queue
    return queue


def _audit(request: Request) -> AuditWriter:
    audit: AuditWriter = request.app.state.audit
    return audit


Queue = Annotated[StudyQueue, Depends(_queue)]
Audit = Annotated[AuditWriter, Depends(_audit)]
Workstation = Annotated[Principal, needs(Role.WORKSTATION)]
Viewer = Annotated[Principal, needs(Role.WORKSTATION, Role.READER)]
Deleter = Annotated[Principal, needs(Role.WORKSTATION, Role.TECHNICIAN)]

router = APIRouter(prefix="/v1/studies", tags=["studies"], responses=schemas.refusals(401, 403))


@router.post(
    "",
    response_model=Result,
    responses={
        **schemas.refusals(400, 408, 409, 413, 415, 422, 429, 503, 507),
        202: {"model": schemas.Pending, "description": "Taken, not read yet"},
    },
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def post_study(
    request: Request,
    who: Workstation,
    queue: Queue,
    audit: Audit,
    wait: Annotated[float | None, Query(ge=0, description="Seconds to wait for it")] = None,
) -> Response:
    """Read the images of one patient as one study."""
    settings: Settings = request.app.state.settings
    slots: UploadSlots = request.app.state.upload_slots
    queue.check()
    async with slots.receive(request, who, queue.storage.spool.incoming) as form:
        study = await queue.take(form.study_id, form.uploads, who.name)
    # Written while the study is read: on the disk before the answer, and without a wait of its own.
    recording = asyncio.ensure_future(audit.posted(who, study))
    try:
        study = await _wait(request, study, settings.wait_s if wait is None else wait, who)
    finally:
        await recording
    if study.problem is not None:
        return problems.respond(_problem(study), PRIVATE)
    if study.status is Status.DONE:
        return await _result(study, who, audit)
    location = {"Location": f"/v1/studies/{study.study_id}"}
    return JSONResponse(_progress(study), status_code=202, headers=location | PRIVATE)


@router.get("", response_model=schemas.StudyList, responses=schemas.refusals(422))
async def list_studies(
    who: Viewer,
    queue: Queue,
    status: Annotated[Status | None, Query(description="Only studies of this status")] = None,
    search: Annotated[str, Query(max_length=64, description="A part of the id")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[
        int | None, Query(ge=0, le=MOST_NUMBER, description="`next` of the page before")
    ] = None,
) -> Response:
    """The studies that the appliance holds, newest first; for a workstation its own."""
    studies = await queue.storage(
        Spool.list, owner=who.sees, status=status, search=search, limit=limit, before=before
    )
    following = studies[-1].number if len(studies) == limit else None
    entries = [standing(study) for study in studies]
    return JSONResponse({"studies": entries, "next": following}, headers=PRIVATE)


@router.get(
    "/{study_id}",
    response_model=Result | schemas.Pending | schemas.Failed,
    responses=schemas.refusals(404, 422),
)
async def get_study(
    request: Request,
    study_id: str,
    who: Viewer,
    queue: Queue,
    audit: Audit,
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for it")] = 0,
) -> Response:
    """The result, or how far the study is, or why it could not be read."""
    study = await queue.storage(Spool.get, study_id, who.sees)
    if wait and not study.status.settled:
        study = await _wait(request, study, wait, who)
    if study.status is Status.DONE:
        return await _result(study, who, audit)
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
async def get_picture(
    study_id: str, index: int, kind: PictureKind, who: Viewer, queue: Queue, audit: Audit
) -> Response:
    """The image as read, without its noise, with the findings drawn, or the findings alone."""
    study = await queue.storage(Spool.get, study_id, who.sees)
    if not 0 <= index < len(study.images):
        raise UnknownImage(f"Ask for an image from 0 to {len(study.images) - 1}.")
    name = picture_name(kind, index)
    if study.result and queue.storage.spool.picture(study, name) is None:
        _require_read(study.result, index)
    path = await queue.picture(study, index, name)
    await audit.viewed(who, study)
    return PictureResponse(path, media_type="image/png", headers=PRIVATE)


@router.delete("/{study_id}", status_code=204, responses=schemas.refusals(404, 503))
async def delete_study(study_id: str, who: Deleter, queue: Queue, audit: Audit) -> Response:
    """Forget the study, its result and its pictures; one that waits will not be read."""
    try:
        await queue.delete(study_id, who.deletes)
    except StorageError:
        await audit.deleted(who, study_id, done=False)
        raise
    await audit.deleted(who, study_id, done=True)
    return Response(status_code=204)


async def _wait(request: Request, study: Study, seconds: float, who: Principal) -> Study:
    """The study once settled, or as it is then. Raises Unauthorised if the token was revoked."""
    settings: Settings = request.app.state.settings
    study = await _queue(request).wait(study, min(seconds, settings.max_wait_s))
    access: AccessControl = request.app.state.access
    if not access.is_current(who):
        raise Unauthorised("The token was revoked meanwhile.")
    return study


def _require_read(result: bytes, index: int) -> None:
    """Raises UnknownImage for an image of a result document that has no pictures."""
    if json.loads(result)["images"][index]["verdict"] is None:
        raise UnknownImage("This image could not be read and has no pictures; the study says why.")


def _progress(study: Study) -> dict[str, Any]:
    return {"id": study.study_id, "status": study.status.value}


def _problem(study: Study) -> Problem:
    members = {name: value for name, value in (study.problem or {}).items() if name != "type"}
    return Problem(**members)


async def _result(study: Study, who: Principal, audit: AuditWriter) -> Response:
    await audit.viewed(who, study)
    return Response(study.result, media_type="application/json", headers=PRIVATE)
