"""The end of the audit log: what is missing there shows, and what a crash leaves is no alarm."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from service_bench import FakeReader, png, problem, running, until
from typer.testing import CliRunner

from mammosono.appliance.cli import app
from mammosono.appliance.security import audit
from mammosono.appliance.security import audit_events as events
from mammosono.appliance.security.audit import AuditLog, BrokenChain, verify
from mammosono.appliance.security.audit_head import FIRST, Head, Tail, difference, read_head
from mammosono.appliance.security.audit_writer import AuditWriter

Harm = Callable[[Path], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "audit.jsonl"


def written(file: Path, count: int) -> None:
    log = AuditLog(file)
    for number in range(count):
        log.append({"n": number})


def lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines(keepends=True)


def cut(lines_left: int) -> Harm:
    return lambda file: file.write_bytes(b"".join(lines(file)[:lines_left]))


def cut_within_the_last_line(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def edit_the_last_line(file: Path) -> None:
    *before, last = lines(file)
    file.write_bytes(b"".join([*before, last.replace(b'"n":4', b'"n":7')]))


def edit_the_last_line_longer(file: Path) -> None:
    *before, last = lines(file)
    file.write_bytes(b"".join([*before, last.replace(b'"n":4', b'"n":44')]))


def cut_the_first_line(file: Path) -> None:
    file.write_bytes(b"".join(lines(file)[1:]))


def put_another_log_in_its_place(file: Path) -> None:
    other = file.parent / "other" / "audit.jsonl"
    log = AuditLog(other)
    for number in range(5, 10):
        log.append({"n": number})
    file.write_bytes(other.read_bytes())


def lose_the_record(file: Path) -> None:
    (file.parent / audit.RECORD).unlink()
    cut(3)(file)


def damage_the_record(file: Path) -> None:
    (file.parent / audit.RECORD).write_text('{"events": "5"}')


HARMS: dict[str, Harm] = {
    "tail cut": cut(3),
    "last line cut": cut(4),
    "cut within the last line": cut_within_the_last_line,
    "last line edited": edit_the_last_line,
    "last line edited longer": edit_the_last_line_longer,
    "first line cut": cut_the_first_line,
    "all but the first line cut": cut(1),
    "emptied": cut(0),
    "deleted": Path.unlink,
    "another log": put_another_log_in_its_place,
    "record lost": lose_the_record,
    "record damaged": damage_the_record,
}
harms = pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)


@harms
def test_a_log_that_is_not_as_it_was_left_is_found(file: Path, harm: Harm) -> None:
    written(file, 5)
    log = AuditLog(file)
    assert log.fault() == ""
    assert log.verify().recorded
    harm(file)
    assert log.fault()
    assert AuditLog(file).fault()
    with pytest.raises(BrokenChain):
        AuditLog(file).verify()


@harms
def test_what_was_found_stays_known_though_the_log_goes_on(
    file: Path, harm: Harm, caplog: pytest.LogCaptureFixture
) -> None:
    written(file, 5)
    harm(file)
    written(file, 3)
    assert "not as it was left" in caplog.text
    with pytest.raises(BrokenChain):
        AuditLog(file).verify()
    if harm is not cut_the_first_line:  # what goes on is a chain
        assert verify(file).events >= 3


@harms
def test_a_log_put_back_before_anything_is_written_is_sound_again(file: Path, harm: Harm) -> None:
    written(file, 5)
    kept, record = file.read_bytes(), (file.parent / audit.RECORD).read_bytes()
    harm(file)
    file.write_bytes(kept)
    (file.parent / audit.RECORD).write_bytes(record)
    assert AuditLog(file).verify().events == 5


def killed_at(file: Path, call: str) -> None:
    """Append in a process that dies where it would begin that call for the second time: the first
    belongs to the event before."""
    script = f"""
import os, sys
from pathlib import Path
from mammosono.appliance.security import audit
log = audit.AuditLog(Path(sys.argv[1]))
log.append({{"n": "before"}})
name = {call!r}
holder = audit if hasattr(audit, name) else os
setattr(holder, name, lambda *_: os._exit(9))
log.append({{"n": "last"}})
"""
    died = subprocess.run([sys.executable, "-c", script, str(file)], check=False)
    assert died.returncode == 9


@pytest.mark.parametrize("call", ["_write", "write_head", "fsync"])
@pytest.mark.parametrize("before", [0, 3])
def test_a_crash_between_the_line_and_its_record_is_no_alarm(
    file: Path, before: int, call: str
) -> None:
    written(file, before)
    killed_at(file, call)
    assert AuditLog(file).fault() == ""
    found = AuditLog(file).verify()
    assert found.events == before + (1 if call == "_write" else 2)
    written(file, 2)
    assert AuditLog(file).verify().events == found.events + 2


@pytest.mark.parametrize("torn", [1, 40])
def test_a_line_torn_by_a_power_cut_is_no_alarm(file: Path, torn: int) -> None:
    written(file, 3)
    with file.open("ab") as log:
        log.write(b'{"previous":"' + b"0" * 64)
        log.truncate(log.tell() - torn)
    found = AuditLog(file).verify()
    assert (found.events, found.torn) == (3, True)
    written(file, 1)
    assert AuditLog(file).verify().events == 4


def test_lines_that_the_appliance_did_not_write_are_found(file: Path) -> None:
    written(file, 3)
    record = (file.parent / audit.RECORD).read_bytes()
    written(file, 2)
    (file.parent / audit.RECORD).write_bytes(record)
    assert "event 3" in AuditLog(file).fault()


def test_a_record_that_cannot_be_written_is_behind_by_one_event_and_no_more(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(file, 2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(audit, "write_head", full)
        AuditLog(file).append({"n": 2})
        for _ in range(3):
            with pytest.raises(OSError, match="No space"):
                AuditLog(file).append({"n": 3})
    assert AuditLog(file).verify().events == 3
    AuditLog(file).append({"n": 3})
    head = read_head(file.parent / audit.RECORD)
    assert head is not None
    assert (head.events, head.size) == (4, file.stat().st_size)


def test_a_log_of_an_earlier_version_goes_on_and_is_held_from_then_on(file: Path) -> None:
    written(file, 5)
    plain, previous = [], FIRST
    for line in lines(file):
        document = json.loads(line) | {"previous": previous}
        del document["number"]
        plain.append(json.dumps(document).encode())
        previous = audit.hash_of(plain[-1])
    file.write_bytes(b"\n".join([*plain, b""]))
    (file.parent / audit.RECORD).unlink()
    assert AuditLog(file).fault() == ""
    assert not AuditLog(file).verify().recorded
    written(file, 1)
    assert AuditLog(file).verify().recorded
    assert json.loads(lines(file)[-1])["number"] == 6
    cut(5)(file)
    assert AuditLog(file).fault()


def test_many_writers_keep_one_record(file: Path) -> None:
    writers = [threading.Thread(target=written, args=(file, 10)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert AuditLog(file).verify().events == 40


def test_record_and_log_are_nobody_else_s(file: Path) -> None:
    written(file, 1)
    for path in (file, file.parent / audit.RECORD, file.with_name("audit.jsonl.lock")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((file.parent / audit.RECORD).parent.stat().st_mode) == 0o700


@given(
    st.builds(Head, st.integers(1, 9), st.sampled_from(["a" * 64, "b" * 64]), st.integers(0, 99)),
    st.builds(Tail, st.binary(max_size=9), st.integers(0, 99), st.integers(0, 99)),
)
def test_no_tail_but_the_recorded_one_fits(head: Head, tail: Tail) -> None:
    assert difference(head, tail)  # none of these lines hashes to aaa or bbb, or names it


# -- beginning anew


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAMMOSONO_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@harms
def test_the_command_verify_fails_until_the_log_is_begun_anew(
    state: Path, file: Path, harm: Harm
) -> None:
    written(file, 5)
    harm(file)
    refused = run("audit", "verify")
    assert refused.exit_code == 2
    assert "begin-anew" in refused.stderr
    assert run("audit", "begin-anew").exit_code == 0
    assert run("audit", "verify").stdout.startswith("1 events, unbroken")


def test_the_log_put_away_is_kept_whole_and_named_by_the_new_one(state: Path, file: Path) -> None:
    written(file, 5)
    old, head = file.read_bytes(), AuditLog(file).verify().head
    said = run("audit", "begin-anew").stdout
    put_away = file.with_name(f"audit.{head[:16]}.jsonl")
    assert put_away.name in said
    assert put_away.read_bytes() == old
    (first,) = map(json.loads, lines(file))
    (log,) = first["ParticipantObjectIdentification"]
    assert log["ParticipantObjectID"] == head
    assert log["ParticipantObjectDetail"]["value"] == "5 events before"
    assert verify(put_away, head).known


# -- the service


def checks(client: object) -> dict[str, str]:
    return client.get("/readyz").json()["checks"]  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("harm", [cut(1), cut(0), Path.unlink], ids=["cut", "emptied", "deleted"])
def test_a_log_cut_or_lost_while_the_service_runs_is_told_and_studies_are_still_read(
    tmp_path: Path, harm: Harm
) -> None:
    file = tmp_path / audit.FILE
    with running(FakeReader(), state=tmp_path) as client:
        assert 'mammosono_part_ready{part="audit"} 1.0' in client.get("/metrics").text
        AuditLog(file).append(events.sign_in_failed("10.0.0.1"))
        harm(file)
        answer = problem(client.get("/readyz"), 503, "storage_damaged")
        assert "begin-anew" in answer["checks"]["audit"]
        metrics = client.get("/metrics").text
        assert 'mammosono_part_ready{part="audit"} 0.0' in metrics
        assert 'mammosono_part_ready{part="disk"} 1.0' in metrics
        posted = client.post("/v1/studies", files=[("mammogram", png(1))])
        assert posted.status_code == 200
        assert checks(client)["audit"] != "ok"
        AuditLog(file).begin_anew(events.log_begun_anew)
        until(lambda: client.get("/readyz").status_code == 200)


@harms
def test_a_log_that_was_harmed_while_the_service_stood_is_told_at_the_next_start(
    tmp_path: Path, harm: Harm, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path / audit.FILE, 5)
    harm(tmp_path / audit.FILE)
    with running(FakeReader(), ready=False, state=tmp_path) as client:
        until(lambda: set(checks(client)) >= {"audit"} and checks(client)["reader"] == "ok")
        assert "not as it was left" in checks(client)["audit"]
    assert "not as it was left" in caplog.text


def test_log_and_record_lost_together_are_told_where_there_were_studies(tmp_path: Path) -> None:
    with running(FakeReader(), state=tmp_path):
        pass
    (tmp_path / audit.FILE).unlink()
    (tmp_path / audit.RECORD).unlink()
    with running(FakeReader(), ready=False, state=tmp_path) as client:
        assert "gone" in checks(client)["audit"]


def test_a_sound_log_is_no_alarm_over_restarts_and_commands(
    state: Path, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        run("token", "add", name, "--role", "technician")
        with running(FakeReader(), state=state) as client:
            assert checks(client)["audit"] == "ok"
    assert run("audit", "verify").exit_code == 0
    assert "not as it was left" not in caplog.text


def test_an_event_that_is_being_written_is_not_lost_when_too_many_wait(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mammosono.appliance.security.audit_writer._MOST_UNWRITTEN", 3)
    log, writing, go_on = AuditLog(file), threading.Event(), threading.Event()
    append = log.append

    def slowly(event: events.AuditEvent) -> str:
        writing.set()
        assert go_on.wait(60)
        return append(event)

    monkeypatch.setattr(log, "append", slowly)
    writer = AuditWriter(log)
    threads = [threading.Thread(target=writer._append, args=({"n": n},)) for n in range(6)]
    threads[0].start()
    assert writing.wait(60)
    for thread in threads[1:]:
        thread.start()
    threading.Event().wait(0.3)  # they have all come to where one of them writes
    go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(json.loads(line)["n"] for line in lines(file)) == [0, 1, 2, 3, 4, 5]


def test_a_study_is_acknowledged_when_the_log_says_who_posted_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, go_on = tmp_path / audit.FILE, threading.Event()
    append, answered = AuditLog.append, threading.Event()

    def slowly(log: AuditLog, event: events.AuditEvent) -> str:
        if event["EventIdentification"]["EventID"] == events.TRANSFERRED:
            assert go_on.wait(60)
        return append(log, event)

    monkeypatch.setattr(AuditLog, "append", slowly)
    for query in ("?wait=0", ""):
        go_on.clear(), answered.clear()
        with running(FakeReader(), state=tmp_path) as client:

            def post(client: httpx.Client = client, query: str = query) -> None:
                client.post(f"/v1/studies{query}", files=[("mammogram", png(len(query)))])
                answered.set()

            posting = threading.Thread(target=post)
            posting.start()
            until(lambda client=client: client.get("/healthz").status_code == 200)
            early = answered.wait(1.0)
            lines_then = len(lines(file))
            go_on.set()
            assert not early
            assert answered.wait(60)
            posting.join()
            assert len(lines(file)) > lines_then
