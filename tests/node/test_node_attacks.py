"""What a peer may do to the listener, with real sockets: each bound that pynetdicom leaves open."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import images
import pytest
from faults.disk import CannotMount, small_disk
from node_bench import (
    LOCAL,
    Node,
    connected,
    echo,
    needs_dcmtk,
    node,
    rss_mib,
    saved,
    send,
    until,
)
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    MammographyCADSRStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import P_DATA_TF

from mammosono.appliance.node import bounds

pytestmark = [
    needs_dcmtk,
    # Sockets of pynetdicom as the client.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PDU_TYPES = {"A-ASSOCIATE-RQ": 1, "P-DATA-TF": 4}


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Node]:
    with node(tmp_path) as started:
        yield started


def associated(port: int, *contexts: Any, title: str = "MG1") -> Association:
    ae = ApplicationEntity(title)
    ae.acse_timeout = 20
    for sop_class, syntax in contexts or [(UltrasoundImageStorage, ExplicitVRLittleEndian)]:
        ae.add_requested_context(sop_class, syntax)
    return ae.associate(LOCAL, port, ae_title="MAMMOSONO")


def store_request(ds: Dataset, data: bytes, pieces: int = 4) -> list[bytes]:
    """The PDUs of a C-STORE of `data` as the data set of `ds`."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = ds.SOPClassUID
    request.AffectedSOPInstanceUID = ds.SOPInstanceUID
    from io import BytesIO

    request.DataSet = BytesIO(data)
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    pdus = []
    for primitive in message.encode_msg(1, len(data) // pieces + 100):
        pdu = P_DATA_TF()
        pdu.from_primitive(primitive)
        pdus.append(pdu.encode())
    return pdus


def write(association: Association, data: bytes) -> None:
    wrapped = association.dul.socket
    assert wrapped is not None
    assert wrapped.socket is not None
    wrapped.socket.sendall(data)


def ended(peer: socket.socket) -> bool:
    """Whether the other side has closed within the socket's timeout."""
    with suppress(ConnectionError):
        while peer.recv(4096):
            pass
    return True


@pytest.mark.parametrize("kind", PDU_TYPES)
def test_a_pdu_that_announces_600_mb_is_cut_before_any_of_it_is_kept(
    listening: Node, kind: str
) -> None:
    before, sent = rss_mib(), 0
    with connected(listening.port) as peer:
        peer.sendall(struct.pack(">BBL", PDU_TYPES[kind], 0, 600_000_000))
        with suppress(ConnectionError, BrokenPipeError):
            for sent in range(1, 129):  # noqa: B007
                peer.sendall(bytes(2**20))
        assert sent < 64, "it was read on"
        assert rss_mib() - before < 32
        assert ended(peer)
    assert echo(listening.port)


def test_silent_connections_of_one_address_are_few_and_nobody_else_waits_for_them(
    tmp_path: Path,
) -> None:
    senders = [
        {"ae_title": "MG1", "address": LOCAL},
        {"ae_title": "US1", "address": "127.0.0.2"},
    ]
    with node(tmp_path, sender=senders) as started:
        silent = [connected(started.port, "127.0.0.2") for _ in range(200)]
        try:
            begun = time.monotonic()
            assert echo(started.port)
            assert time.monotonic() - begun < 5
            until(lambda: started.count("associations_total", outcome="too_many") >= 196)
            until(lambda: not started.listener._server.active_associations, 30)
        finally:
            for peer in silent:
                peer.close()


def test_an_unknown_address_is_closed_before_it_has_said_a_word(tmp_path: Path) -> None:
    with node(tmp_path, sender=[{"ae_title": "MG1", "address": "127.0.0.2"}]) as started:
        with connected(started.port) as peer:
            peer.settimeout(bounds.HANDSHAKE_S / 2)
            assert ended(peer)
        assert not echo(started.port)
        assert started.count("associations_total", outcome="accepted") == 0


def test_a_title_is_let_in_from_its_own_address_alone(tmp_path: Path) -> None:
    senders = [
        {"ae_title": "MG1", "address": LOCAL},
        {"ae_title": "US1", "address": "127.0.0.2"},
    ]
    with node(tmp_path, sender=senders) as started:
        assert echo(started.port, calling="MG1")
        assert not echo(started.port, calling="US1")
        assert not echo(started.port, calling="ELSE")
        assert not echo(started.port, calling="MG1", called="ELSE")
        assert started.count("associations_total", outcome="title_unknown") == 2


def test_as_many_associations_as_promised_work_and_the_next_is_refused(tmp_path: Path) -> None:
    with node(tmp_path, max_associations=4, connections_per_address=60) as started:
        held = [associated(started.port) for _ in range(8)]
        try:
            assert [each.is_established for each in held] == [True] * 4 + [False] * 4
            assert [each.is_rejected for each in held[4:]] == [True] * 4
        finally:
            for each in held:
                if each.is_established:
                    each.release()
        until(lambda: echo(started.port))


def test_what_is_not_read_is_refused_before_any_data_is_sent(listening: Node) -> None:
    wanted = [
        (UltrasoundImageStorage, ExplicitVRLittleEndian),
        (UltrasoundImageStorage, JPEG2000Lossless),
    ]
    unwanted = [
        (UltrasoundImageStorage, DeflatedExplicitVRLittleEndian),
        (UltrasoundImageStorage, ExplicitVRBigEndian),
        (UltrasoundImageStorage, "1.2.840.10008.1.2.4.100"),  # MPEG2
        (SecondaryCaptureImageStorage, ExplicitVRLittleEndian),
        (CTImageStorage, ExplicitVRLittleEndian),
        (MammographyCADSRStorage, ExplicitVRLittleEndian),
    ]
    association = associated(listening.port, *wanted, *unwanted)
    try:
        accepted = [
            (each.abstract_syntax, each.transfer_syntax[0])
            for each in association.accepted_contexts
        ]
        assert accepted == wanted
        assert len(association.rejected_contexts) == len(unwanted)
    finally:
        association.release()


def test_a_transfer_that_breaks_off_leaves_no_file(listening: Node) -> None:
    association = associated(listening.port)
    first, *rest = store_request(images.ultrasound(), bytes(400_000))
    write(association, first + rest[0] + rest[1])
    until(lambda: listening.incoming)
    wrapped = association.dul.socket
    assert wrapped is not None
    wrapped.close()
    until(lambda: not listening.incoming)
    assert not listening.held
    assert echo(listening.port)


def test_a_peer_that_falls_silent_within_a_pdu_is_left_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mammosono.appliance.node.listener.SILENCE_S", 1.0)
    with node(tmp_path) as started:
        association = associated(started.port)
        first, second, *_ = store_request(images.ultrasound(), bytes(400_000))
        write(association, first + second[: len(second) // 2])
        until(lambda: started.incoming)
        until(lambda: not started.listener._server.active_associations)
        assert not started.incoming
        assert echo(started.port)


def test_a_command_set_without_an_end_is_cut(listening: Node) -> None:
    association = associated(listening.port)
    before = rss_mib()
    fragment = bytes(60_000)
    item = struct.pack(">LBB", len(fragment) + 2, 1, 1) + fragment  # command, not the last one
    with suppress(ConnectionError, BrokenPipeError, OSError):
        for _ in range(2000):
            write(association, struct.pack(">BBL", 4, 0, len(item)) + item)
    until(lambda: not listening.listener._server.active_associations)
    assert rss_mib() - before < 32
    assert echo(listening.port)


def test_a_data_set_without_an_end_is_cut_and_leaves_no_file(
    listening: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MOST_OBJECT_BYTES", 300_000)
    association = associated(listening.port)
    with suppress(ConnectionError, BrokenPipeError, OSError):
        for pdu in store_request(images.ultrasound(), bytes(3_000_000), pieces=30):
            write(association, pdu)
    until(lambda: not listening.listener._server.active_associations)
    assert not listening.incoming
    assert not listening.held


def test_a_sender_that_waits_for_no_answer_is_read_no_faster_than_it_is_handled(
    listening: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each message that waits has a file of its own, open: there must not be any number of them."""
    gate, waiting = threading.Event(), []
    admit = listening.listener._store

    def slow(event: Any) -> int:
        waiting.append(len(listening.incoming))
        gate.wait(20)
        return admit(event)

    server = listening.listener._server
    from pynetdicom import evt

    server.unbind(evt.EVT_C_STORE, admit)
    server.bind(evt.EVT_C_STORE, slow)
    association = associated(listening.port)
    pdus = store_request(images.ultrasound(), bytes(2000), pieces=1)

    def flood() -> None:
        with suppress(OSError):
            for _ in range(200):
                write(association, b"".join(pdus))

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    time.sleep(2)
    try:
        assert len(listening.incoming) <= bounds.MOST_WAITING + 2
    finally:
        gate.set()
        wrapped = association.dul.socket
        assert wrapped is not None
        wrapped.close()
        thread.join(30)
    until(lambda: not server.active_associations)
    until(lambda: not listening.incoming)


def test_below_the_watermark_associations_are_refused_and_images_answered_a700(
    tmp_path: Path,
) -> None:
    free = [10_000]
    file = saved(images.ultrasound(), tmp_path / "in", "u")
    keep = {"min_free_bytes": 5000}
    with node(tmp_path, keep=keep, free_bytes=lambda: free[0]) as started:
        assert send(started.port, [file]) == ["0x0000"]
        free[0] = 4999
        assert not echo(started.port)
        assert started.count("associations_total", outcome="no_room") == 1
        free[0] = 10_000
        association = associated(started.port)
        free[0] = 3000
        status = association.send_c_store(images.ultrasound(2))
        association.release()
        assert status.Status == 0xA700
        assert started.count("instances_total", outcome="no_room") == 1
        assert len(started.held) == 1
        free[0] = 10_000
        assert echo(started.port)


def test_a_disk_that_is_really_full_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    big = [
        images.ultrasound(number, pixels=images.drawn(images.Modality.US, 1, 1200, 1600))
        for number in range(1, 16)
    ]
    files = [saved(ds, tmp_path / "in", f"u{n:02}") for n, ds in enumerate(big)]
    disk = tmp_path / "disk"
    try:
        with small_disk(disk, 16), node(disk) as started:
            answered = send(started.port, files)
            until(lambda: not started.listener._server.active_associations)
            stored = answered.count("0x0000")
            assert 3 <= stored < len(files)
            assert len(started.held) == stored
            assert len(started.service.store.instances()) == stored
            assert not started.incoming
            started.held[0].unlink()  # whoever makes room
            assert echo(started.port)
    except CannotMount as error:
        pytest.skip(str(error))


def wrong(ds: Dataset, **changes: Any) -> Dataset:
    for keyword, value in changes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("another object than the command says", 0xA900),
        ("no patient ID", 0xA900),
        ("an ID that stands for nobody", 0xA900),
        ("no study", 0xA900),
        ("garbage", 0xC000),
        ("nothing", 0xC000),
        ("a data set that says its UID twice", 0xC000),
    ],
)
def test_an_image_that_is_not_what_it_should_be_is_refused_with_its_status_and_not_kept(
    listening: Node, what: str, status: int
) -> None:
    good = images.ultrasound()
    data = {
        "another object than the command says": wrong(images.ultrasound(2)),
        "no patient ID": wrong(images.ultrasound(), PatientID=""),
        "an ID that stands for nobody": wrong(images.ultrasound(), PatientID="ANONYMOUS"),
        "no study": wrong(images.ultrasound(), StudyInstanceUID=None),
        "garbage": random.Random(5).randbytes(20_000),
        "nothing": b"\0" * 8,
        "a data set that says its UID twice": encoded(good)[:60] + encoded(good),
    }[what]
    content = data if isinstance(data, bytes) else encoded(data)
    association = associated(listening.port)
    association._reactor_checkpoint.clear()  # or its own thread might take the answer
    until(lambda: association._is_paused)
    for pdu in store_request(good, content):
        write(association, pdu)
    context_id, answer = association.dimse.get_msg(block=True)
    assert context_id == 1
    assert answer.Status == status  # type: ignore[union-attr]
    association._reactor_checkpoint.set()
    association.release()
    until(lambda: not listening.listener._server.active_associations)
    assert not listening.held
    assert not listening.incoming
    assert not listening.service.store.instances()
    assert listening.count("instances_total", outcome="refused") == 1


def encoded(ds: Dataset) -> bytes:
    from pynetdicom.dsutils import encode

    data = encode(ds, False, True)
    assert data is not None
    return data


def test_damaged_pdus_and_data_sets_end_no_more_than_their_association(listening: Node) -> None:
    """`python node/node_fuzz.py` does the same 10 000 times."""
    from node_fuzz import damage

    damage(listening.port, count=150, seed=4)
    until(lambda: not listening.listener._server.active_associations, 60)
    assert not listening.incoming
    assert echo(listening.port)
    assert send(listening.port, [saved(images.ultrasound(7), listening.state, "u")]) == ["0x0000"]
