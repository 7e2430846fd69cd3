"""A hot folder: posted once and whole, answered beside it, whatever dies or goes away meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sized
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from files import dicom, picture
from service_bench import FakeReader, png, running, until

from mammosono.appliance.output.document import Result
from mammosono.appliance.values import Modality, Verdict
from mammosono.appliance.workstation import hot_folder as hot_folder_module
from mammosono.appliance.workstation import listing, pairing
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


# What an idle look costs


class Opened:
    """Counts the files opened for reading below a folder, and the folder's listings."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.files, self.listings = str(folder), Counter[str](), 0
        sys.addaudithook(self._hook)  # for good: nothing takes one away

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and str(args[0]).startswith(self._folder):
            self.files[Path(str(args[0])).name] += 1
        if event == "os.scandir" and str(args[0]).startswith(self._folder):
            self.listings += 1

    def clear(self) -> None:
        self.files.clear()
        self.listings = 0


def dicom_pair(folder: Path, patient: str) -> None:
    for modality in ("MG", "US"):
        told = {"PatientID": patient, "StudyDate": "20260102", "PatientName": patient}
        (folder / f"{patient}-{modality}").write_bytes(dicom(picture(), modality=modality, **told))


def test_a_file_is_read_once_and_an_idle_look_only_lists_the_folder(
    tmp_path: Path, clock: Clock
) -> None:
    for number in range(20):
        pair(tmp_path, f"{number}")
        dicom_pair(tmp_path, f"p{number}")
    (tmp_path / "0_mg.jpg").write_bytes(b"waits for nobody")
    (tmp_path / "alone_mg.png").write_bytes(b"waits for its other test")
    (tmp_path / "notes.txt").write_bytes(b"left")
    opened = Opened(tmp_path)
    hot_folder = watching(tmp_path, FakeAppliance(), clock)
    assert later(hot_folder, clock, 3) == 40
    images = Counter(
        {n: count for n, count in opened.files.items() if not n.endswith((".json", ".tmp"))}
    )
    assert max(images.values()) == 2  # its header, its bytes
    hot_folder.look()  # reads the answers
    opened.clear()
    for _ in range(10):
        clock.time += 1
        hot_folder.look()
    assert (opened.listings, opened.files) == (10, {})


def test_a_new_watch_reads_headers_and_answers_but_no_image_again(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        pair(tmp_path, f"{number}")
    later(watching(tmp_path, FakeAppliance(), clock), clock, 3)

    def fail(_: Path) -> bytes:
        raise AssertionError("read again")

    with monkeypatch.context() as patched:
        patched.setattr(listing, "sha256_of", fail)
        assert later(watching(tmp_path, FakeAppliance(), clock), clock, 3) == 0
    # An answer of another version, or a copy of the folder, does not tell the files by their times.
    for number in range(3):
        path = tmp_path / f"{number}.result.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "files": {}}))
    again = FakeAppliance()
    later(watching(tmp_path, again, clock), clock, 3)
    assert again.posted == []
    with monkeypatch.context() as patched:
        patched.setattr(listing, "sha256_of", fail)
        assert later(watching(tmp_path, FakeAppliance(), clock), clock, 3) == 0


@pytest.mark.parametrize("how", ["size", "time", "inode"])
def test_a_file_that_changed_in_any_way_is_read_again(
    tmp_path: Path, clock: Clock, how: str
) -> None:
    fake = FakeAppliance()
    hot_folder = watching(tmp_path, fake, clock)
    pair(tmp_path)
    later(hot_folder, clock, 3)
    path = tmp_path / "4711_us.png"
    state = path.stat()
    same_size = b"x" * state.st_size
    if how == "inode":
        (tmp_path / ".new").write_bytes(same_size)
        (tmp_path / ".new").replace(path)
    else:
        path.write_bytes(same_size + b"x" * (how == "size"))
    if how != "time":
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert later(hot_folder, clock, 3) == 1
    assert len({study_id for study_id, _ in fake.posted}) == 2


def test_memory_goes_with_the_folder(tmp_path: Path, clock: Clock) -> None:
    hot_folder = watching(tmp_path, FakeAppliance(), clock)
    for number in range(50):
        pair(tmp_path, f"{number}")
        (tmp_path / f"{number}.txt").write_bytes(b"")
        later(hot_folder, clock, 3)
        for path in tmp_path.iterdir():
            path.unlink()
    hot_folder.look()
    held = [value for value in vars(hot_folder).values() if isinstance(value, Sized)]
    assert [len(value) for value in (*held, hot_folder._listing.files)] == [0] * (len(held) + 1)


# A share that stumbles


def test_a_share_that_is_away_is_said_once_and_asked_again_until_it_is_back(
    tmp_path: Path, clock: Clock
) -> None:
    lines: list[str] = []
    share, away = tmp_path / "share", tmp_path / "away"
    share.mkdir()
    pair(share)
    fake = FakeAppliance()
    hot_folder = watching(share, fake, clock)
    hot_folder.log = lines.append
    hot_folder.look()
    share.rename(away)
    opened = Opened(share)
    for _ in range(60):
        clock.time += 0.5
        assert hot_folder.look() == 0
    assert opened.listings == 5  # after 0.5 s, and then 2, 4, 8, 8 seconds later
    away.rename(share)
    for _ in range(17):
        clock.time += 0.5
        hot_folder.look()
    assert len(fake.posted) == 1
    assert [line for line in lines if "folder" in line] == [
        "the folder cannot be used: No such file or directory; it is tried again",
        "the folder can be used again",
    ]


def test_an_answer_that_cannot_be_written_is_written_when_it_can_be(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    hot_folder = watching(tmp_path, FakeAppliance(), clock)
    hot_folder.log = lines.append
    pair(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        for _ in range(20):
            assert later(hot_folder, clock, 3) == 0
    assert lines == ["the folder cannot be used: Read-only file system; it is tried again"]
    assert later(hot_folder, clock, 8) == 1
    assert (tmp_path / "4711.result.json").exists()


def test_a_file_that_nobody_may_read_is_said_once_and_keeps_no_other_waiting(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    hot_folder = watching(tmp_path, FakeAppliance(), clock)
    hot_folder.log = lines.append
    pair(tmp_path, "a")
    pair(tmp_path, "b")

    def refuse(path: Path) -> Any:
        if path.name.startswith("a"):
            raise PermissionError(13, "Permission denied")
        return pairing.describe(path)

    monkeypatch.setattr(hot_folder_module, "describe", refuse)
    hot_folder.look()
    assert sorted(lines) == [
        f"a_{test}.png: Permission denied; it is tried again" for test in ("mg", "us")
    ]
    assert later(hot_folder, clock, 3) == 1
    assert len(lines) == 3
    monkeypatch.undo()
    assert hot_folder.look() == 1


def test_a_share_that_lists_but_does_not_read_is_tried_with_one_file_at_a_time(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []

    def refuse(path: Path) -> Any:
        tried.append(path)
        raise OSError(5, "Input/output error")

    for key in "abc":
        pair(tmp_path, key)
    hot_folder = watching(tmp_path, FakeAppliance(), clock)
    monkeypatch.setattr(hot_folder_module, "describe", refuse)
    for _ in range(6):
        hot_folder.look()
    assert len(tried) == len(set(tried)) == 6
    monkeypatch.undo()
    assert later(hot_folder, clock, 3) == 3


def test_a_study_that_fails_each_time_keeps_no_other_waiting(tmp_path: Path, clock: Clock) -> None:
    pair(tmp_path, "a")
    pair(tmp_path, "b")
    fake = FakeAppliance(Unavailable("the reader died"))
    hot_folder = watching(tmp_path, fake, clock)
    later(hot_folder, clock, 3)
    fake.answers = [None, Unavailable("the reader died")]
    assert later(hot_folder, clock, 2) == 1
    assert [names[0] for _, names in fake.posted] == ["a_mg.png", "b_mg.png", "a_mg.png"]


# Whose it is, and where it is found


@pytest.mark.parametrize("second", ["US", "MG"])
def test_two_people_under_one_patient_id_are_left_and_the_folder_says_why(
    tmp_path: Path, clock: Clock, second: str
) -> None:
    lines: list[str] = []
    fake = FakeAppliance()
    for file, modality, name in (("a", "MG", "Doe^Jane"), ("b", second, "Roe^Joan")):
        told = {"PatientID": "0", "StudyDate": "20260102", "PatientName": name}
        (tmp_path / file).write_bytes(dicom(picture(), modality=modality, **told))
    for _ in range(2):  # a new watch does not say it again
        hot_folder = watching(tmp_path, fake, clock)
        hot_folder.log = lines.append
        for _ in range(3):
            later(hot_folder, clock, 20)
    (path,) = tmp_path.glob("*.problem.json")
    document = json.loads(path.read_text())
    assert (document["code"], sorted(document["files"])) == ("several_people", ["a", "b"])
    (line,) = lines
    assert line.startswith(path.name.removesuffix(".problem.json"))
    for word in ("Doe", "Roe", "Jane", "20260102"):
        assert word not in line + path.read_text()
    assert fake.posted == []
    clock.time += 60
    (tmp_path / "b").unlink()  # sorted out by hand: what is left is one person's
    assert hot_folder.look() == 1
    assert list(tmp_path.glob("*.json")) == [path.with_name(path.name.replace("problem", "result"))]


def test_a_name_with_two_words_is_left_with_a_line(tmp_path: Path, clock: Clock) -> None:
    lines: list[str] = []
    (tmp_path / "scan_us_army_mg.png").write_bytes(png(1))
    fake = FakeAppliance()
    hot_folder = watching(tmp_path, fake, clock)
    hot_folder.log = lines.append
    later(hot_folder, clock, 100)
    later(hot_folder, clock, 100)
    (line,) = lines
    assert line.startswith("scan_us_army_mg.png: ")
    assert fake.posted == []


def test_a_study_has_one_id_in_the_log_in_its_answer_and_at_the_appliance(
    tmp_path: Path, clock: Clock
) -> None:
    lines: list[str] = []
    pair(tmp_path)
    dicom_pair(tmp_path, "P1")
    fake = FakeAppliance(None, PostRefused(PROBLEM))
    hot_folder = watching(tmp_path, fake, clock)
    hot_folder.log = lines.append
    later(hot_folder, clock, 3)
    (named, _), (by_dicom, _) = fake.posted
    assert named is not None
    assert by_dicom is not None
    assert [line.split(": ")[0] for line in lines] == ["4711", by_dicom[:22]]
    assert named in lines[0]
    assert by_dicom in lines[1]
    result = json.loads((tmp_path / "4711.result.json").read_text())
    assert (result["id"], list(result["files"])) == (named, ["4711_mg.png", "4711_us.png"])
    problem = json.loads((tmp_path / f"{by_dicom[:22]}.problem.json").read_text())
    assert (problem["study_id"], list(problem["files"])) == (by_dicom, ["P1-MG", "P1-US"])
    assert "4711" not in named  # what a person has written may be a patient's number
    assert "P1" not in by_dicom


def test_tests_of_two_days_are_posted_as_one_study_where_that_is_asked(
    tmp_path: Path, clock: Clock
) -> None:
    for modality, date in (("MG", "20260102"), ("US", "20260105")):
        told = {"PatientID": "P1", "StudyDate": date}
        (tmp_path / modality).write_bytes(dicom(picture(), modality=modality, **told))
    fake = FakeAppliance()
    hot_folder = HotFolder(tmp_path, fake, Timing(settle=3, alone=60), now=clock, pair_days=7)
    assert later(hot_folder, clock, 3) == 1
    assert [names for _, names in fake.posted] == [["MG", "US"]]


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
            here.read(files[1:], "s-2")
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
