"""Throttle of failed sign-ins: growing waits for a client address that sends wrong tokens."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from mammosono.appliance.security.clients import client_of

FREE = 5
"""Wrong tokens before the first wait."""
LONGEST_S = 300.0
FORGET_S = 900.0
"""After the last wait an address begins anew."""
MOST_ADDRESSES = 1024


class Throttle:
    """Failures by address: the waits are 1, 2, 4 ... 300 seconds. Memory is bounded.

    This keeps the log and the disk from a client that tries without end. It does not protect the
    tokens, whose 256 bits nobody tries through; so a right token is never made to wait, and one
    broken client does not lock out the others behind its address.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def failed(self, address: str) -> float:
        """Count a failure; or, while the address has to wait, only the seconds that are left."""
        key, now = client_of(address), self._clock()
        count, until = self._failures.pop(key, (0, now))
        if now >= until:
            count = 1 if now > until + FORGET_S else count + 1
            pause = min(2.0 ** (count - FREE - 1), LONGEST_S) if count > FREE else 0.0
            self._failures[key] = (count, now + pause)
            left = 0.0
        else:
            self._failures[key] = (count, until)
            left = until - now
        if len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)
        return left

    def __len__(self) -> int:
        return len(self._failures)
