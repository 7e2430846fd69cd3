"""Deadline of a request, until its answer begins."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mammosono.appliance.errors import DeadlineExceeded
from mammosono.appliance.http.problems import refuse


class RequestDeadline:
    """ASGI middleware: a request without an answer after `seconds` is given up with 503.

    An answer that has begun may go on for as long as the client takes it: events do for hours.
    The head of a request, and an answer that nobody takes, have their deadlines in connection.py,
    the body of a study in study_routes.py.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        task = asyncio.current_task()
        assert task is not None
        late = False

        def give_up() -> None:
            nonlocal late
            late = True
            task.cancel()

        timer = asyncio.get_running_loop().call_later(self.seconds, give_up)

        async def begin(message: Message) -> None:
            timer.cancel()
            await send(message)

        try:
            await self.app(scope, receive, begin)
        except asyncio.CancelledError:
            if not late:
                raise
            error = DeadlineExceeded("The appliance was too slow; try again later.")
            await refuse(error)(scope, receive, send)
        finally:
            timer.cancel()
