"""Places for the request bodies that are received at the same time, shared among the clients."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from mammosono.appliance.errors import UploadTooSlow
from mammosono.appliance.http.form import StudyForm, read_form
from mammosono.appliance.http.places import Places
from mammosono.appliance.http.threads import in_thread
from mammosono.appliance.security.clients import client_of
from mammosono.appliance.security.roles import LOCAL, Principal
from mammosono.appliance.settings import Settings
from mammosono.appliance.studies.spool.files import disk_errors

SHARE = 0.5
"""Of the places that the others leave: of four, one client gets two."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    client: str
    turn: asyncio.Future[None]


class UploadSlots:
    """Limit on request bodies received at the same time, and a deadline for each.

    A client, which is a token or, without tokens, an address, gets half of the places that the
    others leave; then it waits, and whoever holds fewer places comes before it. Giving one back, it
    goes behind the others that wait: posting again and again gains it nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self._places = Places(settings.max_uploads, SHARE)
        self._upload_s, self._max_images = settings.upload_s, settings.max_images
        self._waiting: list[_Waiting] = []

    @asynccontextmanager
    async def receive(
        self, request: Request, who: Principal, incoming: Path
    ) -> AsyncIterator[StudyForm]:
        """The posted form; what nobody took of it is gone afterwards.

        Raises StudyError, EmptyFile, StorageFull or StorageFailed.
        """
        async with self._place(client_of(who.address) if who.name == LOCAL else who.name):
            with disk_errors():
                folder = await in_thread(tempfile.TemporaryDirectory, dir=incoming)
            try:
                yield await self._form(request, Path(folder.name))
            finally:
                await in_thread(folder.cleanup)

    async def _form(self, request: Request, folder: Path) -> StudyForm:
        try:
            form = read_form(request, folder, self._max_images)
            return await asyncio.wait_for(form, self._upload_s)
        except asyncio.TimeoutError:
            raise UploadTooSlow(
                f"Send the whole request within {self._upload_s:g} seconds."
            ) from None

    @asynccontextmanager
    async def _place(self, client: str) -> AsyncIterator[None]:
        waiting = _Waiting(client, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._admit()
        try:
            await waiting.turn
            yield
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            else:
                self._places.leave(client)
                self._waiting.sort(key=lambda each: each.client == client)
                self._admit()

    def _admit(self) -> None:
        """Give the free places to those that may have them: who holds fewest first, then in order
        of waiting."""
        while allowed := [each for each in self._waiting if self._places.may_take(each.client)]:
            first = min(allowed, key=lambda each: self._places.held(each.client))
            self._waiting.remove(first)
            self._places.take(first.client)
            if not first.turn.done():  # or its client is just being given up, and gives it back
                first.turn.set_result(None)
