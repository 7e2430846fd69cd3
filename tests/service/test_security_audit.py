"""The audit log: a chain of lines on the disk that shows every change made to it."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from mammosono.appliance.security import audit_events as events
from mammosono.appliance.security.audit import FIRST, AuditLog, BrokenChain, verify
from mammosono.appliance.security.roles import Principal, Role


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "audit.jsonl"


def lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines(keepends=True)


def written(file: Path, count: int) -> list[str]:
    """A log of that many events; their hashes."""
    log = AuditLog(file)
    return [log.append({"n": number}) for number in range(count)]


def test_each_line_holds_the_hash_of_the_one_before(file: Path) -> None:
    hashes = written(file, 3)
    documents = [json.loads(line) for line in lines(file)]
    assert [document["n"] for document in documents] == [0, 1, 2]
    assert [document["previous"] for document in documents] == [FIRST, *hashes[:2]]
    assert hashes[1] == hashlib.sha256(lines(file)[1][:-1]).hexdigest()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = verify(file)
    assert (found.events, found.head, found.torn) == (3, hashes[2], False)


@pytest.mark.parametrize("spoil", ["changed", "taken out", "swapped", "put in", "no event"])
def test_what_was_done_to_a_line_shows(file: Path, spoil: str) -> None:
    written(file, 5)
    kept = lines(file)
    if spoil == "changed":
        kept[1] = kept[1].replace(b'"n":1', b'"n":9')
    elif spoil == "taken out":
        del kept[2]
    elif spoil == "swapped":
        kept[2], kept[3] = kept[3], kept[2]
    elif spoil == "put in":
        kept.insert(2, kept[1])
    else:
        kept[2] = b"[]\n"
    file.write_bytes(b"".join(kept))
    with pytest.raises(BrokenChain, match="line 3"):
        verify(file)


def test_a_log_that_was_cut_or_written_anew_does_not_hold_the_hash_noted_before(
    file: Path,
) -> None:
    hashes = written(file, 5)
    assert all(verify(file, known).known for known in (*hashes, FIRST))
    file.write_bytes(b"".join(lines(file)[:3]))
    assert verify(file, hashes[2]).known
    assert not verify(file, hashes[4]).known
    file.unlink()
    AuditLog(file).append({"n": "another story"})
    assert not verify(file, hashes[0]).known


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_torn_last_line_is_dropped_and_the_chain_goes_on(
    file: Path, kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    hashes = written(file, 3)
    whole = file.read_bytes()
    torn = b'{"previous":"' + hashes[2].encode() + b'","n":3, "and so on"}'
    file.write_bytes(whole + torn[:kept])
    found = verify(file)
    assert (found.events, found.torn) == (3, True)
    AuditLog(file).append({"n": 4})
    assert "middle of a line" in caplog.text
    assert file.read_bytes().startswith(whole)
    assert [json.loads(line)["n"] for line in lines(file)] == [0, 1, 2, 4]
    assert verify(file).torn is False


def test_a_log_of_one_torn_line_begins_anew(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b'{"previous":"00')
    AuditLog(file).append({"n": 0})
    assert verify(file).events == 1


def test_a_line_longer_than_what_is_read_at_once_is_found_whole(file: Path) -> None:
    log = AuditLog(file)
    for number in range(3):
        log.append({"n": number, "long": "x" * 200_000})
    assert verify(file).events == 3


def test_an_event_is_on_the_disk_before_the_call_returns(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def sync(handle: int) -> None:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            synced.append(file.read_bytes())

    monkeypatch.setattr("os.fsync", sync)
    AuditLog(file).append({"n": 0})
    assert file.read_bytes() in synced


def test_what_the_disk_took_only_in_part_is_taken_back(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(file, 2)
    whole, write = file.read_bytes(), os.write

    def part(handle: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(28, "No space left on device")
        return write(handle, data[:20])

    with monkeypatch.context() as full:
        full.setattr("os.write", part)
        with pytest.raises(OSError, match="No space"):
            AuditLog(file).append({"n": 2})
    assert file.read_bytes() == whole
    AuditLog(file).append({"n": 2})
    assert verify(file).events == 3


def test_writers_at_the_same_time_make_one_chain(file: Path) -> None:
    writers = [threading.Thread(target=written, args=(file, 20)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert verify(file).events == 80


WARD = Principal("ward-3", frozenset({Role.WORKSTATION}), "10.0.0.7")
EVENTS = {
    "start": events.application(events.STARTED),
    "stop": events.application(events.STOPPED),
    "sign-in": events.sign_in_failed("10.0.0.9"),
    "posted": events.posted(WARD, "Jane"),
    "read": events.read("Jane", done=True),
    "refused": events.read("Jane", done=False),
    "viewed": events.viewed(WARD, "Jane"),
    "deleted": events.deleted(WARD, "Jane", done=True),
    "not deleted": events.deleted(WARD, "Jane", done=False),
    "retired": events.retired(["Jane", "John"]),
    "added": events.token_added("ward-3", [Role.READER]),
    "revoked": events.token_revoked("ward-3"),
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_an_event_has_what_ps3_15_asks_of_each(event: events.AuditEvent) -> None:
    identification = event["EventIdentification"]
    assert identification["EventID"]["codeSystemName"] == "DCM"
    assert identification["EventID"]["csd-code"].isdigit()
    assert identification["EventActionCode"] in "CRUDE"
    assert identification["EventDateTime"].endswith("+00:00")
    assert identification["EventOutcomeIndicator"] in ("0", "4")
    assert event["AuditSourceIdentification"]["AuditSourceID"]
    for participant in event["ActiveParticipant"]:
        assert participant["UserID"]
        assert isinstance(participant["UserIsRequestor"], bool)
    for thing in event.get("ParticipantObjectIdentification", []):
        assert thing["ParticipantObjectID"]
        assert thing["ParticipantObjectTypeCode"] in ("1", "2")
        assert thing["ParticipantObjectIDTypeCode"]["csd-code"]


def test_a_study_is_named_by_a_hash_of_its_id() -> None:
    (thing,) = EVENTS["posted"]["ParticipantObjectIdentification"]
    assert thing["ParticipantObjectID"] == hashlib.sha256(b"Jane").hexdigest()[:16]
    assert "Jane" not in json.dumps(list(EVENTS.values()))
    assert len(EVENTS["retired"]["ParticipantObjectIdentification"]) == 2
