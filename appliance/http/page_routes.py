"""The page for people, at /: its own few files and no others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from mammosono.appliance.security.dependencies import anyone

HTML = "text/html; charset=utf-8"
CSS = "text/css; charset=utf-8"
SCRIPT = "text/javascript; charset=utf-8"
SVG = "image/svg+xml"

SCRIPTS = (
    "api", "choose", "dom", "events", "findings", "frame", "gestures", "keys", "list", "marks",
    "page", "pane", "picture", "progress", "reading", "rle", "send", "session", "study", "words",
)  # fmt: skip
TYPES = {
    **{f"{name}.js": SCRIPT for name in SCRIPTS},
    **{f"{name}.css": CSS for name in ("page", "reading", "print")},
    "icon.svg": SVG,
}
"""What /static has, and as which media type."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page. etag: in quotes, as the header has it."""

    content: bytes
    media_type: str
    etag: str


def _asset(name: str, media_type: str) -> Asset:
    content = (files("mammosono.appliance") / "page" / name).read_bytes()
    return Asset(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


ASSETS = {name: _asset(name, media_type) for name, media_type in TYPES.items()}
INDEX = _asset("index.html", HTML)

router = APIRouter(tags=["page"], include_in_schema=False, dependencies=[anyone()])


@router.get("/")
async def get_page(request: Request) -> Response:
    return _answer(request, INDEX)


@router.get("/static/{name}")
async def get_asset(request: Request, name: str) -> Response:
    if name not in ASSETS:
        raise HTTPException(404)
    return _answer(request, ASSETS[name])


def _answer(request: Request, asset: Asset) -> Response:
    """The file, or 304. After an update of the box no browser may mix old scripts with new ones,
    so each use is asked for; on a local network that costs nothing.
    """
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
    known = request.headers.get("if-none-match", "").split(",")
    if asset.etag in (tag.strip().removeprefix("W/") for tag in known):
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)
