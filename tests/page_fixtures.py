"""An appliance with a reader that says what it is told, and the page on it, as pytest fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from page_bench import ToldReader, Visit, visit
from playwright.sync_api import Browser, Page
from service_bench import running


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[ToldReader, httpx.Client]]:
    reader = ToldReader()
    with running(reader) as client:
        yield reader, client


@pytest.fixture
def reader(service: tuple[ToldReader, httpx.Client]) -> Iterator[ToldReader]:
    reader, _ = service
    yield reader
    fresh = ToldReader()
    reader.says, reader.findings, reader.broken = fresh.says, fresh.findings, False
    reader.gate.set()


@pytest.fixture
def seen(
    browser: Browser, reader: ToldReader, service: tuple[ToldReader, httpx.Client]
) -> Iterator[Visit]:
    with visit(browser, service[1]) as seen:
        yield seen


@pytest.fixture
def page(seen: Visit) -> Page:
    return seen.page
