"""The sender, with Orthanc, dcmtk's storescp and PACS that misbehave as destinations."""

from __future__ import annotations

import http.server
import json
import signal
import socket
import threading
import time
from pathlib import Path
from typing import ClassVar

import kills
import orthanc
import pytest
from conftest import Answers
from counterparts import Clock, Pacs, dimse, pacs_that, states, stow, until
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import ImplicitVRLittleEndian, JPEGBaseline8Bit, SegmentationStorage

from mammosono.appliance.node import association, commitment, sender
from mammosono.appliance.node.contexts import STORAGE_COMMITMENT, STUDY_ROOT_FIND
from mammosono.appliance.node.outbox import ANSWER_S, Outbox, OutboxError, State


@pytest.fixture(autouse=True)
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitment, "LINGER_S", 0.5)


# With Orthanc


def test_what_is_sent_is_in_the_pacs_and_committed_by_an_answer_to_our_listener(
    pacs: orthanc.Orthanc, outbox: Outbox, answers: Answers, study: str
) -> None:
    given = [orthanc.capture(number, study=study) for number in range(3)]
    outbox.put("case", "pacs", given)
    assert sender.deliver(outbox, dimse(pacs.port))
    until(lambda: states(outbox) == [State.COMMITTED] * 3)
    assert {each.SOPInstanceUID for each in given} <= pacs.uids()
    assert answers.statuses[-1] == 0
    assert not sender.deliver(outbox, dimse(pacs.port))


def test_to_send_a_case_again_leaves_the_pacs_as_it_was(
    pacs: orthanc.Orthanc, outbox: Outbox, study: str
) -> None:
    outbox.put("case", "pacs", [orthanc.capture(number, study=study) for number in range(3)])
    sender.deliver(outbox, dimse(pacs.port))
    until(lambda: states(outbox) == [State.COMMITTED] * 3)
    count = pacs.instances()
    assert outbox.send_again("case") == 3
    sender.deliver(outbox, dimse(pacs.port))
    until(lambda: states(outbox) == [State.COMMITTED] * 3)
    assert pacs.instances() == count


def test_what_the_pacs_lost_before_it_was_asked_is_sent_again(
    pacs: orthanc.Orthanc, outbox: Outbox, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = orthanc.capture(1, study=study)
    outbox.put("case", "pacs", [orthanc.capture(0, study=study), lost])
    ask = commitment.ask

    def ask_too_late(*arguments: object) -> None:
        (instance,) = pacs.get("/instances?expand") and [
            each["ID"]
            for each in pacs.get("/instances?expand")
            if each["MainDicomTags"]["SOPInstanceUID"] == lost.SOPInstanceUID
        ]
        pacs.delete(f"/instances/{instance}")
        ask(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as once:
        once.setattr(commitment, "ask", ask_too_late)
        sender.deliver(outbox, dimse(pacs.port))
    until(lambda: states(outbox) == [State.COMMITTED, State.WAITING])
    sender.deliver(outbox, dimse(pacs.port))
    until(lambda: states(outbox) == [State.COMMITTED] * 2)
    assert lost.SOPInstanceUID in pacs.uids()


def test_the_query_says_what_orthanc_has(
    pacs: orthanc.Orthanc, outbox: Outbox, study: str, tmp_path: Path, answers: Answers
) -> None:
    clock = Clock()
    answers.outbox = None  # its answers are lost
    box = Outbox(tmp_path / "other", wall=clock, monotonic=clock)
    box.put("case", "pacs", [orthanc.capture(number, study=study) for number in range(3)])
    sender.deliver(box, dimse(pacs.port))
    assert states(box) == [State.SENT] * 3
    clock.now += ANSWER_S
    sender.deliver(box, dimse(pacs.port))
    assert states(box) == [State.COMMITTED] * 3
    box.close()


def test_stow_brings_them_too_and_twice_is_once(
    pacs: orthanc.Orthanc, outbox: Outbox, study: str
) -> None:
    given = [orthanc.capture(number, study=study) for number in range(3)]
    outbox.put("case", "web", given)
    sender.deliver(outbox, stow(pacs.dicom_web))
    assert states(outbox) == [State.SENT] * 3
    assert all(entry.settled for entry in outbox.entries())
    assert {each.SOPInstanceUID for each in given} <= pacs.uids()
    count = pacs.instances()
    outbox.send_again("case")
    sender.deliver(outbox, stow(pacs.dicom_web))
    assert states(outbox) == [State.SENT] * 3
    assert pacs.instances() == count


def test_a_wrong_ae_title_is_refused_at_once_with_the_remedy_and_others_go_on(
    pacs: orthanc.Orthanc, outbox: Outbox, study: str
) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1, study=study)])
    outbox.put("case", "wrong", [orthanc.capture(1, study=study)])
    stop = threading.Event()
    destinations = [dimse(pacs.port), dimse(pacs.port, name="wrong", ae_title="ELSEWHERE")]
    running = threading.Thread(target=sender.run, args=(outbox, destinations, stop))
    running.start()
    try:
        until(lambda: states(outbox) == [State.COMMITTED, State.REFUSED])
        assert "does not go by the AE title ELSEWHERE" in outbox.entries()[1].reason
        assert "correct ae_title" in outbox.entries()[1].reason
    finally:
        stop.set()
        running.join()


def test_without_destinations_nothing_is_sent(outbox: Outbox) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1)])
    stop = threading.Event()
    running = threading.Thread(target=sender.run, args=(outbox, [], stop))
    running.start()
    time.sleep(1.5)
    stop.set()
    running.join()
    assert states(outbox) == [State.WAITING]


def test_one_process_sends_from_an_outbox(outbox: Outbox) -> None:
    stop = threading.Event()
    running = threading.Thread(target=sender.run, args=(outbox, [], stop))
    running.start()
    until((outbox.folder / "sender.lock").exists)
    time.sleep(0.2)
    at_once = threading.Event()
    at_once.set()
    try:
        with pytest.raises(OutboxError, match="Another process"):
            sender.run(outbox, [], at_once)
    finally:
        stop.set()
        running.join()


# A destination that is not there


def test_a_pacs_that_is_away_for_two_minutes_gets_all_of_it_afterwards(
    tmp_path: Path, answers: Answers
) -> None:
    if why := orthanc.missing():
        pytest.skip(why)
    clock = Clock()
    box = Outbox(tmp_path / "outbox", wall=clock, monotonic=clock)
    answers.outbox = box
    given = [orthanc.capture(number, study="away") for number in range(3)]
    box.put("case", "pacs", given)
    port, attempts = orthanc.free_port(), []
    began = clock.now
    while clock.now < began + 120:
        if sender.deliver(box, dimse(port)):
            attempts.append(clock.now - began)
        clock.now += 1
    assert attempts == [0, 30, 90]
    assert states(box) == [State.WAITING] * 3
    assert "nobody listens" in box.standings()[0].reason
    with orthanc.orthanc(tmp_path / "pacs", box_port=answers.port, port=port) as pacs:
        while not sender.deliver(box, dimse(port)):
            clock.now += 1
        assert clock.now - began == 210
        until(lambda: states(box) == [State.COMMITTED] * 3)
        assert pacs.uids() == {each.SOPInstanceUID for each in given}
    box.close()


def test_a_destination_that_hangs_holds_up_no_other(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(association, "NEGOTIATION_S", 8.0)
    stop = threading.Event()
    with orthanc.storescp(tmp_path / "hung") as hung, orthanc.storescp(tmp_path / "good") as good:
        for name in ("hung", "good"):
            outbox.put("case", name, [orthanc.capture(1)])
        destinations = [
            dimse(each.port, name=each.folder.name, commitment=False) for each in (hung, good)
        ]
        with orthanc.frozen(hung.process):
            running = threading.Thread(target=sender.run, args=(outbox, destinations, stop))
            running.start()
            until(lambda: states(outbox, "good") == [State.SENT], 6.0)
            assert states(outbox, "hung") == [State.WAITING]
            stop.set()
            running.join()
    assert good.uids() == [orthanc.capture(1).SOPInstanceUID]


def test_a_destination_that_freezes_over_an_object_is_let_go(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(association, "STALLED_S", 2.0)
    outbox.put("case", "pacs", [orthanc.capture(1, size=6000)])
    with orthanc.storescp(tmp_path / "pacs") as receiver:
        accepts = sender.accepts

        def accepted_then_frozen(*arguments: object) -> bool:
            receiver.process.send_signal(signal.SIGSTOP)
            return accepts(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(sender, "accepts", accepted_then_frozen)
        arguments = (outbox, dimse(receiver.port, commitment=False))
        sending = threading.Thread(target=sender.deliver, args=arguments)
        sending.start()
        sending.join(30)
        is_held = sending.is_alive()
    sending.join()  # at the latest with the end of the destination
    assert not is_held
    assert states(outbox) == [State.WAITING]
    assert "connection was lost" in outbox.standings()[0].reason


def test_killed_at_any_moment_nothing_is_lost_nothing_is_twice_and_no_name_is_logged(
    pacs: orthanc.Orthanc, outbox: Outbox, tmp_path: Path
) -> None:
    found = kills.rounds(tmp_path, pacs, outbox, kills=4, each=8, seed=15)
    assert found.acknowledged == set(range(32))
    assert (found.committed, found.in_pacs, found.left_over) == (32, 32, 0)
    for word in ("Reuental", "Vogelweide", "77777"):
        assert word not in found.log


@pytest.mark.parametrize("name", ["Müller^Österreich", "山田^太郎", "Иванова^Анна"])
def test_an_old_pacs_gets_the_same_object_in_implicit_vr(
    outbox: Outbox, tmp_path: Path, name: str
) -> None:
    sent = orthanc.capture(1)
    sent.SpecificCharacterSet, sent.PatientName = "ISO_IR 192", name
    outbox.put("case", "pacs", [sent])
    with orthanc.storescp(tmp_path / "in", "--implicit") as receiver:
        sender.deliver(outbox, dimse(receiver.port, commitment=False))
        (file,) = receiver.folder.iterdir()
        got = dcmread(file)
    assert got.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert got.PatientName == name
    assert {each.tag: each.value for each in got} == {
        each.tag: each.value for each in dcmread(outbox.path(outbox.entries()[0]))
    }


# What a destination refuses


def test_what_a_destination_takes_no_context_for_is_refused_alone(outbox: Outbox) -> None:
    segmentation, compressed = orthanc.capture(2), orthanc.capture(3)
    segmentation.SOPClassUID = SegmentationStorage
    compressed.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    compressed.PixelData = encapsulate([b"\xff\xd8 it is not looked at \xff\xd9"])
    compressed["PixelData"].VR = "OB"
    outbox.put("case", "pacs", [segmentation, orthanc.capture(1), compressed])
    with pacs_that(Pacs()) as pacs:
        sender.deliver(outbox, dimse(pacs.port, commitment=False))
    refused, sent, other = outbox.entries()
    assert pacs.stored == [orthanc.capture(1).SOPInstanceUID]
    assert [each.state for each in (refused, sent, other)] == [
        State.REFUSED,
        State.SENT,
        State.REFUSED,
    ]
    assert refused.reason == "the destination takes no Segmentation Storage as it is written"


def test_a_destination_that_takes_nothing_of_ours_refuses_all_of_it(outbox: Outbox) -> None:
    segmentation = orthanc.capture(2)
    segmentation.SOPClassUID = SegmentationStorage
    outbox.put("case", "pacs", [segmentation])
    with pacs_that(Pacs(), without=("1.2.840.10008.1.1",)) as pacs:
        sender.deliver(outbox, dimse(pacs.port, commitment=False))
    assert states(outbox) == [State.REFUSED]
    assert "accepts none of what is proposed" in outbox.entries()[0].reason


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0xA700, State.WAITING),
        (0x0110, State.WAITING),
        (0xA900, State.REFUSED),
        (0xC001, State.REFUSED),
        (0x0122, State.REFUSED),
        (0xB007, State.SENT),
    ],
)
def test_a_status_says_whether_that_object_is_tried_again(
    outbox: Outbox, status: int, state: State
) -> None:
    odd = orthanc.capture(1).SOPInstanceUID
    outbox.put("case", "pacs", [orthanc.capture(1), orthanc.capture(2)])
    with pacs_that(Pacs(status=lambda uid: status if uid == odd else 0)) as pacs:
        sender.deliver(outbox, dimse(pacs.port, commitment=False))
    assert states(outbox) == [state, State.SENT]
    assert f"{status:04X}" in outbox.entries()[0].reason or state is State.SENT


def test_the_words_of_a_destination_are_kept_nowhere(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1)])
    with pacs_that(Pacs(status=lambda _: 0xC000, comment="of Vogelweide")) as pacs:
        sender.deliver(outbox, dimse(pacs.port, commitment=False))
    (entry,) = outbox.entries()
    assert entry.reason == "the destination cannot understand it, status C000"
    assert "Vogelweide" not in caplog.text


def test_an_object_that_ends_every_association_holds_up_no_other(
    tmp_path: Path, answers: Answers
) -> None:
    clock = Clock()
    box = Outbox(tmp_path / "outbox", wall=clock, monotonic=clock)
    box.put("case", "pacs", [orthanc.capture(number) for number in range(4)])
    poison = orthanc.capture(1).SOPInstanceUID
    with pacs_that(Pacs(aborts=lambda uid: uid == poison)) as pacs:
        for _ in range(5):
            sender.deliver(box, dimse(pacs.port, commitment=False))
            clock.now += 60
    assert states(box) == [State.SENT, State.WAITING, State.SENT, State.SENT]
    assert len(pacs.stored) == 3
    box.close()


def test_a_destination_may_not_announce_more_than_was_agreed(outbox: Outbox) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1)])

    def announce(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"\x02\x00" + (600_000_000).to_bytes(4, "big"))
            connection.settimeout(20)
            while connection.recv(65536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=announce, args=(listening,))
        thread.start()
        began = time.monotonic()
        sender.deliver(outbox, dimse(listening.getsockname()[1], commitment=False))
        assert time.monotonic() - began < 15
        thread.join()
    assert states(outbox) == [State.WAITING]


# Storage commitment


def test_an_answer_on_the_same_association_counts(outbox: Outbox) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1), orthanc.capture(2)])
    with pacs_that(Pacs(commits=lambda _: True)) as pacs:
        sender.deliver(outbox, dimse(pacs.port))
    assert states(outbox) == [State.COMMITTED] * 2
    assert len(pacs.requests) == 1


def test_what_is_not_committed_is_sent_again_three_times_and_then_refused(outbox: Outbox) -> None:
    lost = orthanc.capture(2).SOPInstanceUID
    outbox.put("case", "pacs", [orthanc.capture(1), orthanc.capture(2)])
    with pacs_that(Pacs(commits=lambda uid: uid != lost)) as pacs:
        while sender.deliver(outbox, dimse(pacs.port)):
            pass
    assert states(outbox) == [State.COMMITTED, State.REFUSED]
    assert pacs.stored.count(lost) == 4
    assert len(pacs.stored) == 5  # the other once


def test_a_destination_that_commits_to_nothing_is_queried_instead(outbox: Outbox) -> None:
    gone = orthanc.capture(2).SOPInstanceUID
    outbox.put("case", "pacs", [orthanc.capture(1), orthanc.capture(2)])
    with pacs_that(Pacs(has=lambda uid: uid != gone), without=(STORAGE_COMMITMENT,)) as pacs:
        sender.deliver(outbox, dimse(pacs.port))
    assert states(outbox) == [State.COMMITTED, State.WAITING]
    assert sorted(pacs.queried) == sorted(
        each.SOPInstanceUID for each in map(orthanc.capture, (1, 2))
    )


def test_a_destination_that_can_say_nothing_has_it_as_sent(outbox: Outbox) -> None:
    outbox.put("case", "pacs", [orthanc.capture(1)])
    with pacs_that(Pacs(), without=(STORAGE_COMMITMENT, STUDY_ROOT_FIND)) as pacs:
        sender.deliver(outbox, dimse(pacs.port))
        assert not sender.deliver(outbox, dimse(pacs.port))
    (entry,) = outbox.entries()
    assert entry.state is State.SENT
    assert entry.settled
    assert "never confirmed" in entry.reason


@pytest.mark.parametrize("status", [0x0213, 0x0110])
def test_a_destination_that_cannot_commit_now_is_asked_later(
    tmp_path: Path, answers: Answers, status: int
) -> None:
    clock = Clock()
    box = Outbox(tmp_path / "outbox", wall=clock, monotonic=clock)
    box.put("case", "pacs", [orthanc.capture(1)])
    with pacs_that(Pacs(action_status=status)) as pacs:
        sender.deliver(box, dimse(pacs.port))
        assert not sender.deliver(box, dimse(pacs.port))
        pacs.action_status, pacs.commits = 0, lambda _: True
        clock.now += 30
        sender.deliver(box, dimse(pacs.port))
    assert states(box) == [State.COMMITTED]
    assert len(pacs.stored) == 1
    box.close()


# TLS


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> orthanc.Authority:
    return orthanc.Authority.made(tmp_path_factory.mktemp("certificates"))


def test_tls_with_client_certificates(
    outbox: Outbox, tmp_path: Path, signer: orthanc.Authority
) -> None:
    theirs, ours = signer.issue(tmp_path, "pacs"), signer.issue(tmp_path, "box")
    outbox.put("case", "pacs", [orthanc.capture(1)])
    outbox.put("case", "plain", [orthanc.capture(1)])
    outbox.put("case", "bare", [orthanc.capture(1)])
    trusted = {"tls": True, "ca": str(signer.certificate), "tls_name": "localhost"}
    shown = {"certificate": str(ours.certificate), "key": str(ours.key)}
    with orthanc.storescp(tmp_path / "in", *orthanc.tls_options(theirs, signer)) as receiver:
        port = receiver.port
        sender.deliver(outbox, dimse(port, name="bare", commitment=False, **trusted))
        sender.deliver(outbox, dimse(port, name="plain", commitment=False))
        assert receiver.uids() == []
        sender.deliver(outbox, dimse(port, commitment=False, **trusted, **shown))
        assert len(receiver.uids()) == 1
    assert states(outbox) == [State.SENT, State.WAITING, State.WAITING]
    reasons = {standing.name: standing.reason for standing in outbox.standings()}
    assert "asks for a certificate of ours" in reasons["bare"]
    assert "set tls = true" in reasons["plain"]


def test_a_destination_is_not_sent_to_without_proof_of_who_it_is(
    outbox: Outbox, tmp_path: Path, signer: orthanc.Authority
) -> None:
    other = orthanc.Authority.made(tmp_path, "other")
    ours = signer.issue(tmp_path, "box")
    cases = {
        "expired": signer.issue(tmp_path, "expired", days=(-30, -2)),
        "named": signer.issue(tmp_path, "named", host="elsewhere"),
        "stranger": other.issue(tmp_path, "stranger"),
    }
    keys = {"tls": True, "ca": str(signer.certificate), "tls_name": "localhost"}
    keys |= {"certificate": str(ours.certificate), "key": str(ours.key)}
    for name, pair in cases.items():
        outbox.put("case", name, [orthanc.capture(1)])
        with orthanc.storescp(tmp_path / "in", *orthanc.tls_options(pair, signer)) as receiver:
            sender.deliver(outbox, dimse(receiver.port, name=name, commitment=False, **keys))
            assert receiver.uids() == []
    reasons = {standing.name: standing.reason for standing in outbox.standings()}
    assert "its certificate expired on 2" in reasons["expired"]
    assert "set tls_name to the name in it, one of elsewhere" in reasons["named"]
    assert "not signed by whom" in reasons["stranger"]


# STOW-RS


class Answering(http.server.BaseHTTPRequestHandler):
    """status, document: of every answer. seen: the requests' Authorization."""

    status, document = 200, b"{}"
    seen: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(self.headers["Authorization"])
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.document)))
        self.end_headers()
        self.wfile.write(self.document)

    def log_message(self, *_: object) -> None:
        pass


def failure(code: int) -> bytes:
    item = {"00081197": {"vr": "US", "Value": [code]}}
    return json.dumps({"00081198": {"vr": "SQ", "Value": [item]}}).encode()


@pytest.mark.parametrize(
    ("status", "document", "state"),
    [
        (200, b"<xml/>", State.SENT),
        (202, b"{}", State.SENT),
        (202, failure(0x0122), State.REFUSED),
        (200, failure(0xC000), State.REFUSED),
        (409, failure(0xA700), State.WAITING),
        (409, failure(0x0122), State.REFUSED),
        (409, b"", State.REFUSED),
        (415, b"", State.REFUSED),
        (401, b"", State.REFUSED),
        (404, b"", State.REFUSED),
        (302, b"", State.REFUSED),
        (429, b"", State.WAITING),
        (503, b"", State.WAITING),
        (200, b"x" * 2**21, State.WAITING),
    ],
)
def test_an_answer_of_stow_says_whether_it_is_tried_again(
    outbox: Outbox, status: int, document: bytes, state: State
) -> None:
    answering = type("", (Answering,), {"status": status, "document": document})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        outbox.put("case", "web", [orthanc.capture(1)])
        sender.deliver(outbox, stow(f"http://127.0.0.1:{server.server_port}/dicom-web"))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert states(outbox) == [state]


def test_stow_shows_the_token_of_its_file(outbox: Outbox, tmp_path: Path) -> None:
    answering = type("", (Answering,), {"seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    file = tmp_path / "token"
    try:
        outbox.put("case", "web", [orthanc.capture(1)])
        destination = stow(f"http://127.0.0.1:{server.server_port}", token_file=str(file))
        sender.deliver(outbox, destination)
        assert states(outbox) == [State.WAITING]
        assert "token_file" in outbox.standings()[0].reason
        file.write_text("abc.def\n")
        outbox.reached("web")
        sender.deliver(outbox, destination)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert answering.seen == ["Bearer abc.def"]
    assert states(outbox) == [State.SENT]
