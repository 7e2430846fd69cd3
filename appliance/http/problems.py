"""Problem documents (RFC 9457) of every refusal and failure, each with a stable code."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mammosono.appliance.errors import ApplianceError, QueueFull, TooManyAttempts, Unauthorised
from mammosono.appliance.output.problem import Problem, from_error, from_unexpected

MEDIA_TYPE = "application/problem+json"


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(
        problem.document(), status_code=problem.status, headers=headers, media_type=MEDIA_TYPE
    )


def refuse(error: ApplianceError, **more: object) -> JSONResponse:
    """The answer to a refused request, with Retry-After where trying again may help.

    more: further members of the document.
    """
    headers = _headers(error)
    document = from_error(error).document() | more
    return JSONResponse(document, error.status, headers=headers, media_type=MEDIA_TYPE)


def _headers(error: ApplianceError) -> dict[str, str] | None:
    if isinstance(error, QueueFull | TooManyAttempts):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, Unauthorised):
        return {"WWW-Authenticate": "Bearer"}
    return None


def install(app: FastAPI) -> None:
    """Make every answer outside 2xx of this application a problem document."""
    app.add_exception_handler(ApplianceError, _appliance_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_middleware(UnexpectedFailures)


class UnexpectedFailures:
    """ASGI middleware: an unhandled exception becomes a 500 without details."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            response = respond(from_unexpected(error))
            if started:
                raise
            await response(scope, receive, send)


async def _appliance_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApplianceError)
    return refuse(error)


async def _http_exception(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    code = status.phrase.lower().replace(" ", "_")
    return respond(Problem(status.phrase, status, str(error.detail), code), error.headers)


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["loc"][0] == "path" for fault in faults):
        return await _http_exception(request, HTTPException(404))
    # The refused value itself may be anything a client sent: it is not repeated.
    detail = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
    return respond(Problem("The request is invalid", 422, detail, "invalid_request"))
