"""Limit on the size of a request body."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mammosono.appliance.errors import BodyTooLarge
from mammosono.appliance.http.problems import refuse


class BodyLimit:
    """ASGI middleware: 413 at once for a declared length over the cap, 413 for a chunked body as
    soon as it passes the cap. Nothing past the cap is ever held.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        # The server has already refused a length that is no number, or two of them.
        declared = int(Headers(scope=scope).get("content-length", "0"))
        if declared > self.max_bytes:
            await refuse(self._too_large())(scope, receive, send)
            return

        received = 0

        async def count() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise self._too_large()
            return message

        await self.app(scope, count, send)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"Send at most {self.max_bytes} bytes in one request.")
