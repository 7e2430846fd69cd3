"""HTTP/1.1 connection with deadlines where uvicorn has none: request head, untaken answer."""

from __future__ import annotations

import asyncio
import json
import sys

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from mammosono.appliance.errors import HeadersTooLarge, MalformedRequest
from mammosono.appliance.http.request_head import TOO_LARGE
from mammosono.appliance.http.security_headers import HEADERS
from mammosono.appliance.output.problem import from_error

HEAD_S = 10.0
"""For a request's line and headers, from the first byte or the opening of the connection."""

STALL_S = 60.0
"""That a client may leave an answer untaken."""


HALF_CLOSED_S = 10.0
"""For the answer to a client that has ended its side: it may as well be gone, and hold a place."""


class Connection(H11Protocol):
    """uvicorn's protocol; the connection is cut if its client is slow or silent.

    uvicorn documents none of the members used here: tests/service/test_uvicorn.py holds them to the
    version that pyproject.toml names.
    """

    _head: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _half_closed: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._got_head()
        self._taken()
        if self._half_closed is not None:
            self._half_closed.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            # A head that is not whole yet; or the rest of a body whose request was answered.
            self._expect_head()
        else:
            self._got_head()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether the connection stays open: a request that has come whole is still answered.

        Not over TLS, where asyncio closes both directions.
        """
        if self.scheme == "https" or not self._answering():
            return False
        if self._half_closed is None:
            self._half_closed = self.loop.call_later(HALF_CLOSED_S, self.transport.abort)
        return True

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._half_closed is not None and not self._answering():
            self.transport.close()

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
            problem = from_error(HeadersTooLarge(TOO_LARGE))
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

    def _answering(self) -> bool:
        """Whether there is a request that has come whole, and is not answered yet."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and not cycle.more_body

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
