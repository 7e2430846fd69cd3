"""The short form of `make faults`: what was acknowledged survives kill -9 of anything."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from faults.appliance import Appliance, alive
from faults.fire import fire
from faults.pairs import phantom_pairs

pytestmark = pytest.mark.slow

PAIR = phantom_pairs(1)[0]
FILES = [("mammogram", PAIR[0]), ("ultrasound", PAIR[1])]


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    appliance = Appliance(tmp_path / "state", worker=False, min_free_bytes=0)
    appliance.start()
    yield appliance
    if alive(appliance.web):
        appliance.kill(appliance.web)


def test_what_was_acknowledged_is_settled_once_whoever_is_killed(tmp_path: Path) -> None:
    outcome = fire(tmp_path, phantom_pairs(3), rounds=5, seed=3)
    assert outcome.held, outcome
    assert outcome.acknowledged > 0
    assert outcome.compared > 0
    assert outcome.settled["done"] > outcome.settled["failed"]
    assert set(outcome.reasons) <= {"reader_lost", "engine_fault"}  # lost twice over one study


def test_retention_under_fire_takes_what_is_settled_and_nothing_that_waits(tmp_path: Path) -> None:
    outcome = fire(tmp_path, phantom_pairs(3), rounds=3, seed=5, worker=False, max_age_s=5.0)
    assert outcome.held, outcome
    assert outcome.retired > 0


def test_sigterm_lets_the_study_being_read_end_and_keeps_those_that_wait(
    appliance: Appliance,
) -> None:
    appliance.until_ready()
    ids = [f"s{k}" for k in range(6)]
    for study_id in ids:
        answer = httpx.post(
            appliance.url + "/v1/studies?wait=0", files=FILES, data={"study_id": study_id}
        )
        assert answer.status_code == 202
    status, seconds = appliance.stop()
    assert status == -signal.SIGTERM  # as systemd and Docker expect of a clean end
    assert seconds < 30
    appliance.start()
    for study_id in ids:
        place = f"{appliance.url}/v1/studies/{study_id}"
        appliance.until(lambda place=place: httpx.get(place).json()["status"] == "done")


def test_nothing_of_the_appliance_outlives_its_web_process(appliance: Appliance) -> None:
    appliance.until_ready()
    reader = appliance.pids()["reader"]
    appliance.kill(appliance.web)
    appliance.until(lambda: not alive(reader))
