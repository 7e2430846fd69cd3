"""Wherever the power fails, what was acknowledged is on the disk, and nothing that was deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from power_cut import Disk, Killed, Left
from spools import World, files_under, upload

from mammosono.appliance.errors import UnknownStudy
from mammosono.appliance.security.audit import AuditLog, verify
from mammosono.appliance.studies.spool import Spool, Study
from mammosono.appliance.values import Verdict

pytestmark = pytest.mark.slow

PROBLEM = {"status": 422, "code": "corrupt_image", "title": "t", "detail": "d"}


@dataclass
class Acknowledged:
    """What the appliance has said so far: studies with their files and results, and what is not
    there any more; a study is in neither while it is being deleted."""

    studies: dict[str, tuple[list[bytes], bytes]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    events: int = 0

    def copy(self) -> Acknowledged:
        return Acknowledged(dict(self.studies), set(self.deleted), self.events)


class Day:
    """What an appliance does, and says."""

    def __init__(self, state: Path) -> None:
        self.said = Acknowledged()
        self._world = World(state / "spool")
        self._log = AuditLog(state / "audit.jsonl")
        self.spool: Spool

    def start(self) -> None:
        self.spool = self._world.spool()

    def end(self) -> None:
        self._world.kill()

    def post(self, study_id: str, *images: bytes) -> None:
        self.said.deleted.discard(study_id)
        self.spool.accept(study_id, "ward", [upload(self.spool, data) for data in images])
        self.said.studies[study_id] = (list(images), b"")
        self._log.append({"posted": study_id})
        self.said.events += 1

    def claim(self) -> Study:
        study = self.spool.claim()
        assert study is not None
        return study

    def read(self) -> None:
        study = self.claim()
        (self.spool.drawing(study) / "mask_0.png").write_bytes(b"mask")
        assert self.spool.finish(study, b"{}", Verdict.NEGATIVE)
        self.said.studies[study.study_id] = (self.said.studies[study.study_id][0], b"{}")
        assert self.spool.attach(study)

    def delete(self, study_id: str) -> None:
        del self.said.studies[study_id]
        self.spool.delete(study_id)
        self.said.deleted.add(study_id)

    def begin_log_anew(self) -> None:
        """The one time that a log is made where its record's folder is there already, which syncs
        the folder of both when it is made."""
        self.said.events = 0
        self._log.begin_anew(lambda events, _: {"before": events})
        self.said.events = 1

    def pass_by(self) -> None:
        self.start()
        self.post("a", b"film")
        self.post("b", b"film", b"scan", b"film")  # a file twice, and one that another study has
        self.read()
        self.delete("a")
        self.post("a", b"better film")
        self.spool.fail(self.claim(), PROBLEM)
        self.said.studies.pop("b")
        self.post("b", b"better scan")
        self.spool.retain()
        self.end()
        self.start()
        self.read()
        self.begin_log_anew()
        self.delete("a")


def check(state: Path, said: Acknowledged) -> None:
    """Start an appliance on what was left."""
    world = World(state / "spool")
    spool = world.spool()
    try:
        for study_id, (images, result) in said.studies.items():
            study = spool.get(study_id)
            kept = [spool.upload_path(image.sha256).read_bytes() for image in study.images]
            assert (kept, study.result) == (images, result)
        for study_id in said.deleted:
            with pytest.raises(UnknownStudy):
                spool.get(study_id)
        assert spool.unclaimed_files() == 0
        known = {image.sha256 for study in spool.list() for image in study.images}
        assert {Path(file).name for file in files_under(state / "spool" / "uploads")} == known
    finally:
        world.kill()
    if said.events:
        assert verify(state / "audit.jsonl").events >= said.events


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    (tmp_path / "state").mkdir()
    disk = Disk(tmp_path / "state")
    yield disk
    disk.close()


@pytest.mark.parametrize("left", list(Left))
def test_what_was_acknowledged_outlives_a_power_cut_at_any_moment(
    disk: Disk, tmp_path: Path, left: Left
) -> None:
    day, said = Day(disk.root), []

    def cut() -> None:
        disk.after_power_cut(tmp_path / str(len(said)), left)
        said.append(day.said.copy())

    disk.at_operation = cut
    with disk.recording():
        day.pass_by()
    cut()
    day.end()
    assert len(said) > 50
    for number, each in enumerate(said):
        check(tmp_path / str(number), each)


def test_what_a_killed_process_left_unsynced_costs_the_next_one_no_study(tmp_path: Path) -> None:
    operations = 0
    while _killed_then_cut(tmp_path / str(operations), operations):
        operations += 1
    assert operations > 50


def _killed_then_cut(folder: Path, operations: int) -> bool:
    """Whether the process was killed behind so many; the next one works on what it left, and its
    power is cut behind every study that it takes."""
    (folder / "state").mkdir(parents=True)
    disk = Disk(folder / "state")
    disk.kill_at = operations
    day, killed = Day(disk.root), False
    with disk.recording():
        try:
            day.pass_by()
        except Killed:
            killed = True
        day.end()
        disk.kill_at = None
        day.start()
        for image in (b"film", b"scan", b"better film", b"better scan"):
            study = day.spool.accept(None, "ward", [upload(day.spool, image)])
            kept = day.spool.upload_path(study.images[0].sha256).relative_to(folder)
            disk.after_power_cut(folder / image.decode(), Left.NOTHING)
            assert (folder / image.decode() / kept.relative_to("state")).read_bytes() == image
    day.end()
    disk.close()
    return killed
