"""Count of answered requests, by status."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mammosono.appliance.telemetry.metrics import Metrics


class RequestCount:
    """ASGI middleware: counts every answer in `metrics`, the refusals of other middleware too."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.answered(message["status"])
            await send(message)

        await self.app(scope, receive, count)
