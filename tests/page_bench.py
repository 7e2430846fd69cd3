"""What the page's tests share: a Chromium, a reader told what to see, a watch on the console."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import httpx
import pytest
import readings
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright
from service_bench import FakeReader, png

from mammosono.appliance.pipeline.prepare import Reduced, source
from mammosono.appliance.pipeline.verdict import NO_BREAST
from mammosono.appliance.values import (
    Finding,
    ImageReading,
    Label,
    Modality,
    Pictures,
    Reading,
    SourceImage,
    UnreadImage,
    Verdict,
)

CHROMIUM = shutil.which("chromium")
DESK = {"width": 1920, "height": 1080}
LAPTOP = {"width": 1280, "height": 800}

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium in PATH; apt-get install chromium"
)
expect.set_options(timeout=20_000)


class ToldReader(FakeReader):
    """Sees what it is told: by modality the verdict of each image, and how many findings."""

    def __init__(self) -> None:
        super().__init__()
        self.says = {Modality.MG: Verdict.POSITIVE, Modality.US: Verdict.NEGATIVE}
        self.findings = 1

    def pictures(self, image: SourceImage) -> Pictures:
        return Pictures(image.pixels, cv2.blur(image.pixels, (3, 3)))

    def read(self, images: Iterable[SourceImage | Reduced | UnreadImage]) -> Reading:
        posted = list(images)
        super().read(posted)
        return readings.of_exam(map(source, posted), self._see)

    def _see(self, index: int, image: SourceImage) -> ImageReading:
        verdict, size = self.says[image.modality], (image.height, image.width)
        unsure = verdict is Verdict.INDETERMINATE
        findings = [] if unsure else [self._finding(k, image) for k in range(self.findings)]
        more = (NO_BREAST,) if unsure else ()
        read = readings.image(index, image.modality, verdict, tuple(findings), size=size)
        return readings.as_seen(read, replace(image, warnings=(*image.warnings, *more)))

    def _finding(self, number: int, image: SourceImage) -> Finding:
        """In a row from left to right, the first one of the image's verdict, the others benign."""
        grave = number == 0 and self.says[image.modality] is Verdict.POSITIVE
        return readings.finding(
            Label.MALIGNANT if grave else Label.BENIGN,
            0.8 if grave else 0.2 - number / 100,
            centre=((number + 0.5) * image.width / self.findings, image.height / 2),
            radius=9,
            size=(image.height, image.width),
            spacing_mm=image.spacing_mm,
        )


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page at an appliance, and what it said on its console.

    expected: parts of console errors that belong to the test. Chromium reports every answer of
    4xx and 5xx as one, and every connection that fails.
    """

    page: Page
    client: httpx.Client
    expected: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        return [line for line in self.said if not any(part in line for part in self.expected)]

    def choose(self, test: str, *images: dict[str, Any]) -> None:
        self.page.get_by_label(f"Choose {test} images").set_input_files(list(images))

    def send(self) -> None:
        self.page.get_by_role("button", name="Read", exact=True).click()

    def read_pair(self) -> None:
        """Post a mammogram and an ultrasound, and wait for their reading."""
        self.choose("mammogram", image("mlo.png", 1))
        self.choose("ultrasound", image("us.png", 2))
        self.send()
        expect(self.page.locator(".reading .stage img")).to_have_count(2)

    def verdict(self) -> str:
        return self.page.locator(".banner h1").inner_text()

    def problem(self, *words: str) -> None:
        """The page says `words` where it says what is wrong."""
        for each in words:
            expect(self.page.locator(".problem")).to_contain_text(each)


@contextlib.contextmanager
def visit(
    browser: Browser, client: httpx.Client, url: str | None = None, **context: Any
) -> Iterator[Visit]:
    """Open the page; at the end its console must have said nothing that is not expected."""
    context.setdefault("viewport", LAPTOP)
    with contextlib.closing(browser.new_context(**context)) as own:
        page = own.new_page()
        page.set_default_timeout(20_000)
        seen = Visit(page, client)

        def heard(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                seen.said.append(f"{message.type}: {message.text} {message.location['url']}")

        page.on("console", heard)
        page.on("pageerror", lambda error: seen.said.append(f"uncaught: {error}"))
        page.goto(url or str(client.base_url))
        yield seen
        faults = seen.faults()
        assert not faults, faults


def image(name: str, data: int | bytes, kind: str = "image/png") -> dict[str, Any]:
    """A file to choose; a number is the seed of a small PNG."""
    return {
        "name": name,
        "mimeType": kind,
        "buffer": png(data) if isinstance(data, int) else data,
    }


def serious(page: Page) -> list[str]:
    """What axe finds that would keep somebody out."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:120]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


class Wire:
    """A cable between the page and the appliance, which can be pulled out and put in again."""

    def __init__(self, client: httpx.Client) -> None:
        self._box = (client.base_url.host, client.base_url.port)
        self._door = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._pulled = False
        threading.Thread(target=self._answer, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._door.getsockname()[1]}"

    def pull(self) -> None:
        self._pulled = True
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def put_in(self) -> None:
        self._pulled = False

    def close(self) -> None:
        self.pull()
        self._door.close()

    def _answer(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._door.accept()
                if self._pulled:
                    near.close()
                    continue
                far = socket.create_connection(self._box)
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_carry, args=(one, other), daemon=True).start()


def _carry(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    for end in (one, other):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


def stage(page: Page, index: int) -> Locator:
    return page.locator(f"#frame-{index} .stage")


def place(page: Page, index: int) -> tuple[float, float, float, float]:
    """x, y, width, height of an image on the screen, from the corner of its pane."""
    expect(stage(page, index)).to_be_visible()
    box = stage(page, index).bounding_box()
    pane = page.locator(f"#frame-{index} .surface").bounding_box()
    assert box is not None
    assert pane is not None
    return box["x"] - pane["x"], box["y"] - pane["y"], box["width"], box["height"]


def focused(page: Page) -> str:
    name: str = page.evaluate(
        "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
    )
    return name
