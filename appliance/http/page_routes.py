"""Static files of the page, at / and below /static."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePath

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from mammosono.appliance.security.dependencies import anyone

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""By suffix: what Python guesses depends on its version and on the system's own table."""

INDEX = "index.html"

_folder = StaticFiles(directory=str(files("mammosono.appliance") / "page"))

# Not mounted: a mount could not say who may use it, as every route does.
router = APIRouter(tags=["page"], include_in_schema=False, dependencies=[anyone()])


@router.get("/")
async def get_page(request: Request) -> Response:
    return await _answer(request, INDEX)


@router.get("/static/{name}")
async def get_asset(request: Request, name: str) -> Response:
    if name == INDEX or PurePath(name).suffix not in MEDIA_TYPES:
        raise HTTPException(404)
    return await _answer(request, name)


async def _answer(request: Request, name: str) -> Response:
    """The file, or 304. After an update of the appliance no browser may mix old scripts with new
    ones, so each use is validated by ETag; on a local network that costs nothing.
    """
    response = await _folder.get_response(name, request.scope)
    response.headers["Cache-Control"] = "no-cache"
    if isinstance(response, FileResponse):
        response.headers["Content-Type"] = MEDIA_TYPES[PurePath(name).suffix]
    return response
