"""Orthanc beside a listener for its answers, started once a module."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orthanc
import pytest

from mammosono.appliance.node.outbox import Outbox

pytest.importorskip("pynetdicom", reason="the extra `dicom` is not installed")

from pynetdicom import AE, evt

from mammosono.appliance.node import commitment
from mammosono.appliance.node.contexts import STORAGE_COMMITMENT, VERIFICATION


@dataclass
class Answers:
    """A listener for commitment reports, which go to the outbox of the test that runs."""

    port: int
    outbox: Outbox | None = None
    statuses: list[int] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)

    def take(self, event: evt.Event) -> tuple[int, None]:
        status = 0x0110
        if self.outbox is not None:
            status, _ = commitment.handler(self.outbox)(event)
        self.statuses.append(status)
        self.came.set()
        return status, None


@contextlib.contextmanager
def listening() -> Iterator[Answers]:
    entity = AE("MAMMOSONO")
    entity.add_supported_context(STORAGE_COMMITMENT, scu_role=True, scp_role=True)
    entity.add_supported_context(VERIFICATION)
    # A connection that says nothing, as that of a check, counts for half a minute.
    entity.maximum_associations = 100
    box = Answers(orthanc.free_port())
    server = entity.start_server(
        ("127.0.0.1", box.port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, box.take)]
    )
    try:
        yield box
    finally:
        server.shutdown()


@pytest.fixture(scope="session")
def answers() -> Iterator[Answers]:
    with listening() as box:
        yield box


@pytest.fixture(scope="session")
def pacs(tmp_path_factory: pytest.TempPathFactory, answers: Answers) -> Iterator[orthanc.Orthanc]:
    if why := orthanc.missing():
        pytest.skip(why)
    with orthanc.orthanc(tmp_path_factory.mktemp("orthanc"), box_port=answers.port) as running:
        yield running


@pytest.fixture
def study(pacs: orthanc.Orthanc, request: pytest.FixtureRequest) -> str:
    """A name for a study that Orthanc does not have."""
    return request.node.name


@pytest.fixture
def outbox(tmp_path: Path, answers: Answers) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "outbox")
    answers.outbox = box
    yield box
    answers.outbox = None
    box.close()
