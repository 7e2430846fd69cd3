"""Sessions of the page: a random id for the browser in place of the token."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

LONGEST_S = 12 * 3600.0
"""A working day."""
MOST_OF_TOKEN = 64
"""Sessions of one token; with one more the oldest ends."""
ID_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """key: SHA-256 of the id, which is kept nowhere. token: SHA-256 of the token that signed in."""

    key: str
    token: str
    ends: float


class Sessions:
    """Sessions in memory: those that were not signed out of end after LONGEST_S, or with the
    process. Whether the token is still good is for the caller to ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def begin(self, token: str) -> str:
        """A new session of the token with this SHA-256; returns its id."""
        self._drop_ended()
        of_token = [session for session in self._sessions.values() if session.token == token]
        for oldest in of_token[: max(0, len(of_token) + 1 - MOST_OF_TOKEN)]:
            del self._sessions[oldest.key]
        session_id = secrets.token_urlsafe(ID_BYTES)
        session = Session(key_of(session_id), token, self._clock() + LONGEST_S)
        self._sessions[session.key] = session
        return session_id

    def find(self, key: str) -> Session | None:
        """The session of this key (see key_of), if it has not ended."""
        session = self._sessions.get(key)
        return session if session is not None and self._clock() < session.ends else None

    def end(self, key: str) -> None:
        self._sessions.pop(key, None)

    def _drop_ended(self) -> None:
        now = self._clock()
        self._sessions = {key: s for key, s in self._sessions.items() if now < s.ends}


def key_of(session_id: str) -> str:
    """What a session is found by: the time a look-up takes then tells nothing of the id."""
    return hashlib.sha256(session_id.encode("utf-8", "surrogateescape")).hexdigest()
