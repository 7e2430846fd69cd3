"""A disk that fills up, or can no longer be written: nothing acknowledged is lost by it."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from faults.appliance import Appliance, alive
from faults.disk import CannotMount, fill, mount, small_disk
from faults.pairs import phantom_pairs

pytestmark = pytest.mark.slow

PAIR = phantom_pairs(1)[0]
FILES = [("mammogram", PAIR[0]), ("ultrasound", PAIR[1])]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """8 MiB of their own."""
    try:
        with small_disk(tmp_path / "disk", 8) as folder:
            yield folder
    except CannotMount as error:
        pytest.skip(str(error))


@pytest.fixture
def appliance(disk: Path) -> Iterator[Appliance]:
    appliance = Appliance(disk / "state", worker=False, min_free_bytes=2**20, max_age_days=1)
    appliance.log_to(disk.parent / "serve.log")
    appliance.start()
    appliance.until_ready()
    yield appliance
    if alive(appliance.web):
        appliance.kill(appliance.web)


def post(appliance: Appliance, study_id: str, wait: int = 60) -> httpx.Response:
    place = f"{appliance.url}/v1/studies?wait={wait}"
    return httpx.post(place, files=FILES, data={"study_id": study_id}, timeout=120)


def test_a_full_disk_refuses_the_study_and_loses_none_and_takes_the_next_when_there_is_room(
    appliance: Appliance, disk: Path
) -> None:
    kept = post(appliance, "before")
    assert kept.status_code == 200
    hog = fill(disk)

    refused = post(appliance, "during")
    assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
    assert httpx.get(f"{appliance.url}/v1/studies/during").status_code == 404
    ready = httpx.get(appliance.url + "/readyz")
    assert (ready.status_code, ready.json()["code"]) == (507, "storage_full")
    assert appliance.answers("/healthz")

    hog.unlink()
    appliance.until_ready()
    assert post(appliance, "during").status_code == 200
    # It was read, so it may have made room; if it is still there, it is as it was.
    before = httpx.get(f"{appliance.url}/v1/studies/before")
    assert before.status_code == 404 or before.content == kept.content


def test_a_study_that_is_read_while_the_disk_is_full_is_done_when_there_is_room(
    appliance: Appliance, disk: Path
) -> None:
    reader = appliance.pids()["reader"]
    os.kill(reader, signal.SIGSTOP)
    place = f"{appliance.url}/v1/studies/during"
    assert post(appliance, "during", wait=0).status_code == 202
    appliance.until(lambda: httpx.get(place).json()["status"] == "reading")
    hog = fill(disk)
    os.kill(reader, signal.SIGCONT)
    time.sleep(6.0)
    hog.unlink()
    appliance.until(lambda: httpx.get(place).json()["status"] == "done", 60)
    appliance.until_ready()


def test_a_study_that_is_claimed_on_a_full_disk_is_done_when_there_is_room(
    appliance: Appliance, disk: Path
) -> None:
    appliance.stop()
    appliance.start()  # it takes studies before its reader is ready
    place = f"{appliance.url}/v1/studies/waiting"
    appliance.until(lambda: post(appliance, "waiting", wait=0).status_code == 202)
    hog = fill(disk)
    appliance.until(lambda: "being loaded" not in httpx.get(appliance.url + "/readyz").text)
    time.sleep(3.0)
    hog.unlink()
    appliance.until(lambda: httpx.get(place).json()["status"] == "done", 60)
    appliance.until_ready()


def test_a_study_whose_reader_is_lost_on_a_full_disk_is_read_again_when_there_is_room(
    appliance: Appliance, disk: Path
) -> None:
    reader = appliance.pids()["reader"]
    os.kill(reader, signal.SIGSTOP)
    place = f"{appliance.url}/v1/studies/during"
    assert post(appliance, "during", wait=0).status_code == 202
    appliance.until(lambda: httpx.get(place).json()["status"] == "reading")
    hog = fill(disk)
    appliance.kill(reader)
    time.sleep(3.0)
    assert httpx.get(place).json()["status"] in ("reading", "queued", "done")
    hog.unlink()
    appliance.until(lambda: httpx.get(place).json()["status"] == "done", 60)
    appliance.until_ready()


def test_pictures_for_which_there_was_no_room_are_drawn_when_there_is(
    appliance: Appliance, disk: Path
) -> None:
    reader = appliance.pids()["reader"]
    os.kill(reader, signal.SIGSTOP)
    place = f"{appliance.url}/v1/studies/during"
    assert post(appliance, "during", wait=0).status_code == 202
    appliance.until(lambda: httpx.get(place).json()["status"] == "reading")
    hog = fill(disk)
    with hog.open("r+b") as file:  # room for the result, and for no picture
        file.truncate(hog.stat().st_size - 96 * 1024)
    os.kill(reader, signal.SIGCONT)
    time.sleep(6.0)
    hog.unlink()
    appliance.until(lambda: httpx.get(place).json()["status"] == "done", 60)
    appliance.until(lambda: appliance.answers("/v1/studies/during/images/0/overlay.png"), 60)
    appliance.until_ready()


def test_a_study_that_is_read_while_another_program_locks_the_database_is_done_afterwards(
    appliance: Appliance, disk: Path
) -> None:
    reader = appliance.pids()["reader"]
    os.kill(reader, signal.SIGSTOP)
    place = f"{appliance.url}/v1/studies/during"
    assert post(appliance, "during", wait=0).status_code == 202
    appliance.until(lambda: httpx.get(place).json()["status"] == "reading")
    database = sqlite3.connect(disk / "state" / "spool" / "studies.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    os.kill(reader, signal.SIGCONT)
    time.sleep(14.0)  # longer than SQLite waits, twice
    database.execute("ROLLBACK")
    database.close()
    appliance.until(lambda: httpx.get(place).json()["status"] == "done", 60)


def test_an_appliance_started_on_a_full_disk_lives_says_so_and_recovers(
    appliance: Appliance, disk: Path
) -> None:
    kept = post(appliance, "before")
    appliance.stop()
    (disk / "state" / "spool" / "reserve").unlink()
    hog = fill(disk)
    appliance.start()
    for _ in range(2):  # the reason stays the true one
        appliance.until(
            lambda: httpx.get(appliance.url + "/readyz").json()["code"] == "storage_full"
        )
        refused = post(appliance, "during")
        assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
        time.sleep(6.0)
    hog.unlink()
    appliance.until_ready()
    assert httpx.get(f"{appliance.url}/v1/studies/before").content == kept.content


def test_an_appliance_started_on_a_full_disk_makes_room_for_itself(
    appliance: Appliance, disk: Path
) -> None:
    assert post(appliance, "before").status_code == 200
    appliance.stop()
    hog = fill(disk)
    appliance.start()
    appliance.until(lambda: httpx.get(appliance.url + "/v1/studies").status_code == 200)
    assert httpx.get(appliance.url + "/v1/studies").json()["studies"] == []
    hog.unlink()
    appliance.until_ready()


def test_an_appliance_started_on_a_read_only_disk_lives_says_so_and_recovers(
    appliance: Appliance, disk: Path
) -> None:
    kept = post(appliance, "before")
    appliance.stop()
    mount("-o", "remount,ro", str(disk))
    try:
        appliance.start()
        appliance.until(
            lambda: httpx.get(appliance.url + "/readyz").json()["code"] == "storage_failed"
        )
        refused = post(appliance, "during")
        assert (refused.status_code, refused.json()["code"]) == (503, "storage_failed")
    finally:
        mount("-o", "remount,rw", str(disk))
    appliance.until_ready()
    assert httpx.get(f"{appliance.url}/v1/studies/before").content == kept.content
