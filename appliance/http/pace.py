"""Least rate of a request body, so that a client cannot hold a place by sending next to nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from mammosono.appliance.errors import UploadTooSlow

PATIENCE_S = 10.0
LEAST_RATE = 16 * 1024
"""Bytes a second; at this rate a mammogram of 10 MB takes longer than a request may."""


async def paced(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks as they come. Raises UploadTooSlow once the client has been waited for 10 seconds,
    and one more for each 16 KiB that it has sent. What the appliance itself takes does not count.
    """
    waited, received = 0.0, 0
    while True:
        began = time.monotonic()
        left = PATIENCE_S + received / LEAST_RATE - waited
        try:
            chunk = await asyncio.wait_for(anext(chunks), left)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            raise UploadTooSlow(
                f"Send the request body at {LEAST_RATE // 1024} KiB a second or faster."
            ) from None
        waited += time.monotonic() - began
        received += len(chunk)
        yield chunk
