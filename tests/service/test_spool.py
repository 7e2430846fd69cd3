"""A study that was taken is on the disk until it has one result, or is deleted on purpose."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from spools import World, files_under, release, upload

from mammosono.appliance.errors import (
    QueueFull,
    StorageDamaged,
    StorageFailed,
    StorageFull,
    StudyConflict,
    UnknownStudy,
)
from mammosono.appliance.studies.spool import Spool, Status, Study, files
from mammosono.appliance.studies.spool import spool as spool_module
from mammosono.appliance.studies.spool.schema import MIGRATIONS
from mammosono.appliance.studies.spool.spool import MOST_ATTEMPTS, RESERVE_BYTES
from mammosono.appliance.values import Laterality, Modality, Posted, Verdict

MG, US = Modality.MG, Modality.US
BAD_IMAGE = {"status": 422, "code": "corrupt_image", "title": "t", "detail": "d"}
BAD_DAY = {"status": 503, "code": "engine_fault", "title": "t", "detail": "d"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "spool")
    yield world
    world.kill()


@pytest.fixture
def spool(world: World) -> Spool:
    return world.spool()


def take(spool: Spool, study_id: str | None = None, data: bytes = b"pixels") -> Study:
    return spool.accept(study_id, "cathy", [upload(spool, data)])


def read(spool: Spool, study_id: str | None = None, data: bytes = b"pixels") -> Study:
    """A study taken and read."""
    take(spool, study_id, data)
    study = spool.claim()
    assert study is not None
    assert spool.finish(study, b"{}", Verdict.NEGATIVE)
    return spool.get(study.study_id)


# What was taken is there


def test_a_study_that_was_taken_outlives_the_process(world: World) -> None:
    spool = world.spool()
    taken = spool.accept("s", "cathy", [upload(spool, b"film"), upload(spool, b"scan", US)])
    found = world.spool().get("s")
    assert found == taken
    assert (found.status, found.attempts, found.owner) == (Status.QUEUED, 0, "cathy")
    assert [(i.modality, i.size) for i in found.images] == [(MG, 4), (US, 4)]
    spool = world.spool()
    assert [spool.upload_path(i.sha256).read_bytes() for i in found.images] == [b"film", b"scan"]


def test_files_are_synced_before_the_row_is_written(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync = files.sync
    note = lambda path: (order.append(path.parent.name), sync(path))  # noqa: E731
    monkeypatch.setattr(spool_module, "sync", note)
    monkeypatch.setattr(
        spool._records, "enter", lambda *_: order.append("row") or pytest.fail("enough")
    )
    with pytest.raises(pytest.fail.Exception):
        take(spool)
    assert order == ["incoming", "spool", "row"]  # the bytes, and the folder that holds them


def test_the_database_syncs_every_commit(spool: Spool) -> None:
    ask = spool._database.execute
    assert ask("PRAGMA synchronous").fetchone()[0] == 2
    assert ask("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_nobody_else_may_look_into_the_spool(world: World) -> None:
    world.spool()
    assert stat.S_IMODE(world.folder.stat().st_mode) == 0o700


def test_the_same_file_in_two_studies_is_kept_once_and_until_both_are_gone(spool: Spool) -> None:
    one, other = take(spool, "one"), take(spool, "other")
    path = spool.upload_path(one.images[0].sha256)
    spool.delete("one")
    assert path.exists()
    spool.delete(other.study_id)
    assert not path.exists()


# Posting again


def test_the_same_files_under_the_same_id_are_the_same_study(spool: Spool) -> None:
    first = take(spool, "s")
    assert take(spool, "s") == first
    assert spool.counts()[Status.QUEUED] == 1


def test_other_files_under_a_used_id_are_refused(spool: Spool) -> None:
    take(spool, "s")
    with pytest.raises(StudyConflict):
        take(spool, "s", b"other pixels")


def test_the_same_bytes_as_another_modality_are_another_study(spool: Spool) -> None:
    take(spool, "s")
    with pytest.raises(StudyConflict):
        spool.accept("s", "cathy", [upload(spool, modality=US)])


def test_an_id_of_somebody_else_is_refused_even_for_the_same_files(spool: Spool) -> None:
    take(spool, "s")
    with pytest.raises(StudyConflict):
        spool.accept("s", "mallory", [upload(spool)])


def test_without_an_id_every_post_is_a_study_of_its_own(spool: Spool) -> None:
    assert take(spool).study_id != take(spool).study_id


@pytest.mark.parametrize(
    ("problem", "data", "read_again"),
    [(BAD_DAY, b"pixels", True), (BAD_IMAGE, b"better", True), (BAD_IMAGE, b"pixels", False)],
)
def test_an_id_whose_study_failed_may_have_better_images_or_a_better_day(
    spool: Spool, problem: dict[str, object], data: bytes, read_again: bool
) -> None:
    take(spool, "s")
    study = spool.claim()
    assert study is not None
    spool.fail(study, problem)
    assert (take(spool, "s", data).status is Status.QUEUED) is read_again


# The queue


def test_studies_are_read_in_the_order_they_came(spool: Spool) -> None:
    for name in "abc":
        take(spool, name, name.encode())
    claimed = [spool.claim() for _ in range(4)]
    assert [study.study_id for study in claimed if study] == ["a", "b", "c"]
    assert claimed[3] is None


def test_a_full_queue_takes_nothing_and_what_is_read_makes_room(world: World) -> None:
    world.queue_length = 2
    spool = world.spool()
    take(spool, "a", b"a")
    take(spool, "b", b"b")
    with pytest.raises(QueueFull):
        take(spool, "c", b"c")
    assert take(spool, "a", b"a").study_id == "a"  # known already
    spool.claim()
    assert take(spool, "c", b"c").status is Status.QUEUED


def test_a_study_put_back_keeps_its_place_and_its_count(spool: Spool) -> None:
    take(spool, "a", b"a")
    take(spool, "b", b"b")
    first = spool.claim()
    assert first is not None
    assert spool.requeue(first)
    again = spool.claim()
    assert again is not None
    assert (again.study_id, again.attempts) == ("a", 2)


def test_a_study_has_one_result(spool: Spool) -> None:
    take(spool, "s")
    study = spool.claim()
    assert study is not None
    assert spool.finish(study, b'{"verdict": "positive"}', Verdict.POSITIVE)
    assert not spool.finish(study, b"another", Verdict.NEGATIVE)
    assert not spool.fail(study, BAD_DAY)
    assert not spool.requeue(study)
    done = spool.get("s")
    assert (done.status, done.verdict) == (Status.DONE, Verdict.POSITIVE)
    assert done.result == b'{"verdict": "positive"}'


def test_a_result_for_a_deleted_study_goes_nowhere(spool: Spool) -> None:
    take(spool, "s")
    study = spool.claim()
    assert study is not None
    spool.delete("s")
    take(spool, "s")  # the same id, another study
    spool.claim()
    assert not spool.finish(study, b"late", Verdict.NEGATIVE)
    assert spool.get("s").status is Status.READING


# After an unclean stop


def test_a_study_that_was_being_read_is_queued_again(world: World) -> None:
    spool = world.spool()
    take(spool, "s")
    spool.claim()
    found = world.spool().get("s")
    assert (found.status, found.attempts) == (Status.QUEUED, 1)


def test_a_study_that_stops_the_appliance_again_and_again_fails_with_the_reason(
    world: World,
) -> None:
    spool = world.spool()
    take(spool, "s")
    for _ in range(MOST_ATTEMPTS):
        spool.claim()
        spool = world.spool()
    study = spool.get("s")
    assert study.status is Status.FAILED
    assert study.problem is not None
    assert study.problem["code"] == "reader_lost"
    assert str(MOST_ATTEMPTS) in study.problem["detail"]


def test_files_that_belong_to_no_study_are_swept(world: World) -> None:
    spool = world.spool()
    kept = read(spool, "kept")
    (spool.drawing(kept) / "mask_0.png").write_bytes(b"mask")
    spool.attach(kept)
    before = files_under(world.folder)
    upload(spool, b"never taken")
    for orphan in ("incoming/abcd", "drawing/7/x.png", "pictures/99/mask_0.png"):
        path = world.folder / orphan
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"orphan")
    assert files_under(world.folder) > before
    world.spool()
    assert files_under(world.folder) == before


def test_a_second_process_is_refused_while_the_first_lives(world: World) -> None:
    spool = world.spool()
    with pytest.raises(StorageFailed, match="Another mammosono"):
        Spool(world.folder, queue_length=1, max_age_s=1, min_free_bytes=0)
    release(spool)
    world.opened.clear()
    world.spool()


@pytest.mark.parametrize(
    ("version", "said"), [(len(MIGRATIONS) + 1, "later"), (99, "later"), (-1, "no")]
)
def test_a_spool_of_a_later_version_is_left_alone(world: World, version: int, said: str) -> None:
    release(world.spool())
    world.opened.clear()
    with sqlite3.connect(world.folder / "studies.db") as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    for _ in range(2):  # the reason stays the true one
        with pytest.raises(StorageFailed, match=f"{said} version"):
            world.spool()


# A start that fails, and a database that is gone or damaged


@pytest.mark.parametrize("version", [0, 1, len(MIGRATIONS) - 1])
def test_a_database_that_says_a_version_whose_tables_it_has_not_is_damaged_and_left_alone(
    world: World, version: int
) -> None:
    spool = world.spool()
    take(spool, "s")
    release(spool)
    world.opened.clear()
    before = files_under(world.folder)
    with sqlite3.connect(world.folder / "studies.db") as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    with pytest.raises(StorageDamaged, match="cannot be read"):
        world.spool()
    assert files_under(world.folder) >= before
    with sqlite3.connect(world.folder / "studies.db") as database:
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    database.close()
    assert world.spool().get("s").status is Status.QUEUED


@pytest.mark.parametrize("name", ["incoming", "uploads", "drawing", "pictures", "unclaimed"])
def test_a_folder_of_the_spool_that_is_a_link_is_refused_and_nothing_behind_it_removed(
    world: World, tmp_path: Path, name: str
) -> None:
    release(world.spool())
    world.opened.clear()
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "folder").mkdir(parents=True)
    (elsewhere / "folder" / "file").write_text("x")
    folder = world.folder / name
    if folder.exists():
        folder.rmdir()
    folder.symlink_to(elsewhere)
    with pytest.raises(StorageFailed, match=f"spool/{name} is a link"):
        world.spool()
    assert (elsewhere / "folder" / "file").read_text() == "x"
    folder.unlink()
    world.spool()


def test_a_start_that_failed_is_made_good_by_the_next_try(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(world.spool(), "s")
    world.kill()
    handles = len(os.listdir("/proc/self/fd"))

    def refuse(_: Path) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(spool_module, "connect", refuse)
    for _ in range(3):
        with pytest.raises(StorageFailed, match="cannot write"):
            world.spool()
    monkeypatch.undo()
    assert len(os.listdir("/proc/self/fd")) == handles
    assert world.spool().get("s").status is Status.QUEUED


@pytest.mark.parametrize("step", ["_sweep", "_recover"])
def test_a_start_cut_off_by_the_disk_holds_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    take(world.spool(), "s")
    world.kill()
    handles = len(os.listdir("/proc/self/fd"))

    def refuse(_: Spool) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Spool, step, refuse)
    with pytest.raises(StorageFailed):
        world.spool()
    monkeypatch.undo()
    assert len(os.listdir("/proc/self/fd")) == handles
    assert world.spool().get("s").status is Status.QUEUED


def test_a_start_on_a_full_disk_makes_room_by_the_oldest_that_was_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = world.spool()
    read(spool, "read", b"read")
    take(spool, "waits", b"waits")
    world.kill()
    reserve = world.folder / "reserve"
    world.free = 0
    fault = sqlite3.OperationalError("database or disk is full")
    connect = spool_module.connect

    def full(file: Path) -> sqlite3.Connection:
        if reserve.exists():
            raise fault
        return connect(file)

    monkeypatch.setattr(spool_module, "connect", full)
    assert [study.study_id for study in world.spool().list()] == ["waits"]
    assert not reserve.exists()
    world.free = 10**9
    world.opened[0].retain()
    assert reserve.stat().st_size == RESERVE_BYTES


def test_a_start_on_a_disk_without_any_room_says_so_until_there_is_some(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(world.spool(), "s")
    world.kill()

    def refuse(_: Path) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(spool_module, "connect", refuse)
    monkeypatch.setattr(files, "free_bytes", lambda _: 0)
    for _ in range(2):
        with pytest.raises(StorageFull):
            world.spool()
    monkeypatch.undo()
    assert world.spool().get("s").status is Status.QUEUED


def test_a_database_that_is_none_says_so_and_costs_no_file(world: World) -> None:
    spool = world.spool()
    path = spool.upload_path(take(spool, "s").images[0].sha256)
    spool.close()
    world.opened.clear()
    database = world.folder / "studies.db"
    kept = database.read_bytes()
    database.write_bytes(b"x" * 4096)
    for _ in range(2):
        with pytest.raises(StorageDamaged, match="cannot be read"):
            world.spool()
    assert path.exists()
    database.write_bytes(kept)
    assert world.spool().get("s").status is Status.QUEUED


@pytest.mark.parametrize("left", [None, b""], ids=["gone", "empty"])
def test_a_lost_database_costs_no_posted_file(
    world: World, left: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    spool = world.spool()
    for data in (b"film", b"scan"):
        take(spool, data.decode(), data)
    world.kill()
    for file in world.folder.glob("studies.db*"):
        file.unlink()
    if left is not None:
        (world.folder / "studies.db").write_bytes(left)
    for _ in range(2):
        spool = world.spool()
        assert {path.read_bytes() for path in (world.folder / "unclaimed").iterdir()} == {
            b"film",
            b"scan",
        }
        assert spool.unclaimed_files() == 2
        assert "2 posted files" in caplog.text
        caplog.clear()
    # Posted again, they are studies again.
    assert take(spool, "film", b"film").status is Status.QUEUED


@pytest.mark.parametrize("without", ["newest rows", "write-ahead log"])
def test_an_older_database_costs_no_posted_file(
    world: World, without: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = world.folder / "studies.db"
    read(world.spool(), "old", b"old")
    world.kill()
    copy = database.read_bytes()
    spool = world.spool()
    for data in (b"film", b"scan"):
        take(spool, data.decode(), data)
    read(spool, "deleted", b"deleted")
    spool.delete("deleted")
    if without == "newest rows":
        world.kill()
        database.write_bytes(copy)
    else:
        take(spool, "last", b"last")
        now = database.read_bytes()  # as it was at the last checkpoint
        world.kill()
        database.write_bytes(now)
    for log in world.folder.glob("studies.db-*"):
        log.unlink()
    spool = world.spool()
    assert spool.get("old").status is Status.DONE
    assert spool.upload_path(spool.get("old").images[0].sha256).read_bytes() == b"old"
    kept = {path.read_bytes() for path in (world.folder / "unclaimed").iterdir()}
    assert kept == ({b"film", b"scan"} if without == "newest rows" else {b"last"})
    assert spool.unclaimed_files() == len(kept)
    assert f"{len(kept)} posted files" in caplog.text


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_no_study_is_taken_into_a_list_that_was_taken_away_from_the_service(
    world: World, how: str
) -> None:
    spool = world.spool()
    take(spool, "before", b"before")
    database, kept = world.folder / "studies.db", world.folder.parent / "kept.db"
    database.rename(kept)
    if how == "replaced":
        database.write_bytes(kept.read_bytes())
    for call in (lambda: take(spool, "s", b"s"), lambda: take(spool, "before", b"before")):
        with pytest.raises(StorageFailed, match="moved or replaced"):
            call()
    with pytest.raises(StorageFailed, match="moved or replaced"):
        spool.check()
    kept.replace(database)
    spool.check()
    assert take(spool, "s", b"s").status is Status.QUEUED


def test_without_inodes_the_disk_is_full_and_room_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert files.free_bytes(tmp_path) > 0
    real = os.statvfs(tmp_path)
    for counted, left, full in ((1000, 63, True), (1000, 64, False), (0, 0, False)):
        fields = list(real)
        fields[5], fields[7] = counted, left  # f_files, f_favail
        state = os.statvfs_result(fields)
        monkeypatch.setattr("os.statvfs", lambda _, state=state: state)
        assert (files.free_bytes(tmp_path) == 0) is full


def test_a_list_of_studies_that_is_put_back_has_its_files_again(world: World) -> None:
    spool = world.spool()
    taken = take(spool, "s", b"film")
    world.kill()
    database = world.folder / "studies.db"
    kept = database.rename(world.folder.parent / "kept.db")
    for log in world.folder.glob("studies.db-*"):
        log.unlink()
    assert world.spool().unclaimed_files() == 1
    world.kill()
    kept.replace(database)
    spool = world.spool()
    assert spool.get("s").number == taken.number
    assert spool.upload_path(taken.images[0].sha256).read_bytes() == b"film"
    assert spool.unclaimed_files() == 0


def drawn(spool: Spool, study_id: str) -> Study:
    """Read, with a result and a picture of its own."""
    take(spool, study_id, study_id.encode())
    study = spool.claim()
    assert study is not None
    assert spool.finish(study, json.dumps({"id": study_id}).encode(), Verdict.NEGATIVE)
    (spool.drawing(study) / "mask_0.png").write_bytes(study_id.encode())
    assert spool.attach(study)
    return spool.get(study_id)


def test_pictures_are_never_those_of_another_study_that_had_its_number(world: World) -> None:
    """The list of studies is put back as it was, goes on, and the later one is put back."""
    database = world.folder / "studies.db"
    drawn(world.spool(), "first")
    world.kill()
    older = database.read_bytes()
    mine = drawn(world.spool(), "mine")
    world.kill()
    later = database.read_bytes()
    database.write_bytes(older)
    theirs = drawn(world.spool(), "theirs")
    assert theirs.number == mine.number
    world.kill()
    database.write_bytes(later)
    spool = world.spool()
    assert spool.picture(spool.get("mine"), "mask_0.png") is None
    first = spool.picture(spool.get("first"), "mask_0.png")
    assert first is not None
    assert first.read_bytes() == b"first"
    spool.delete("mine")
    assert not list(world.folder.glob(f"pictures/{mine.number}-*"))


def test_pictures_of_an_earlier_version_are_still_there(world: World) -> None:
    study = drawn(world.spool(), "s")
    world.kill()
    (folder,) = (world.folder / "pictures").iterdir()
    folder.rename(folder.with_name(str(study.number)))
    spool = world.spool()
    assert spool.picture(spool.get("s"), "mask_0.png") is not None


def test_a_study_whose_acceptance_was_cut_off_behind_its_row_has_its_files(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = world.spool()

    def die(*_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "move", die)
    monkeypatch.setattr(Spool, "_undo", lambda *_: None)
    monkeypatch.setattr(files, "try_to_remove", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        take(spool, "s", b"film")
    monkeypatch.undo()
    spool = world.spool()
    study = spool.claim()
    assert study is not None
    assert spool.upload_path(study.images[0].sha256).read_bytes() == b"film"
    assert spool.unclaimed_files() == 0


def test_a_deletion_that_was_cut_off_is_completed_and_no_file_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = world.spool()
    before = files_under(world.folder)
    read(spool, "s")

    def die(*_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "unlink", die)
    with pytest.raises(KeyboardInterrupt):
        spool.delete("s")
    monkeypatch.undo()
    assert files_under(world.folder) > before
    world.spool()
    assert files_under(world.folder) == before


def test_a_disk_that_refuses_the_move_behind_the_row_leaves_nothing_of_the_study(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = world.spool()
    before = files_under(world.folder)

    def refuse(*_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "move", refuse)
    with pytest.raises(StorageFull):
        take(spool, "s")
    monkeypatch.undo()
    assert files_under(world.folder) == before
    assert spool.list() == []


@pytest.mark.parametrize(
    "damage",
    [
        "result = substr(result, 1, 1)",
        "result = x'7b7b'",
        "verdict = 'positive'",
        "study_id = 't'",
        "seal = NULL",
        "result_sha256 = NULL",
    ],
)
def test_a_row_and_its_result_are_answered_together_as_they_were_written_or_not_at_all(
    spool: Spool, damage: str
) -> None:
    study = read(spool, "s")
    spool._database.execute(f"UPDATE studies SET {damage}")
    name = "t" if "study_id" in damage else "s"
    with pytest.raises(StorageDamaged):
        spool.get(name)
    with pytest.raises(StorageDamaged):
        spool.again(study)
    listed = spool.list()[0]
    assert (listed.study_id, listed.status) == (name, Status.DONE)
    if not damage.startswith("result ="):  # the list does not look at results
        assert listed.verdict is None
    assert take(spool, name).status is Status.QUEUED  # read anew
    read(spool)
    spool._database.execute("UPDATE studies SET seal = 'x'")
    spool.delete(spool.list()[0].study_id)


UNREADABLE = [
    "UPDATE images SET modality = 'XX'",
    "UPDATE images SET sha256 = '../../../tokens.json'",
    "UPDATE images SET sha256 = x'00ff'",
    "UPDATE images SET size = 'large'",
    "DELETE FROM images",
    "UPDATE studies SET posted = 'yesterday'",
    "UPDATE studies SET posted = 1e300",
    "UPDATE studies SET owner = cast(x'63ff' AS TEXT)",
]


@pytest.mark.parametrize("damage", UNREADABLE)
def test_a_row_that_cannot_be_read_stands_in_nobody_s_way(world: World, damage: str) -> None:
    spool = world.spool()
    take(spool, "s")
    spool._database.execute(damage)
    take(spool, "next", b"next")
    spool = world.spool()  # it opens
    with pytest.raises(StorageDamaged):
        spool.get("s")
    assert [study.study_id for study in spool.list()] == ["next", "s"]
    claimed = spool.claim()
    assert claimed is not None
    assert (claimed.study_id, claimed.damaged) == ("s", True)
    spool = world.spool()  # killed over it
    claimed = spool.claim()
    assert claimed is not None
    assert spool.fail(claimed, BAD_DAY)
    following = spool.claim()
    assert following is not None
    assert (following.study_id, following.damaged) == ("next", False)
    failed = spool.get("s")
    assert (failed.status, failed.problem) == (Status.FAILED, BAD_DAY)
    if "owner" not in damage:
        assert take(spool, "s").status is Status.QUEUED  # posted again, it is read
    spool.delete("s")
    assert spool.counts()[Status.FAILED] == 0


@pytest.mark.parametrize("problem", ["'{'", "'[]'", "'{\"status\": 503}'", "x'00'"])
def test_a_failure_that_cannot_be_read_is_said_to_be_damaged(spool: Spool, problem: str) -> None:
    take(spool, "s")
    study = spool.claim()
    assert study is not None
    spool.fail(study, BAD_DAY)
    spool._database.execute(f"UPDATE studies SET problem = {problem}")
    with pytest.raises(StorageDamaged):
        spool.get("s")
    assert spool.list()[0].status is Status.FAILED
    assert take(spool, "s").status is Status.QUEUED


def test_a_file_whose_row_was_damaged_leaves_with_its_study(world: World) -> None:
    spool = world.spool()
    empty = files_under(world.folder)
    take(spool, "s")
    spool._database.execute("UPDATE studies SET posted = 'yesterday'")
    spool.delete("s")
    assert files_under(world.folder) == empty


def test_results_of_the_first_schema_are_sealed_when_it_is_opened(world: World) -> None:
    world.folder.mkdir(parents=True)
    with sqlite3.connect(world.folder / "studies.db") as database:
        database.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
        database.execute(
            "INSERT INTO studies VALUES (1, 's', 'cathy', 0, 'done', 1, 0, 'negative', ?, NULL)",
            (b"{}",),
        )
    database.close()
    spool = world.spool()
    assert (spool.get("s").verdict, spool.get("s").result) == (Verdict.NEGATIVE, b"{}")
    spool._database.execute("UPDATE studies SET verdict = 'positive'")
    with pytest.raises(StorageDamaged):
        spool.get("s")


def test_what_was_said_of_a_file_is_kept_with_it_and_older_spools_know_nothing(
    world: World,
) -> None:
    world.folder.mkdir(parents=True)
    with sqlite3.connect(world.folder / "studies.db") as database:
        database.create_function("sha256", 1, str)
        database.create_function("seal", 4, lambda *_: "")
        database.executescript(f"{MIGRATIONS[0]} {MIGRATIONS[1]} PRAGMA user_version = 2;")
        columns = "study_id, owner, posted, status"
        database.execute(f"INSERT INTO studies ({columns}) VALUES ('s', 'cathy', 0, 'queued')")
        database.execute("INSERT INTO images VALUES (1, 0, 'MG', ?, 1)", ["ab" * 32])
    database.close()
    spool = world.spool()
    assert spool.get("s").images[0].posted == Posted()
    said = Posted("R MLO.png", Laterality.RIGHT, "MLO")
    taken = spool.accept("t", "cathy", [replace(upload(spool), posted=said)])
    assert taken.images[0].posted == said
    # By another name it is the same study, by another side it is another one.
    again = replace(upload(spool), posted=replace(said, name="b.png"))
    assert spool.accept("t", "cathy", [again]).number == taken.number
    with pytest.raises(StudyConflict):
        spool.accept("t", "cathy", [replace(upload(spool), posted=Posted())])


# Deleting


def test_a_study_whose_pictures_resist_is_not_deleted_and_can_be_later(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = read(spool, "s")
    (spool.drawing(study) / "mask_0.png").write_bytes(b"mask")
    assert spool.attach(study)

    def refuse(*_: object, **how: object) -> None:
        if not how.get("ignore_errors"):
            raise OSError(30, "Read-only file system")

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(StorageFailed):
        spool.delete("s")
    assert spool.get("s").status is Status.DONE
    monkeypatch.undo()
    spool.delete("s")
    assert spool.picture(study, "mask_0.png") is None


def test_a_file_that_resists_is_said_and_removed_as_soon_as_it_can_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = world.spool()
    path = spool.upload_path(read(spool, "s").images[0].sha256)
    unlink = Path.unlink

    def refuse(self: Path, **how: bool) -> None:
        if self == path:
            raise OSError(1, "Operation not permitted")
        unlink(self, **how)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StorageFailed):
        spool.delete("s")
    assert path.exists()
    monkeypatch.undo()
    spool.retain()
    assert not path.exists()


def test_a_study_that_cannot_be_deleted_keeps_no_other_from_being(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[str] = []
    spool = world.spool()
    spool._retired = lambda studies: gone.extend(study.study_id for study in studies)
    for name in "ab":
        study = read(spool, name, name.encode())
        (spool.drawing(study) / "mask_0.png").write_bytes(b"mask")
        spool.attach(study)
    world.wait(world.max_age_s + 1)
    remove = files.remove

    def refuse(path: Path) -> None:
        if path.parent.name == "pictures" and path.name.startswith("1-"):
            raise OSError(1, "Operation not permitted")
        remove(path)

    monkeypatch.setattr(files, "remove", refuse)
    with pytest.raises(StorageFailed):
        spool.retain()
    assert [study.study_id for study in spool.list()] == ["a"]
    assert gone == ["b"]


def test_a_deleted_study_leaves_no_bytes(world: World) -> None:
    spool = world.spool()
    empty = files_under(world.folder)
    study = read(spool, "secret-study", b"secret pixels")
    (spool.drawing(study) / "original_0.png").write_bytes(b"secret picture")
    assert spool.attach(study)
    assert spool.picture(study, "original_0.png") is not None
    spool.delete("secret-study")
    with pytest.raises(UnknownStudy):
        spool.get("secret-study")
    assert files_under(world.folder) == empty
    for file in world.folder.glob("studies.db*"):
        assert b"secret-study" not in file.read_bytes()


def test_pictures_of_a_deleted_study_are_not_kept(spool: Spool) -> None:
    study = read(spool, "s")
    (spool.drawing(study) / "mask_0.png").write_bytes(b"mask")
    spool.delete("s")
    assert not spool.attach(study)
    assert spool.picture(study, "mask_0.png") is None


# Retention


def test_studies_go_when_they_are_past_their_age_and_those_that_wait_never(world: World) -> None:
    spool = world.spool()
    read(spool, "old", b"old")
    take(spool, "waits", b"waits")
    world.wait(3000)
    spool.retain()
    waits = spool.claim()
    assert waits is not None
    world.wait(700)
    assert spool.retain().by_age == 1
    assert [study.study_id for study in spool.list()] == ["waits"]


def test_a_clock_that_jumps_half_a_century_deletes_nothing(world: World) -> None:
    world.wall = 100.0  # no battery: it wakes in 1970
    spool = world.spool()
    read(spool, "s")
    world.wall = 1_800_000_000.0
    assert spool.retain().by_age == 0
    world.spool().retain()
    assert spool is not None
    world.wall = 100.0
    assert world.spool().retain().by_age == 0


def test_an_off_appliance_ages_its_studies_by_a_day_at_most(world: World) -> None:
    world.max_age_s = 3 * 86_400
    spool = world.spool()
    read(spool, "s")
    spool.close()
    world.opened.clear()
    for _ in range(2):  # off for a year, twice
        world.wall += 365 * 86_400
        world.monotonic = 1.0
        spool = world.spool()
        assert spool.retain().by_age == 0
        spool.close()
        world.opened.clear()
    world.wall += 365 * 86_400
    spool = world.spool()
    world.wait(10)
    assert spool.retain().by_age == 1


def test_a_full_disk_takes_the_oldest_that_was_read_first_then_failed_never_waiting(
    world: World,
) -> None:
    spool = world.spool()
    take(spool, "failed", b"failed")
    failing = spool.claim()
    assert failing is not None
    spool.fail(failing, BAD_IMAGE)
    read(spool, "read first", b"1")
    read(spool, "read second", b"2")
    take(spool, "waits", b"waits")
    world.free = 0
    gone: list[str] = []
    remove = spool._records.delete
    spool._records.delete = lambda study: (gone.append(study.study_id), remove(study))[1]  # type: ignore[method-assign]
    assert spool.retain().by_space == 3
    assert gone == ["read first", "read second", "failed"]
    assert [study.study_id for study in spool.list()] == ["waits"]


def test_retention_stops_as_soon_as_there_is_room(world: World) -> None:
    spool = world.spool()
    for name in "abc":
        read(spool, name, name.encode())
    frees = iter([0, 0, 10**9])
    spool._free = lambda _: next(frees, 10**9)
    assert spool.retain().by_space == 2
    assert [study.study_id for study in spool.list()] == ["c"]


def test_a_study_that_finds_no_room_is_refused_and_leaves_nothing(world: World) -> None:
    spool = world.spool()
    take(spool, "waits", b"waits")
    world.free = 0
    before = files_under(world.folder)
    posted = upload(spool, b"one more")
    with pytest.raises(StorageFull):
        spool.accept("s", "cathy", [posted])
    posted.path.unlink()
    assert files_under(world.folder) == before
    with pytest.raises(StorageFull):
        spool.check()
    world.free = 10**9
    spool.check()
    assert take(spool, "s").status is Status.QUEUED


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(28, "No space left on device"), StorageFull),
        (OSError(30, "Read-only file system"), StorageFailed),
        (OSError(5, "Input/output error"), StorageFailed),
        (sqlite3.OperationalError("database or disk is full"), StorageFull),
        (sqlite3.OperationalError("disk I/O error"), StorageFailed),
    ],
)
def test_a_disk_that_refuses_in_the_middle_leaves_nothing_of_the_study(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception]
) -> None:
    spool = world.spool()
    take(spool, "before", b"before")
    before = files_under(world.folder)
    posted = [upload(spool, b"first"), upload(spool, b"second")]

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(spool._records, "enter", refuse)
    with pytest.raises(raised):
        spool.accept("s", "cathy", posted)
    assert files_under(world.folder) == before
    monkeypatch.undo()
    assert spool.get("before").status is Status.QUEUED
    assert take(spool, "s").status is Status.QUEUED


# Looking


def test_studies_are_listed_newest_first_and_by_page(spool: Spool) -> None:
    for name in "abcde":
        read(spool, f"study-{name}", name.encode())
    page = spool.list(limit=2)
    assert [study.study_id for study in page] == ["study-e", "study-d"]
    rest = spool.list(before=page[-1].number)
    assert [study.study_id for study in rest] == ["study-c", "study-b", "study-a"]
    assert all(study.result == b"" for study in rest)


def test_studies_are_found_by_owner_status_and_a_part_of_the_id(spool: Spool) -> None:
    read(spool, "accession-4711", b"1")
    take(spool, "accession-4712", b"2")
    spool.accept("accession-4713", "dora", [upload(spool, b"3")])
    ids = lambda **how: [study.study_id for study in spool.list(**how)]  # noqa: E731
    assert ids(owner="dora") == ["accession-4713"]
    assert ids(status=Status.DONE) == ["accession-4711"]
    assert ids(search="4712") == ["accession-4712"]
    assert ids(search="%") == []
