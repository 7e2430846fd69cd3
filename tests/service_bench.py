"""What the service's tests share: a reader without a network, image files, a client, a server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import cv2
import httpx
import numpy as np
import readings
import uvicorn
from numpy.typing import NDArray

from mammosono.appliance.errors import ModelFault, ModelUnavailable
from mammosono.appliance.http.app import create_app
from mammosono.appliance.http.server import make_server
from mammosono.appliance.pipeline.detector.frame import Frame
from mammosono.appliance.pipeline.likeness import likeness
from mammosono.appliance.pipeline.prepare import Reduced, source
from mammosono.appliance.settings import Settings
from mammosono.appliance.studies.reader_process.__main__ import obey, opened
from mammosono.appliance.studies.reader_process.job import (
    Outcome,
    StudyDone,
    StudyJob,
    StudyRefused,
)
from mammosono.appliance.values import (
    ImageReading,
    Label,
    Modality,
    ModelInfo,
    Pictures,
    Reading,
    SourceImage,
    UnreadImage,
    Verdict,
)

PROBLEM = "application/problem+json"


def scan(seed: int, height: int = 96, width: int = 80) -> NDArray[np.uint8]:
    """A noisy ramp: something to see, and different for every seed."""
    ramp = np.linspace(30, 160, width)[None, :] + np.zeros((height, 1))
    noise = np.random.default_rng(seed).normal(0, 8, (height, width))
    return np.clip(ramp + noise, 0, 255).astype(np.uint8)


def png(seed: int = 0, height: int = 96, width: int = 80) -> bytes:
    return cv2.imencode(".png", scan(seed, height, width))[1].tobytes()


def study(**extra: Any) -> dict[str, Any]:
    """Arguments of `client.post` for a pair."""
    return {"files": [("mammogram", png(1)), ("ultrasound", png(2))], **extra}


class FakeReader:
    """Finds one lesion in the middle of every image, malignant in the mammogram.

    gate: a reading begins when it is set. broken: a reading fails with ModelFault.
    """

    def __init__(self) -> None:
        self.model = replace(
            readings.MODEL,
            networks={"MG": "film", "US": "probe"},
            input_sizes={"MG": (640, 448), "US": (448, 640)},
        )
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False
        self.readings = 0
        self.closed = False
        self.threads: set[str] = set()

    def reduce(self, image: SourceImage) -> Reduced:
        whole = Frame((0, 0, image.width, image.height), 1.0, (image.height, image.width))
        nothing = np.zeros((1, 1), np.uint8)
        known = image.without_pixels()
        return Reduced(known, likeness(image.pixels), whole, nothing.astype(np.float32), nothing)

    def pictures(self, image: SourceImage) -> Pictures:
        shown = (image.pixels >> (image.bits - 8)).astype(np.uint8)
        return Pictures(shown, cv2.blur(shown, (3, 3)))

    def read(self, images: Iterable[SourceImage | Reduced | UnreadImage]) -> Reading:
        self.threads.add(threading.current_thread().name)
        posted = list(images)
        assert self.gate.wait(60)
        if self.broken:
            raise ModelFault("The model answered NaN; post the study again.")
        self.readings += 1
        return readings.of_exam(map(source, posted), _read)

    def close(self) -> None:
        self.closed = True


def _read(index: int, image: SourceImage) -> ImageReading:
    malignant = image.modality is Modality.MG
    size = (image.height, image.width)
    label, score = (Label.MALIGNANT, 0.8) if malignant else (Label.BENIGN, 0.2)
    middle = (image.width / 2, image.height / 2)
    finding = readings.finding(label, score, centre=middle, radius=9, size=size)
    verdict = Verdict.POSITIVE if malignant else Verdict.NEGATIVE
    read = readings.image(index, image.modality, verdict, (finding,), size=size)
    return readings.as_seen(read, image)


class ThreadReader:
    """Reads on a thread what the service reads in a process: the same orders, the same answers."""

    def __init__(self, open_reader: Callable[[], FakeReader]) -> None:
        self._open_reader = open_reader
        self._reader: FakeReader | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader")
        self.unavailable: str | None = None

    def start(self) -> None:
        self._opening = asyncio.ensure_future(self._open())

    @property
    def model(self) -> ModelInfo:
        if self._reader is None:
            raise ModelUnavailable(self.unavailable or "The model is being loaded.")
        return self._reader.model

    async def ready(self) -> None:
        while self._reader is None:
            await asyncio.sleep(0.01)

    async def read(self, job: StudyJob, on_outcome: Callable[[Outcome], Awaitable[None]]) -> bool:
        answers: list[dict[str, Any]] = []
        order = job.document()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, obey, order, self._reader, answers.append)
        if "refused" in answers[0]:
            await on_outcome(StudyRefused(answers[0]["refused"]))
            return False
        document = answers[0]["done"]
        verdict = Verdict(answers[0]["verdict"])
        await on_outcome(
            StudyDone(
                json.dumps(document).encode(), verdict, document["timings_ms"], _unread(document)
            )
        )
        return answers[1]["drawn"] is not None

    async def close(self) -> None:
        self._opening.cancel()
        await asyncio.to_thread(self._thread.shutdown)
        if self._reader is not None:
            self._reader.close()

    async def _open(self) -> None:
        loop, answers = asyncio.get_running_loop(), []
        open_it = (opened, self._open_reader, answers.append)
        self._reader = await loop.run_in_executor(self._thread, *open_it)
        self.unavailable = answers[0].get("unavailable")


def _unread(document: dict[str, Any]) -> tuple[str, ...]:
    unread = [image for image in document["images"] if image["verdict"] is None]
    return tuple(code for image in unread for code in image["reasons"])


@contextlib.contextmanager
def serving(
    open_reader: Callable[[], FakeReader] | None, **settings: Any
) -> Iterator[httpx.Client]:
    """The application behind a real server on a free loopback port, and a client of it.

    open_reader: None opens the real one, in its own process.
    """
    with contextlib.ExitStack() as stack:
        if "state" not in settings:
            settings["state"] = stack.enter_context(tempfile.TemporaryDirectory())
        chosen = Settings(port=0, **settings)
        reader = None if open_reader is None else ThreadReader(open_reader)
        yield from _serve(make_server(create_app(chosen, reader), chosen))


def _serve(server: uvicorn.Server) -> Iterator[httpx.Client]:
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until(lambda: server.started)
        host, port = server.servers[0].sockets[0].getsockname()
        with httpx.Client(base_url=f"http://{host}:{port}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


@contextlib.contextmanager
def running(reader: FakeReader, *, ready: bool = True, **settings: Any) -> Iterator[httpx.Client]:
    """As `serving`, with the reader open. The gate is opened at the end, whatever happened.

    ready: wait until the appliance says it is.
    """
    with serving(lambda: reader, **settings) as client:
        until(lambda: not ready or client.get("/readyz").status_code == 200)
        try:
            yield client
        finally:
            reader.gate.set()


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until `condition()` holds; fail if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of `response`, which must be one of this status and code."""
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), (
        response.text
    )
    document: dict[str, Any] = response.json()
    assert document["code"] == code, document
    assert document["status"] == status
    assert document["type"] == f"urn:mammosono:problem:{code}"
    assert document["title"]
    assert document["detail"]
    assert "Traceback" not in response.text
    return document
