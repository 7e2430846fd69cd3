"""A box with a reader that says what it is told, and the page on it, as pytest fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from page_bench import ToldReader, Visit, visit
from playwright.sync_api import Browser, Page
from service_bench import box


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[ToldReader, httpx.Client]]:
    reader = ToldReader()
    with box(reader) as client:
        yield reader, client


@pytest.fixture
def reader(running: tuple[ToldReader, httpx.Client]) -> Iterator[ToldReader]:
    reader, _ = running
    yield reader
    fresh = ToldReader()
    reader.says, reader.findings, reader.broken = fresh.says, fresh.findings, False
    reader.gate.set()


@pytest.fixture
def seen(
    browser: Browser, reader: ToldReader, running: tuple[ToldReader, httpx.Client]
) -> Iterator[Visit]:
    with visit(browser, running[1]) as seen:
        yield seen


@pytest.fixture
def page(seen: Visit) -> Page:
    return seen.page
