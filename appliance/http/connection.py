"""HTTP/1.1 connection with deadlines where uvicorn has none: request head, untaken answer."""

from __future__ import annotations

import asyncio
import json
import sys

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from mammosono.appliance.errors import HeadersTooLarge, MalformedRequest
from mammosono.appliance.http.security_headers import HEADERS
from mammosono.appliance.output.problem import from_error

HEAD_S = 10.0
"""For a request's line and headers, from the first byte or the opening of the connection."""

STALL_S = 60.0
"""That a client may leave an answer untaken."""


class Connection(H11Protocol):
    """uvicorn's protocol; the connection is cut if its client is slow or silent."""

    _head: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._got_head()
        self._taken()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            # A head that is not whole yet; or the rest of a body whose request was answered.
            self._expect_head()
        else:
            self._got_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taken()
        self._stall = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._taken()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        # What is still to be sent then, a client that reads nothing could keep for ever.
        self.loop.call_later(STALL_S, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; called while the parser's error is handled. The application never
        sees such a request, so its answer gets here what the middleware gives the others.
        """
        error = sys.exc_info()[1]
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431:
            problem = from_error(HeadersTooLarge("Send less than 16 KiB of headers."))
        else:
            problem = from_error(MalformedRequest("This is no HTTP/1.1; use another client."))
        body = json.dumps(problem.document()).encode()
        headers = {
            **HEADERS,
            "Content-Type": "application/problem+json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        start = h11.Response(status_code=problem.status, headers=list(headers.items()))
        for event in (start, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def _expect_head(self) -> None:
        """Once for each head: more of it does not give it more time."""
        if self._head is None:
            self._head = self.loop.call_later(HEAD_S, self.transport.abort)

    def _got_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _taken(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
