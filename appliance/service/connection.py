"""A connection that nobody can hold on to: what uvicorn leaves without a deadline."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
"""For a request's line and headers, from the first byte or the opening of the connection."""

STALL_S = 60.0
"""That a client may leave an answer untaken."""

MOST_CONNECTIONS = 512
"""Half of the files that a process may have open by default; the rest is for the spool."""


class Connection(H11Protocol):
    """HTTP/1.1 over one connection, cut when its client is slow, silent or one too many."""

    _head: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
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
