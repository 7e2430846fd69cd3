"""Audit writer: a thread that appends the service's audit events to the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from mammosono.appliance.errors import StorageDamaged, StorageFailed
from mammosono.appliance.security import audit_events as events
from mammosono.appliance.security.audit import REMEDY, AuditLog
from mammosono.appliance.security.roles import Principal
from mammosono.appliance.studies.spool import Study

logger = logging.getLogger(__name__)

SAME_VIEW_S = 600.0
"""Requests for the same study within this time are one view."""
_MOST_VIEWS = 4096
_STUDIES_OF_EVENT = 100
_MOST_UNWRITTEN = 1000
"""Events kept in memory while the disk refuses them; the oldest go first."""


class AuditWriter:
    """Each event is on the disk when its call returns.

    A log that cannot be written, or is not as it was left, stops nobody from reading a study:
    events wait for the disk, and `check` raises.
    """

    def __init__(self, log: AuditLog, clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._clock = log, clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit")
        self._views: OrderedDict[tuple[str, str, int], float] = OrderedDict()
        self._unwritten: deque[events.AuditEvent] = deque(maxlen=_MOST_UNWRITTEN)
        self._writing = Lock()
        self._refused = self._trying_again = False
        self._fault = ""

    async def check(self) -> None:
        """Raises StorageFailed if the disk has refused events, which are then tried again;
        StorageDamaged if the log was cut, edited or lost. Waits for no write: a log that is being
        written just now is as it was at the last look."""
        if self._refused:
            if not self._trying_again:
                self._trying_again = True
                self._thread.submit(self._try_again)
            raise StorageFailed("The audit log cannot be written; call the technician.")
        try:
            self._fault = await asyncio.to_thread(self._log.fault, wait=False)
        except BlockingIOError:
            pass
        except OSError:
            raise StorageFailed("The audit log cannot be read; call the technician.") from None
        if self._fault:
            raise StorageDamaged(f"The audit log is not as it was left: {self._fault}; {REMEDY}")

    async def started(self) -> None:
        head = await self._write(events.application(events.STARTED))
        # So that the journal, which is kept elsewhere, vouches for what was written until now.
        logger.info("the audit log stands at %s", head)

    async def stopped(self) -> None:
        head = await self._write(events.application(events.STOPPED))
        logger.info("the audit log stands at %s", head)
        self._thread.shutdown()

    async def sign_in_failed(self, address: str) -> None:
        logger.warning("a sign-in from %s was refused", address)
        await self._write(events.sign_in_failed(address))

    async def posted(self, who: Principal, study: Study) -> None:
        await self._write(events.posted(who, study.study_id))

    async def read(self, study: Study, *, done: bool) -> None:
        await self._write(events.read(study.study_id, done=done))

    async def viewed(self, who: Principal, study: Study) -> None:
        """Once for as long as the same client looks at the same study."""
        view, now = (who.name, who.address, study.number), self._clock()
        last = self._views.pop(view, None)
        self._views[view] = now
        if len(self._views) > _MOST_VIEWS:
            self._views.popitem(last=False)
        if last is None or now > last + SAME_VIEW_S:
            await self._write(events.viewed(who, study.study_id))

    async def deleted(self, who: Principal, study_id: str, *, done: bool) -> None:
        await self._write(events.deleted(who, study_id, done=done))

    def retired(self, studies: Sequence[Study]) -> None:
        """For the spool, which has a thread of its own: returns when it is written."""
        ids = [study.study_id for study in studies]
        for begin in range(0, len(ids), _STUDIES_OF_EVENT):
            self._append(events.retired(ids[begin : begin + _STUDIES_OF_EVENT]))

    async def _write(self, event: events.AuditEvent) -> str | None:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._append, event)

    def _append(self, event: events.AuditEvent) -> str | None:
        # The oldest event goes when there are too many: not while it is being written, or the one
        # behind it would be taken for written.
        with self._writing:
            self._unwritten.append(event)
            return self._write_all()

    def _try_again(self) -> None:
        self._trying_again = False
        with self._writing:
            self._write_all()

    def _write_all(self) -> str | None:
        """The log's head, or None if something is left for the next time. Under the lock."""
        head = None
        while self._unwritten:
            try:
                head = self._log.append(self._unwritten[0])
            except OSError as error:
                logger.error("the audit log cannot be written: %s", error.strerror)
                self._refused = True
                return None
            self._unwritten.popleft()
        self._refused = False
        return head
