"""The outbox: what is put into it is sent, or said why not; nothing is lost, nothing is twice."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orthanc
import pytest
from counterparts import Clock, states
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from mammosono.appliance.node.outbox import (
    ANSWER_S,
    DELIVERY_S,
    LONGEST_PAUSE_S,
    MOST_FAILED_COMMITMENTS,
    Outbox,
    State,
    pause_s,
)
from mammosono.appliance.node.uids import hashed


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(tmp_path: Path, clock: Clock) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "outbox", wall=clock, monotonic=clock)
    yield box
    box.close()


def test_what_was_put_is_there_after_a_restart(tmp_path: Path, outbox: Outbox) -> None:
    sent = orthanc.capture(1)
    assert outbox.put("case", "pacs", [sent]) == 1
    again = Outbox(outbox.folder)
    (entry,) = again.due("pacs")
    assert entry.state is State.WAITING
    kept = dcmread(again.path(entry))
    assert kept.to_json_dict() == sent.to_json_dict()
    again.close()


def test_file_and_rows_are_synced_before_put_returns(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    outbox.put("case", "pacs", [orthanc.capture(1)])
    file, folder = synced
    assert file.startswith(".writing-")
    assert folder == "objects"
    assert outbox._db.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_an_object_is_put_once_for_a_destination(outbox: Outbox) -> None:
    assert outbox.put("case", "pacs", [orthanc.capture(1), orthanc.capture(1)]) == 1
    assert outbox.put("case", "pacs", [orthanc.capture(1), orthanc.capture(2)]) == 1
    assert outbox.put("case", "archive", [orthanc.capture(1)]) == 1
    assert len(outbox.due("pacs")) == 2
    assert len(list((outbox.folder / "objects").iterdir())) == 2


def test_to_put_again_what_was_sent_sends_nothing(outbox: Outbox) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1)])
    outbox.stored(*outbox.due("pacs"), confirmed_later=False)
    assert outbox.put("case", "pacs", [orthanc.capture(1)]) == 0
    assert outbox.due("pacs") == []


def test_the_pauses_double_from_half_a_minute_to_an_hour(outbox: Outbox, clock: Clock) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1)])
    pauses = []
    for _ in range(10):
        outbox.unreachable("pacs", "nobody listens")
        began = clock.now
        while not outbox.due("pacs"):
            clock.now += 10
        pauses.append(clock.now - began)
    assert pauses == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


@given(st.integers(1, 10**9))
def test_no_pause_is_shorter_than_the_one_before_or_longer_than_an_hour(attempts: int) -> None:
    assert pause_s(attempts) <= pause_s(attempts + 1) <= LONGEST_PAUSE_S


def test_a_destination_that_answers_again_begins_with_the_shortest_pause(
    outbox: Outbox, clock: Clock
) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1)])
    for _ in range(5):
        outbox.unreachable("pacs", "nobody listens")
    outbox.reached("pacs")
    outbox.unreachable("pacs", "nobody listens")
    clock.now += 30
    assert outbox.due("pacs")


def test_what_could_not_be_delivered_in_72_hours_is_refused_with_the_reason(
    outbox: Outbox, clock: Clock
) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1)])
    clock.now += DELIVERY_S - 1
    outbox.unreachable("pacs", "nobody listens")
    assert states(outbox) == [State.WAITING]
    clock.now += 3600
    outbox.put("later", "pacs", [orthanc.capture(2)])
    outbox.unreachable("pacs", "nobody listens")
    first, second = outbox.entries()
    assert first.state is State.REFUSED
    assert first.reason == "not delivered in 72 hours: nobody listens"
    assert second.state is State.WAITING


def test_hours_that_a_jump_of_the_wall_clock_invents_refuse_nothing(
    tmp_path: Path, clock: Clock
) -> None:
    wall = Clock()
    box = Outbox(tmp_path / "outbox", wall=wall, monotonic=clock)
    box.put("case", "pacs", [orthanc.capture(1)])
    wall.now += 50 * 365 * 86_400  # a board without a clock battery found a time server
    box.unreachable("pacs", "nobody listens")
    assert states(box) == [State.WAITING]
    box.close()


def test_the_order_is_that_of_putting_and_what_failed_goes_last(
    outbox: Outbox, clock: Clock
) -> None:
    outbox.put("case", "pacs", [orthanc.capture(number) for number in (1, 2, 3)])
    poison = outbox.due("pacs")[0]
    outbox.postpone(poison, "the connection was lost while it was sent")
    clock.now += 30
    assert [entry.number for entry in outbox.due("pacs")] == [2, 3, 1]


def test_a_commitment_that_fails_sends_that_object_again_three_times_then_refuses_it(
    outbox: Outbox,
) -> None:
    kept, lost = orthanc.capture(1), orthanc.capture(2)
    outbox.put("case", "pacs", [kept, lost])
    for time in range(1 + MOST_FAILED_COMMITMENTS):
        due = outbox.due("pacs")
        assert len(due) == (2 if time == 0 else 1)
        for entry in due:
            outbox.stored(entry, confirmed_later=True)
        uid = outbox.request("pacs", outbox.to_ask("pacs"))
        outbox.asked(uid)
        assert outbox.report(uid, [kept.SOPInstanceUID], [lost.SOPInstanceUID])
    assert states(outbox) == [State.COMMITTED, State.REFUSED]
    assert outbox.due("pacs") == []
    assert "did not commit to keep it, 4 times" in outbox.entries()[1].reason


def test_an_answer_counts_once_and_only_for_what_was_asked(outbox: Outbox) -> None:
    first, second = orthanc.capture(1), orthanc.capture(2)
    outbox.put("case", "pacs", [first])
    outbox.stored(*outbox.due("pacs"), confirmed_later=True)
    uid = outbox.request("pacs", outbox.to_ask("pacs"))
    outbox.asked(uid)
    outbox.put("case", "pacs", [second])
    outbox.stored(*outbox.due("pacs"), confirmed_later=True)
    named = [first.SOPInstanceUID, second.SOPInstanceUID]
    assert outbox.report(uid, [], named)
    assert states(outbox) == [State.WAITING, State.SENT]
    assert outbox.report(uid, [], named)
    assert not outbox.report("1.2.3", named, [])
    assert states(outbox) == [State.WAITING, State.SENT]


def test_what_the_answer_says_both_of_is_not_committed(outbox: Outbox) -> None:
    uids = [orthanc.capture(1).SOPInstanceUID]
    outbox.put("case", "pacs", [orthanc.capture(1)])
    outbox.stored(*outbox.due("pacs"), confirmed_later=True)
    outbox.report(outbox.request("pacs", outbox.to_ask("pacs")), uids, uids)
    assert states(outbox) == [State.WAITING]


def test_without_an_answer_the_destination_is_queried_after_a_day(
    outbox: Outbox, clock: Clock
) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1), orthanc.capture(2)])
    for entry in outbox.due("pacs"):
        outbox.stored(entry, confirmed_later=True)
    outbox.asked(outbox.request("pacs", outbox.to_ask("pacs")))
    clock.now += ANSWER_S - 1
    assert outbox.to_query("pacs") == []
    clock.now += 1
    here, gone = outbox.to_query("pacs")
    outbox.found(here, there=True)
    outbox.found(gone, there=False)
    assert states(outbox) == [State.COMMITTED, State.WAITING]


def test_a_request_that_was_never_sent_is_made_anew(outbox: Outbox) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1)])
    outbox.stored(*outbox.due("pacs"), confirmed_later=True)
    outbox.request("pacs", outbox.to_ask("pacs"))
    assert len(outbox.to_ask("pacs")) == 1


def test_a_case_is_sent_again_by_command_and_to_a_destination_that_never_had_it(
    outbox: Outbox,
) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1), orthanc.capture(2)])
    done, refused = outbox.due("pacs")
    outbox.stored(done, confirmed_later=False)
    outbox.refused(refused, "no")
    assert outbox.send_again("other") == 0
    assert outbox.send_again("case") == 2
    assert outbox.send_again("case") == 0  # it waits already
    assert outbox.send_again("case", "archive") == 2
    assert len(outbox.due("pacs")) == len(outbox.due("archive")) == 2


def test_what_is_forgotten_is_nowhere_in_the_folder(outbox: Outbox) -> None:
    outbox.put("case-7", "pacs", [orthanc.capture(1, study="1"), orthanc.capture(2, study="1")])
    outbox.put("other", "pacs", [orthanc.capture(1, study="2")])
    outbox.put("other", "archive", [orthanc.capture(1, study="1")])  # of both cases
    assert outbox.forget("case-7") == 2
    assert outbox.forget("other") == 2
    everything = b"".join(file.read_bytes() for file in outbox.folder.rglob("*") if file.is_file())
    for word in (b"case-7", b"Vogelweide", hashed(orthanc.capture(1).SOPInstanceUID).encode()):
        assert word not in everything


def test_no_identity_and_no_uid_is_outside_of_the_objects_files(outbox: Outbox) -> None:
    sent = orthanc.capture(1)
    outbox.put("case", "pacs", [sent])
    outbox.stored(*outbox.due("pacs"), confirmed_later=True)
    outbox.asked(outbox.request("pacs", outbox.to_ask("pacs")))
    for file in outbox.folder.iterdir():
        if file.is_file():
            for word in (
                sent.PatientID,
                "Vogelweide",
                sent.SOPInstanceUID,
                sent.StudyInstanceUID,
            ):
                assert word.encode() not in file.read_bytes(), file.name
    assert [file.stem for file in (outbox.folder / "objects").iterdir()] == [
        hashed(sent.SOPInstanceUID)
    ]


def test_what_was_settled_long_ago_is_deleted_and_nothing_else(
    outbox: Outbox, clock: Clock
) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1), orthanc.capture(2)])
    outbox.stored(outbox.due("pacs")[0], confirmed_later=False)
    clock.now += 100
    assert outbox.retire(101) == 0
    assert outbox.retire(100) == 1
    assert len(outbox.due("pacs")) == len(list((outbox.folder / "objects").iterdir())) == 1


def test_what_a_put_that_was_cut_off_left_is_swept(outbox: Outbox) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1)])
    objects = outbox.folder / "objects"
    (objects / ".writing-x1").write_bytes(b"half")
    (objects / f"{'0' * 64}.dcm").write_bytes(b"without a row")
    outbox.sweep()
    assert [file.stem for file in objects.iterdir()] == [outbox.due("pacs")[0].object]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(("put", "store", "fail", "refuse", "again", "report", "age"))))
def test_whatever_happens_an_object_is_there_once_and_settled_or_still_to_be_done(
    events: list[str],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        box = Outbox(Path(folder) / "outbox", wall=clock, monotonic=clock)
        for event in events:
            due = box.due("pacs")
            if event == "put":
                box.put("case", "pacs", [orthanc.capture(1)])
            elif event == "store" and due:
                box.stored(due[0], confirmed_later=True)
            elif event == "fail":
                box.unreachable("pacs", "no")
            elif event == "refuse" and due:
                box.refused(due[0], "no")
            elif event == "again":
                box.send_again("case")
            elif event == "report" and (asked := box.to_ask("pacs")):
                box.report(box.request("pacs", asked), [], [orthanc.capture(1).SOPInstanceUID])
            elif event == "age":
                clock.now += DELIVERY_S / 3
        entries = box.entries()
        assert len(entries) == ("put" in events)
        for entry in entries:
            assert entry.settled == (entry.state in (State.REFUSED, State.COMMITTED)) or (
                entry.state is State.SENT
            )
            assert box.path(entry).is_file()
        clock.now += 3600
        if entries and not entries[0].settled:
            assert box.due("pacs") or box.to_ask("pacs")
        box.close()


def test_an_outbox_of_a_later_version_is_not_touched(tmp_path: Path, outbox: Outbox) -> None:
    outbox.close()
    with sqlite3.connect(outbox.folder / "outbox.db") as database:
        database.execute("PRAGMA user_version = 9")
    with pytest.raises(Exception, match="another version"):
        Outbox(outbox.folder)
