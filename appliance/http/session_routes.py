"""Session routes: a token is exchanged for a cookie that scripts cannot read."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from mammosono.appliance.errors import Forbidden, MalformedRequest, UploadTooSlow
from mammosono.appliance.http import schemas
from mammosono.appliance.security.access import (
    AccessControl,
    cookie_name,
    is_encrypted,
    same_origin,
)
from mammosono.appliance.security.dependencies import anyone, needs
from mammosono.appliance.security.roles import Principal
from mammosono.appliance.security.sessions import LONGEST_S
from mammosono.appliance.settings import Settings

router = APIRouter(prefix="/v1/session", tags=["session"])

MAX_BODY_BYTES = 4096
BODY_S = 10.0

SIGN_IN = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"token": {"type": "string"}},
                "required": ["token"],
                "additionalProperties": False,
            }
        }
    },
}


@router.post(
    "",
    response_model=schemas.Session,
    dependencies=[anyone()],
    responses=schemas.refusals(400, 401, 403, 408, 413, 429, 503),
    openapi_extra={"requestBody": SIGN_IN},
)
async def sign_in(request: Request) -> Response:
    """Sign in with a token: begins a session of this browser, for a working day at most. Its
    cookie holds a random id, not the token. A restart of the service ends it."""
    _from_own_page(request)
    access: AccessControl = request.app.state.access
    secret = await _token(request)
    who, session_id = await access.sign_in(request, secret)
    answer = JSONResponse(_document(request, who, is_open=False))
    answer.set_cookie(
        cookie_name(request),
        session_id,
        max_age=int(LONGEST_S),
        httponly=True,
        samesite="strict",
        secure=is_encrypted(request),
    )
    return answer


@router.get("", response_model=schemas.Session, responses=schemas.refusals(401, 429, 503))
async def who_am_i(request: Request, who: Annotated[Principal, needs()]) -> Response:
    """Who is signed in, and with which roles; without tokens everybody has every role."""
    access: AccessControl = request.app.state.access
    return JSONResponse(_document(request, who, is_open=access.open))


@router.delete("", status_code=204, dependencies=[anyone()], responses=schemas.refusals(403))
async def sign_out(request: Request) -> Response:
    """End the session, and take its cookie off this browser."""
    _from_own_page(request)
    access: AccessControl = request.app.state.access
    access.sign_out(request)
    answer = Response(status_code=204)
    answer.delete_cookie(
        cookie_name(request), httponly=True, samesite="strict", secure=is_encrypted(request)
    )
    return answer


def _from_own_page(request: Request) -> None:
    """Another site must not sign its visitors in or out here."""
    if same_origin(request) is False:
        raise Forbidden("Only the appliance's own page may do this from a browser.")


async def _token(request: Request) -> str:
    """Raises MalformedRequest or UploadTooSlow."""
    body = b""

    async def receive() -> None:
        nonlocal body
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise MalformedRequest("Send nothing but the token.")

    try:
        await asyncio.wait_for(receive(), BODY_S)
        secret = json.loads(body)["token"]
    except asyncio.TimeoutError:
        raise UploadTooSlow(f"Send the whole request within {BODY_S:g} seconds.") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        secret = None
    # As a token in a header would have to be.
    if not isinstance(secret, str) or not (secret.isascii() and secret.isprintable()):
        raise MalformedRequest('Send {"token": "..."} as JSON.')
    return secret


def _document(request: Request, who: Principal, *, is_open: bool) -> dict[str, object]:
    settings: Settings = request.app.state.settings
    roles = sorted(role.value for role in who.roles)
    most = settings.max_images
    return {"name": who.name, "roles": roles, "open": is_open, "max_images": most}
