"""Request id, which connects an answer with its log lines."""

from __future__ import annotations

import secrets
from contextvars import ContextVar

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that the running task answers."""


class RequestId:
    """ASGI middleware: a new id for every request, in `request_id` and as X-Request-Id.

    One that a client sends is not taken: it would come into the log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        made = secrets.token_hex(8)

        async def name(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = made
            await send(message)

        before = request_id.set(made)
        try:
            await self.app(scope, receive, name)
        finally:
            request_id.reset(before)
