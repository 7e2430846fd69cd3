"""Supervisor of the reader process: starts it, kills it when it hangs, replaces it when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mammosono.appliance.errors import ModelUnavailable, ReaderLost
from mammosono.appliance.output.problem import from_unexpected
from mammosono.appliance.studies.reader_process.job import (
    Opening,
    Outcome,
    StudyDone,
    StudyJob,
    StudyRefused,
)
from mammosono.appliance.values import ModelInfo, Verdict

logger = logging.getLogger(__name__)
_MODEL = TypeAdapter(ModelInfo)

COMMAND = (sys.executable, "-m", "mammosono.appliance.studies.reader_process")
_STARTS_AGAIN = "The reader stopped and is started again; try in a few seconds."
_OTHER_VERSION = "The reader is of another version than the service; install the software anew."
_LINE_BYTES = 64 * 2**20
"""Longest answer: a result with the masks and outlines of 48 images is a sixteenth of it."""


IMAGES = 8
"""Of a study: more of them are given more time."""


class _Image(BaseModel):
    """Of an image in it. verdict: None if it could not be read; then reasons says why."""

    model_config = ConfigDict(strict=True)
    verdict: str | None
    reasons: list[str] = []


class _Document(BaseModel):
    """Of a result document, what the service itself relies on."""

    model_config = ConfigDict(strict=True)
    id: str
    timings_ms: dict[str, float]
    images: list[_Image] = []


class _Problem(BaseModel):
    """Of a problem document, what an answer is made of."""

    model_config = ConfigDict(strict=True)
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    code: str


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds before the process counts as hung.

    start: to open the model; on a Jetson the GPU's libraries alone take 10.
    study: to read one of up to IMAGES images, or to draw one of them; more take longer.
    ping: between two pings. answer: to a ping.
    retry: first and last pause before it is started again.
    """

    start: float = 300.0
    study: float = 180.0
    ping: float = 5.0
    answer: float = 20.0
    retry: tuple[float, float] = (0.5, 30.0)

    def of(self, images: int) -> float:
        """To read a study of so many images, or to draw one of them."""
        return self.study * max(1.0, images / IMAGES)


class ReaderProcess:
    """One process at a time, and one study at a time in it. Lives on the event loop."""

    def __init__(
        self,
        opening: Opening,
        patience: Patience = Patience(),
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._opening, self._patience, self._command = opening, patience, command
        self._process: asyncio.subprocess.Process | None = None
        self._model: ModelInfo | None = None
        self._reason = "The model is being loaded; try again in a few seconds."
        self._unavailable: str | None = None
        self._ready = asyncio.Event()
        self._busy = asyncio.Lock()
        self._supervisor: asyncio.Task[None] | None = None
        self.starts = 0
        """How often a process was started."""

    def start(self) -> None:
        """Start to supervise a process; returns at once."""
        self._supervisor = asyncio.create_task(self._supervise())

    @property
    def model(self) -> ModelInfo:
        """Of the process that is ready. Raises ModelUnavailable with the reason if none is."""
        if self._model is None:
            raise ModelUnavailable(self._reason)
        return self._model

    @property
    def unavailable(self) -> str | None:
        """Why no process can read until an operator acts; None if one does or soon will."""
        return self._unavailable

    async def ready(self) -> None:
        """Returns once a process is ready to read."""
        await self._ready.wait()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def read(self, job: StudyJob, on_outcome: Callable[[Outcome], Awaitable[None]]) -> bool:
        """Have a study read, or an image of it drawn; `on_outcome` is awaited as soon as there is
        one.

        True once the image's pictures are drawn. Raises ReaderLost if the process
        dies or takes too long, whether before the outcome or after, ModelUnavailable if none runs.
        """
        async with self._busy:
            _ = self.model
            patience = self._patience.of(len(job.images))
            try:
                return await asyncio.wait_for(self._read(job, on_outcome), patience)
            except asyncio.TimeoutError:
                raise self._lost(f"it took longer than {patience:g} s") from None
            except (OSError, EOFError, ValueError, KeyError) as error:
                raise self._lost(f"the process died ({type(error).__name__})") from None
            except BaseException:
                # Its next line belongs to this study and must not be taken for another's.
                self._kill()
                raise

    async def close(self) -> None:
        """Let the study being read end, then end the process."""
        if self._supervisor is not None:
            async with self._busy:
                # Again and again: before Python 3.12 wait_for may swallow a cancellation.
                while not self._supervisor.done():
                    self._supervisor.cancel()
                    await asyncio.wait([self._supervisor], timeout=0.1)
        await self._end()

    async def _read(self, job: StudyJob, on_outcome: Callable[[Outcome], Awaitable[None]]) -> bool:
        await self._send(job.document())
        answer = await self._receive()
        if "refused" in answer:
            _Problem.model_validate(answer["refused"])
            await on_outcome(StudyRefused(answer["refused"]))
            return False
        await on_outcome(_done(job, answer["done"], answer["verdict"]))
        drawn = (await self._receive())["drawn"]
        if drawn not in (None, job.study_id):
            raise ValueError("an answer to something else")
        return drawn is not None

    async def _supervise(self) -> None:
        """Start a process, ping it, and start another when it ends or does not answer."""
        pause, longest = self._patience.retry
        while True:
            try:
                await asyncio.wait_for(self._open(), self._patience.start)
                pause = self._patience.retry[0]
                await self._monitor()
            except ModelUnavailable as error:
                self._reason = self._unavailable = str(error)
                logger.error("the model cannot be run: %s", error)
            except (asyncio.TimeoutError, OSError, EOFError, ValueError, KeyError) as error:
                self._reason = _STARTS_AGAIN
                logger.error("the reader process was lost: %s", type(error).__name__)
            except Exception as error:
                self._reason = _STARTS_AGAIN
                from_unexpected(error)  # to the log
            await self._end()
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    async def _open(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
        )
        self.starts += 1
        await self._send({"open": self._opening.document()})
        answer = await self._receive()
        if "unavailable" in answer:
            raise ModelUnavailable(answer["unavailable"])
        try:
            self._model = _MODEL.validate_python(answer["ready"])
        except ValidationError:
            raise ModelUnavailable(_OTHER_VERSION) from None
        self._unavailable = None
        self._ready.set()

    async def _monitor(self) -> None:
        """Returns when the process has ended. Raises as `_supervise` expects if it is silent."""
        count = 0
        while self._process is not None and self._process.returncode is None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._process.wait(), self._patience.ping)
                break
            async with self._busy:
                count += 1
                await self._send({"ping": count})
                answer = await asyncio.wait_for(self._receive(), self._patience.answer)
                if answer != {"pong": count}:
                    raise ValueError("an answer to something else")
        self._reason = _STARTS_AGAIN

    def _lost(self, how: str) -> ReaderLost:
        logger.error("the reader process was lost: %s", how)
        self._kill()
        return ReaderLost(f"The reader was lost over this study: {how}.")

    def _kill(self) -> None:
        self._model = None
        self._ready.clear()
        if self._process is not None:
            _kill(self._process)

    async def _end(self) -> None:
        self._model = None
        self._ready.clear()
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            if process.stdin is not None:
                process.stdin.close()
            await asyncio.wait_for(process.wait(), 5.0 if self._supervision_ended() else 0.0)
        _kill(process)
        await process.wait()

    def _supervision_ended(self) -> bool:
        return self._supervisor is None or self._supervisor.done()

    async def _send(self, order: dict[str, Any]) -> None:
        """Raises EOFError if no process runs, OSError if it has ended."""
        if self._process is None or self._process.stdin is None:
            raise EOFError
        self._process.stdin.write(json.dumps(order, default=str).encode() + b"\n")
        await self._process.stdin.drain()

    async def _receive(self) -> dict[str, Any]:
        """Raises EOFError if the process ended, ValueError if it sent something else."""
        if self._process is None or self._process.stdout is None:
            raise EOFError
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        try:
            answer = json.loads(line)
        except RecursionError:
            raise ValueError("nested too deep") from None
        if not isinstance(answer, dict):
            raise ValueError("not an object")
        return answer


def _done(job: StudyJob, document: dict[str, Any], verdict: str) -> StudyDone:
    """Raises ValueError if this is no result of the job."""
    known = _Document.model_validate(document)
    if known.id != job.study_id or document.get("verdict", verdict) != verdict:
        raise ValueError("a result of something else")
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    unread = [code for image in known.images if image.verdict is None for code in image.reasons]
    return StudyDone(text.encode(), Verdict(verdict), known.timings_ms, tuple(unread))


def _kill(process: asyncio.subprocess.Process) -> None:
    # Not process.kill(): that looks first whether it has ended, and so takes from asyncio's own
    # watch the exit status that it waits for.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
