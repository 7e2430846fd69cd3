"""A hot folder: posted once and whole, answered beside it, whatever dies or goes away meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from service_bench import FakeReader, png, running, until

from mammosono.appliance.output.document import Result
from mammosono.appliance.values import Modality, Verdict
from mammosono.appliance.workstation.client import (
    ApplianceClient,
    ClientError,
    Files,
    PostRefused,
    Unavailable,
)
from mammosono.appliance.workstation.hot_folder import HotFolder, Timing

PROBLEM = {"status": 422, "code": "corrupt_image", "title": "Damaged", "detail": "post it again"}


class FakeAppliance:
    """Gives the answers in turn, and counts what was posted."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.posted: list[tuple[str | None, list[str]]] = []

    def read(self, files: Files, study_id: str | None = None) -> dict[str, Any]:
        self.posted.append((study_id, [path.name for _, path in files]))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return {"id": study_id, "status": "done", "verdict": "negative"}


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watching(folder: Path, appliance: FakeAppliance, clock: Clock) -> HotFolder:
    return HotFolder(folder, appliance, Timing(settle=3, alone=60, away=(2, 8)), now=clock)


def later(hot_folder: HotFolder, clock: Clock, seconds: float) -> int:
    """Look, wait, look again: a file counts as whole only by what was seen of it."""
    hot_folder.look()
    clock.time += seconds
    return hot_folder.look()


def pair(folder: Path, key: str = "4711") -> None:
    (folder / f"{key}_mg.png").write_bytes(b"film " + key.encode())
    (folder / f"{key}_us.png").write_bytes(b"scan " + key.encode())


def test_a_pair_is_posted_once_and_answered_beside_it(tmp_path: Path, clock: Clock) -> None:
    fake = FakeAppliance()
    hot_folder = watching(tmp_path, fake, clock)
    pair(tmp_path)
    assert later(hot_folder, clock, 3) == 1
    assert later(hot_folder, clock, 100) == 0
    assert [names for _, names in fake.posted] == [["4711_mg.png", "4711_us.png"]]
    assert json.loads((tmp_path / "4711.result.json").read_text())["verdict"] == "negative"


def test_a_file_that_still_grows_is_waited_for(tmp_path: Path, clock: Clock) -> None:
    fake = FakeAppliance()
    hot_folder = watching(tmp_path, fake, clock)
    pair(tmp_path)
    for size in range(4):
        assert later(hot_folder, clock, 2) == 0
        (tmp_path / "4711_us.png").write_bytes(b"more" * (size + 9))
    assert fake.posted == []
    assert later(hot_folder, clock, 3) == 1


def test_one_test_waits_for_the_other_and_then_goes_alone(tmp_path: Path, clock: Clock) -> None:
    fake = FakeAppliance()
    hot_folder = watching(tmp_path, fake, clock)
    (tmp_path / "4711_mg.png").write_bytes(b"film")
    assert later(hot_folder, clock, 59) == 0
    assert later(hot_folder, clock, 1) == 1
    assert [names for _, names in fake.posted] == [["4711_mg.png"]]


def test_the_other_test_that_comes_late_makes_the_pair_a_study_of_its_own(
    tmp_path: Path, clock: Clock
) -> None:
    fake = FakeAppliance()
    hot_folder = watching(tmp_path, fake, clock)
    (tmp_path / "4711_mg.png").write_bytes(b"film")
    later(hot_folder, clock, 60)
    (tmp_path / "4711_us.png").write_bytes(b"scan")
    assert later(hot_folder, clock, 3) == 1
    assert [names for _, names in fake.posted][-1] == ["4711_mg.png", "4711_us.png"]
    assert fake.posted[0][0] != fake.posted[1][0]


def test_a_refused_study_says_why_and_is_not_posted_again(tmp_path: Path, clock: Clock) -> None:
    fake = FakeAppliance(PostRefused(PROBLEM))
    hot_folder = watching(tmp_path, fake, clock)
    pair(tmp_path)
    later(hot_folder, clock, 3)
    later(hot_folder, clock, 100)
    assert len(fake.posted) == 1
    assert json.loads((tmp_path / "4711.problem.json").read_text())["code"] == "corrupt_image"
    (tmp_path / "4711_us.png").write_bytes(b"a better scan")
    assert later(hot_folder, clock, 3) == 1
    assert not (tmp_path / "4711.problem.json").exists()
    assert (tmp_path / "4711.result.json").exists()


def test_an_appliance_that_is_away_is_asked_again_ever_more_seldom(
    tmp_path: Path, clock: Clock
) -> None:
    fake = FakeAppliance(*[Unavailable("nobody answers")] * 5)
    hot_folder = watching(tmp_path, fake, clock)
    pair(tmp_path)
    later(hot_folder, clock, 3)
    asked = [clock.time]
    while not (tmp_path / "4711.result.json").exists():
        clock.time += 0.5
        before = len(fake.posted)
        hot_folder.look()
        if len(fake.posted) > before:
            asked.append(clock.time)
    pauses = [b - a for a, b in pairwise(asked)]
    assert pauses == [2, 4, 8, 8, 8]
    assert {study_id for study_id, _ in fake.posted} == {fake.posted[0][0]}


def test_an_appliance_that_says_when_is_asked_then(tmp_path: Path, clock: Clock) -> None:
    fake = FakeAppliance(Unavailable("queue full", retry_after_s=30))
    hot_folder = watching(tmp_path, fake, clock)
    pair(tmp_path)
    later(hot_folder, clock, 3)
    clock.time += 29
    assert hot_folder.look() == 0
    clock.time += 1
    assert hot_folder.look() == 1


def test_a_new_watch_goes_on_where_a_killed_one_was(tmp_path: Path, clock: Clock) -> None:
    pair(tmp_path, "done")
    pair(tmp_path, "open")
    later(watching(tmp_path, FakeAppliance(None, Unavailable("gone")), clock), clock, 3)
    again = FakeAppliance()
    later(watching(tmp_path, again, clock), clock, 3)
    assert [names[0] for _, names in again.posted] == ["open_mg.png"]


def test_what_is_no_image_or_half_there_is_left_alone(tmp_path: Path, clock: Clock) -> None:
    lines: list[str] = []
    hot_folder = watching(tmp_path, FakeAppliance(), clock)
    hot_folder.log = lines.append
    for name in (".4711_mg.png", "4711_mg.png.part", "notes.txt", "x.result.json"):
        (tmp_path / name).write_bytes(b"?")
    later(hot_folder, clock, 100)
    later(hot_folder, clock, 100)
    assert [line.split(":")[0] for line in lines] == ["notes.txt"]


# With a real appliance


def test_a_posted_pair_comes_back_as_a_reading(tmp_path: Path) -> None:
    for name, seed in (("a_mg.png", 1), ("a_us.png", 2)):
        (tmp_path / name).write_bytes(png(seed))
    files = [(Modality.MG, tmp_path / "a_mg.png"), (Modality.US, tmp_path / "a_us.png")]
    with running(FakeReader()) as client, ApplianceClient(str(client.base_url)) as here:
        document = here.read(files, "s-1")
        reading = Result.parse(document).reading()
        assert reading.verdict is Verdict.POSITIVE
        assert [len(image.findings) for image in reading.images] == [1, 1]
        assert here.read(files, "s-1") == document
        (tmp_path / "a_us.png").write_bytes(b"no picture")
        with pytest.raises(PostRefused, match="unsupported_format"):
            here.read(files, "s-2")
        with pytest.raises(PostRefused, match="study_conflict"):
            here.read(files, "s-1")


def test_an_appliance_that_is_not_there_is_away(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with (
        ApplianceClient("http://127.0.0.1:9") as here,
        pytest.raises(Unavailable, match="does not answer"),
    ):
        here.read([(Modality.MG, tmp_path / "a")])


def test_a_certificate_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not one")
    with pytest.raises(ClientError, match="certificate"):
        ApplianceClient("https://127.0.0.1:9", ca=tmp_path / "ca.pem")


@pytest.mark.slow
def test_the_command_survives_its_own_kill_and_the_absence_of_the_appliance(tmp_path: Path) -> None:
    folder = tmp_path / "hot"
    folder.mkdir()
    command = [
        sys.executable,
        "-c",
        "from mammosono.appliance.cli import main; main()",
        "watch",
        str(folder),
    ]

    def start(url: str) -> subprocess.Popen[bytes]:
        more = ["--url", url, "--settle", "0.2"]
        return subprocess.Popen([*command, *more], stderr=subprocess.DEVNULL)

    hot_folder = start("http://127.0.0.1:9")  # nobody there
    for name, seed in (("a_mg.png", 1), ("a_us.png", 2)):
        (folder / name).write_bytes(png(seed))
    time.sleep(0.5)
    hot_folder.kill()
    hot_folder.wait()
    assert not list(folder.glob("*.json"))
    reader = FakeReader()
    with running(reader) as client:
        hot_folder = start(str(client.base_url))
        until(lambda: (folder / "a.result.json").exists())
        hot_folder.kill()
        hot_folder.wait()
        again = start(str(client.base_url))
        (folder / "b_mg.png").write_bytes(png(3))
        (folder / "b_us.png").write_bytes(png(4))
        until(lambda: (folder / "b.result.json").exists())
        again.send_signal(2)
        assert again.wait(30) == 0
    assert reader.readings == 2
    assert os.listdir(folder).count("a.result.json") == 1
