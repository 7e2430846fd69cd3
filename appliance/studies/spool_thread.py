"""Asynchronous access to the spool, on one thread; opened as soon as the disk permits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from mammosono.appliance.errors import StorageError, StorageFailed
from mammosono.appliance.studies.spool import Spool

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

RETRY_S = 5.0
"""Pause between attempts to open the spool."""


class SpoolThread:
    """Calls methods of the spool on the spool's thread, in the order of the calls."""

    def __init__(self, open_spool: Callable[[], Spool]) -> None:
        self._open_spool = open_spool
        self._spool: Spool | None = None
        self._failure: StorageError = StorageFailed(
            "The spool is being opened; try again in a few seconds."
        )
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")

    async def open(self) -> None:
        """Returns once the spool is open, however long the disk refuses."""
        loop = asyncio.get_running_loop()
        while self._spool is None:
            try:
                self._spool = await loop.run_in_executor(self._thread, self._open_spool)
            except StorageError as error:
                logger.error("the spool cannot be opened: %s", error)
                self._failure = error
                await asyncio.sleep(RETRY_S)

    @property
    def is_open(self) -> bool:
        return self._spool is not None

    @property
    def spool(self) -> Spool:
        """For calls that need no thread. Raises StorageError if it is not open."""
        if self._spool is None:
            raise self._failure.with_traceback(None)
        return self._spool

    async def __call__(
        self, method: Callable[Concatenate[Spool, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`await storage(Spool.get, study_id)`; raises what the method raises."""
        spool = self.spool
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: method(spool, *args, **kwargs))

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        if self._spool is not None:
            await loop.run_in_executor(self._thread, self._spool.close)
        self._thread.shutdown()
