"""What the node keeps: durable before it is acknowledged, without identity, and all of it to go."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mammosono.appliance.errors import StorageError, StorageFailed
from mammosono.appliance.node import store as module
from mammosono.appliance.node.pairing import Instance, Post, Posted, Rules, cases
from mammosono.appliance.node.patient_key import SecretLost, names_of
from mammosono.appliance.node.store import DATABASE, NodeStore, Status, StoredReading
from mammosono.appliance.values import Modality

DAY_S = 86_400.0


def image(name: str, modality: Modality, patient: str = "ann", **more: Any) -> Instance:
    made = Instance(
        key=f"{patient}{name}",
        patient=patient,
        study=f"{patient}-{modality.value}",
        modality=modality,
        sender="MG1@10.0.0.5",
        received=0.0,
        day=738_000,
        birth="b",
        place=name,
    )
    return replace(made, **more)


PAIR = (image("m1", Modality.MG), image("u1", Modality.US, side="L"))


class World:
    """A store on a disk, with clocks of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.time = folder, 1000.0
        self.store = self.open()

    def open(self) -> NodeStore:
        store = NodeStore(self.folder, wall=lambda: self.time, monotonic=lambda: self.time)
        store.sweep()
        return store

    def arrive(self, instance: Instance, data: bytes = b"pixels") -> bool:
        file = self.store.incoming / "tmp.dcm"
        file.write_bytes(data)
        try:
            return self.store.add(instance, file)
        finally:
            file.unlink(missing_ok=True)

    def begin(self, *instances: Instance, version: int = 1) -> StoredReading:
        (case,) = [case for case in cases(instances, Rules()) if case.paired]
        begun = self.store.begin(Post(case, version))
        assert begun is not None
        return begun


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "node")


def test_an_image_is_kept_with_its_file_and_nobody_else_may_read_it(world: World) -> None:
    assert world.arrive(PAIR[0], b"mammogram")
    held = world.store.path(PAIR[0].key)
    assert held.read_bytes() == b"mammogram"
    assert held.stat().st_mode & 0o077 == 0
    assert (world.folder / DATABASE).stat().st_mode & 0o077 == 0
    world.store.close()
    assert world.open().instances() == [PAIR[0]]


def test_file_folder_and_row_are_synced_before_the_call_returns(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync = os.fsync

    def noting(handle: int) -> None:
        order.append(os.readlink(f"/proc/self/fd/{handle}").removeprefix(str(world.folder)))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noting)
    world.arrive(PAIR[0])
    assert order[0] == "/incoming/tmp.dcm"
    assert f"/held/{PAIR[0].key[:2]}" in order
    (mode,) = world.store._db.execute("PRAGMA synchronous").fetchone()
    assert mode == 2  # FULL: SQLite syncs its log at each commit


def test_the_first_of_an_image_stays_and_a_contradiction_is_noted(world: World) -> None:
    assert world.arrive(PAIR[0], b"first")
    assert not world.arrive(PAIR[0], b"second")
    assert world.store.path(PAIR[0].key).read_bytes() == b"first"
    assert not world.store.instances()[0].contradicted
    world.arrive(replace(PAIR[0], birth="another"))
    assert world.store.instances()[0].contradicted
    world.store.close()
    assert world.open().instances()[0].contradicted


def test_of_an_image_that_is_not_read_no_file_is_kept(world: World) -> None:
    world.arrive(image("u2", Modality.US, reason="doppler"))
    assert not world.store.path("annu2").exists()
    assert world.store.instances()[0].reason == "doppler"


def test_a_row_that_cannot_be_written_leaves_no_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.store._db.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError):
        world.arrive(PAIR[0])
    assert not world.store.path(PAIR[0].key).exists()


def test_what_a_kill_left_over_is_removed_before_anything_is_received(world: World) -> None:
    world.arrive(PAIR[0])
    (world.store.incoming / "tmp123.dcm").write_bytes(b"half")
    orphan = world.store.path("abcd")
    orphan.parent.mkdir()
    orphan.write_bytes(b"nobody was told")
    world.store.close()
    store = world.open()
    assert not list(store.incoming.iterdir())
    assert not orphan.exists()
    assert store.path(PAIR[0].key).exists()


def test_a_case_goes_from_waiting_to_read_and_its_document_outlives_a_restart(
    world: World,
) -> None:
    for each in PAIR:
        world.arrive(each)
    begun = world.begin(*PAIR)
    assert [modality for modality, _ in begun.images] == [Modality.MG, Modality.US]
    assert world.store.posted() == [("ann", begun.case, Posted(begun.content, 1, settled=False))]
    assert world.store.finish(begun, {"verdict": "positive"})
    world.store.close()
    (kept,) = world.open().versions(begun.case[:6])
    assert (kept.status, kept.document) == (Status.READ, {"verdict": "positive"})
    assert not kept.written
    assert kept.read_at == world.time


def test_a_case_that_failed_says_why(world: World) -> None:
    for each in PAIR:
        world.arrive(each)
    begun = world.begin(*PAIR)
    world.store.fail(begun, "patients_differ")
    (kept,) = world.store.readings(Status.FAILED)
    assert kept.problem == "patients_differ"
    assert world.store.posted()[0][2].settled


def test_a_case_of_which_an_image_was_forgotten_is_not_begun(world: World) -> None:
    world.arrive(PAIR[0])
    (case,) = [case for case in cases(PAIR, Rules()) if case.paired]
    assert world.store.begin(Post(case, 1)) is None
    assert not world.store.readings()


def test_forgetting_takes_images_readings_and_every_byte_and_leaves_others(world: World) -> None:
    eve = image("m9", Modality.MG, "eve")
    for each in PAIR:
        world.arrive(each, b"Muster^Erika")
    world.arrive(eve, b"Eve")
    begun = world.begin(*PAIR)
    world.store.finish(begun, {"verdict": "positive", "id": "node-study"})
    other = NodeStore(world.folder)
    assert [each.case for each in other.forget("ann")] == [begun.case]
    other.close()
    assert world.store.changed()
    assert world.store.instances() == [eve]
    assert not world.store.finish(begun, {"verdict": "positive"})
    assert world.store.get(begun) is None
    for file in world.folder.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            for gone in (b"Muster", b"ann", b"node-study", begun.case.encode()):
                assert gone not in data, file.name


def test_readings_go_after_their_days_once_no_image_of_the_patient_is_held(world: World) -> None:
    for each in PAIR:
        world.arrive(each)
    world.store.finish(world.begin(*PAIR), {"verdict": "negative"})
    world.time += 31 * DAY_S
    assert not world.store.retire(30)
    world.store.expire([each.key for each in PAIR])
    assert not list(world.folder.rglob("*.dcm"))
    assert len(world.store.retire(30)) == 1
    assert not world.store.readings()


def test_a_clock_that_jumps_between_two_runs_counts_as_a_day_at_most(world: World) -> None:
    world.store.tick()
    before = world.store.now()
    world.store.close()
    wall = world.time + 40 * 365 * DAY_S
    store = NodeStore(world.folder, wall=lambda: wall, monotonic=lambda: 0.0)
    assert 0 <= store.now() - before <= DAY_S


def test_a_database_of_a_later_version_is_refused_with_the_remedy(world: World) -> None:
    world.store.close()
    with sqlite3.connect(world.folder / DATABASE) as db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(StorageFailed, match="install that again"):
        NodeStore(world.folder)


def test_several_threads_and_another_process_may_use_it_at_once(world: World) -> None:
    failures: list[BaseException] = []

    def many(store: NodeStore, patient: str) -> None:
        try:
            for number in range(20):
                file = store.incoming / f"{patient}{number}"
                file.write_bytes(b"x")
                store.add(image(str(number), Modality.US, patient), file)
        except BaseException as error:
            failures.append(error)

    other = NodeStore(world.folder)
    threads = [
        threading.Thread(target=many, args=(store, patient))
        for store, patient in [(world.store, "a"), (world.store, "b"), (other, "c")]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert not failures
    assert len(world.store.instances()) == 60


def test_a_secret_that_is_lost_is_said_and_none_is_made_beside_what_it_hashed(
    tmp_path: Path,
) -> None:
    made = names_of(tmp_path / "node", made=True)
    file = tmp_path / "node" / "secret.key"
    assert file.stat().st_mode & 0o077 == 0
    assert names_of(tmp_path / "node", made=False) == made
    file.unlink()
    with pytest.raises(SecretLost, match="put it back"):
        names_of(tmp_path / "node", made=False)


def test_the_rows_hold_what_pairing_needs_and_nothing_else(world: World) -> None:
    for each in PAIR:
        world.arrive(each)
    columns = [row[1] for row in world.store._db.execute("PRAGMA table_info(instances)")]
    assert columns == [field.strip() for field in module._INSTANCE.split(",")]
    assert json.dumps([replace(each) == each for each in world.store.instances()])
    assert world.store.instances() == [*PAIR]
