"""Places that clients share: however many one of them asks for, it leaves some to the others."""

from __future__ import annotations

from collections import Counter


class Places:
    """A number of places, of which each client may hold a share of what the others leave.

    share: above 0, at most 1. With a quarter of 512 the first client gets 128, the next a quarter
    of the other 384, and so on: about twenty clients that take all they can fill them, one never.
    A client that holds none gets one as long as any is free.
    """

    def __init__(self, total: int, share: float) -> None:
        self.total, self._share = total, share
        self._held: Counter[str] = Counter()

    def held(self, client: str) -> int:
        return self._held[client]

    def may_take(self, client: str) -> bool:
        taken, held = self._held.total(), self._held[client]
        left_by_others = self.total - (taken - held)
        return taken < self.total and held < self._share * left_by_others

    def take(self, client: str) -> bool:
        """Take a place; False if the client may not."""
        if not self.may_take(client):
            return False
        self._held[client] += 1
        return True

    def leave(self, client: str) -> None:
        """Give a place back that was taken."""
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]
