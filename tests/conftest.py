"""What is drawn, trained or started once for many tests, since it takes seconds."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


TESTS = Path(__file__).parent

# The tests' own client names the URLs that it asks for: what the service logs is looked at here.
logging.getLogger("httpx").setLevel(logging.WARNING)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test has the mark of its folder: unit, service, browser, device, training or node."""
    for item in items:
        item.add_marker(item.path.relative_to(TESTS).parts[0])


@pytest.fixture(scope="session")
def phantom_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """index.csv of twelve phantoms of each modality, from seed 5. Not to be written to."""
    from mammosono.tools.data.draw import draw_index

    return draw_index(tmp_path_factory.mktemp("phantoms") / "drawn", count=12, seed=5)


@pytest.fixture(scope="session")
def tiny_run(phantom_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of the tiny network, trained for an epoch on those phantoms. Not to be written
    to."""
    from dataclasses import replace

    import tiny

    from mammosono.tools.data.index import read_index, select
    from mammosono.tools.training.datasets import real_samples
    from mammosono.tools.training.loop import Trainer

    records = read_index(phantom_index)
    train, val = (
        real_samples(select(records, split=split), tiny.GEOMETRY.input_size, lambda *_: None)
        for split in ("train", "val")
    )
    folder = tmp_path_factory.mktemp("run")
    trainer = Trainer(folder, replace(tiny.TRAIN, epochs=1), train, val, workers=0)
    assert trainer.fit(lambda _: None, lambda *_: None)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; every visit opens a context of its own in it. Not for the whole session: while it
    is open, no test could run an asyncio loop."""
    from page_bench import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch computes on one core: networks so small only wait for the second."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
