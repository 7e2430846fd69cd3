"""Exams by storescu, paired, read by the appliance over HTTP, kept, and forgotten again."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import images
import orthanc
import pytest
from node_bench import SENDER, Node, connected, echo, needs_dcmtk, node, run, saved, send, until
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE
from service_bench import FakeReader, running
from typer.testing import CliRunner

from mammosono.appliance.cli import app
from mammosono.appliance.errors import PatientsDiffer
from mammosono.appliance.node import service as module
from mammosono.appliance.node.outbox import FOLDER, Outbox
from mammosono.appliance.node.reading import limited
from mammosono.appliance.node.store import Status, StoredReading
from mammosono.appliance.node.uids import Written
from mammosono.appliance.output.document import Result
from mammosono.appliance.pipeline.fusion import fuse
from mammosono.appliance.security import audit
from mammosono.appliance.security.audit import AuditLog
from mammosono.appliance.values import Reading, Verdict

pytestmark = [
    needs_dcmtk,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SECRETS = ("Muster", "Erika", "PATIENT-77", "19660203")


class AllNegative(FakeReader):
    def read(self, images: Any, keep: object = None) -> Reading:
        reading = super().read(images)
        seen = [replace(each, verdict=Verdict.NEGATIVE, findings=()) for each in reading.images]
        verdicts: dict[Any, list[Verdict]] = {}
        for each in seen:
            verdicts.setdefault(each.modality, []).append(each.verdict)
        fused = fuse(verdicts)
        return replace(
            reading, images=tuple(seen), verdict=fused.verdict, decided_by=fused.decided_by
        )


@contextmanager
def at_work(started: Node) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=started.service.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


@contextmanager
def working(reader: FakeReader, folder: Path) -> Iterator[Node]:
    """A node at work beside an appliance with that reader."""
    with (
        running(reader) as appliance,
        node(folder, **tables(appliance)) as started,
        at_work(started),
    ):
        yield started


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.1)
    monkeypatch.setattr(module, "_METRICS_S", 0.5)


def exam(folder: Path, **changes: Any) -> list[Path]:
    """Two mammograms and two stills of one woman, four days apart."""
    who = {"patient": "PATIENT-77", **changes}
    mammograms = [images.mammogram(side, "CC", seed=n, **who) for n, side in enumerate("LR", 1)]
    stills = [images.ultrasound(number, **who) for number in (1, 2)]
    return [saved(ds, folder, f"i{n}") for n, ds in enumerate([*mammograms, *stills])]


def tables(appliance: httpx.Client, **more: Any) -> dict[str, Any]:
    return {
        "box": {"url": str(appliance.base_url)},
        "pair": {"quiet_s": 1, "max_images": 4, **more.pop("pair", {})},
        **more,
    }


def read(started: Node, count: int = 1) -> list[StoredReading]:
    def settled() -> list[StoredReading]:
        return [
            each for each in started.service.store.readings() if each.status is not Status.WAITING
        ]

    until(lambda: len(settled()) >= count)
    return [each for one in settled() if (each := started.service.store.get(one))]


def test_a_pair_sent_by_storescu_is_read_once_and_its_result_names_its_files(
    tmp_path: Path,
) -> None:
    files = exam(tmp_path / "in")
    with working(FakeReader(), tmp_path) as started:
        assert send(started.port, [files[2], files[0]]) == ["0x0000"] * 2
        assert send(started.port, [files[3], files[1]]) == ["0x0000"] * 2
        (reading,) = read(started)
        document = reading.document
        assert document is not None
        assert Result.parse(document).verdict is Verdict.POSITIVE
        assert document["id"] == reading.study_id
        for image, (modality, path) in zip(document["images"], reading.images, strict=True):
            assert (image["modality"], image["name"]) == (modality.value, path.name)
            assert path.exists()
        assert [each["modality"] for each in document["images"]] == ["MG", "MG", "US", "US"]
        assert started.count("readings_total", outcome="positive") == 1


def test_the_same_study_sent_again_makes_no_other_reading_and_a_late_image_makes_one(
    tmp_path: Path,
) -> None:
    files = exam(tmp_path / "in")
    reader = FakeReader()
    with working(reader, tmp_path) as started:
        send(started.port, files)
        (first,) = read(started)
        assert send(started.port, files) == ["0x0000"] * 4
        assert started.count("instances_total", outcome="repeated") == 4
        late = images.ultrasound(3, patient="PATIENT-77")
        send(started.port, [saved(late, tmp_path / "in", "late")])
        _, second = read(started, 2)
        assert (second.case, second.version) == (first.case, 2)
        assert len(second.images) == 5
        assert reader.readings == 2


def test_what_is_read_is_written_once_and_again_after_a_fault_until_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mammosono.appliance.node.reading.FIRST_PAUSE_S", 0.1)
    written: list[StoredReading] = []

    def write(reading: StoredReading, before: object) -> None:
        written.append(reading)
        if len(written) == 1:
            raise RuntimeError("Muster^Erika")

    files = exam(tmp_path / "in")
    with running(FakeReader()) as appliance:
        with node(tmp_path, write=write, **tables(appliance)) as started, at_work(started):
            send(started.port, files)
            until(lambda: len(written) == 2 and started.service.store.readings()[0].written)
        assert written[0].document == written[1].document != None  # noqa: E711
        with node(tmp_path, write=write, **tables(appliance)) as started, at_work(started):
            threading.Event().wait(1)
        assert len(written) == 2
    assert "RuntimeError" in caplog.text
    assert "Muster" not in caplog.text


def test_a_negative_stands_only_if_every_image_that_was_to_be_read_was(tmp_path: Path) -> None:
    damaged = images.ultrasound(9, patient="PATIENT-77", BitsAllocated=32)
    clip = images.ultrasound(8, patient="PATIENT-77", NumberOfFrames=20)
    files = exam(tmp_path / "in")
    with working(AllNegative(), tmp_path) as started:
        send(started.port, [*files, saved(clip, tmp_path / "in", "clip")])
        (first,) = read(started)
        send(started.port, [saved(damaged, tmp_path / "in", "damaged")])
        _, second = read(started, 2)
    assert first.document is not None
    assert second.document is not None
    assert first.document["verdict"] == "negative"
    assert [(each.reason, each.failed) for each in first.left_out] == [("multi_frame", False)]
    assert ("unsupported_dicom", True) in [(each.reason, each.failed) for each in second.left_out]
    assert second.study_id == first.study_id
    assert second.document["verdict"] == "indeterminate"
    assert second.document["reasons"] == ["unsupported_dicom"]
    assert Result.parse(second.document).decided_by == ()


def test_more_stills_than_are_read_together_never_give_a_negative(tmp_path: Path) -> None:
    stills = [images.ultrasound(number, patient="PATIENT-77") for number in range(3, 7)]
    more = [saved(ds, tmp_path / "more", f"s{n}") for n, ds in enumerate(stills)]
    with working(AllNegative(), tmp_path) as started:
        send(started.port, [*exam(tmp_path / "in"), *more])
        (reading,) = read(started)
    assert reading.document is not None
    assert reading.document["verdict"] == "indeterminate"
    assert reading.no_negative == ("images_left_out",)
    assert len(reading.images) == 6
    assert len(reading.left_out) == 2


def test_two_patients_of_one_id_under_two_issuers_never_meet(tmp_path: Path) -> None:
    other = exam(tmp_path / "b", IssuerOfPatientID="OTHER")
    own = exam(tmp_path / "a")
    with working(FakeReader(), tmp_path) as started:
        # The mammograms of the one, the stills of the other.
        send(started.port, [*own[:2], *other[2:]])
        threading.Event().wait(3)
        assert not started.service.store.readings()
        send(started.port, other[:2])
        (reading,) = read(started)
        files = {path for _, path in reading.images}
        assert len(files) == 4


class Refusing(FakeReader):
    def read(self, images: Any, keep: object = None) -> Reading:
        raise PatientsDiffer("The images name two people.")


def test_a_case_that_the_appliance_refuses_is_failed_with_its_code(tmp_path: Path) -> None:
    with working(Refusing(), tmp_path) as started:
        send(started.port, exam(tmp_path / "in"))
        (reading,) = read(started)
    assert (reading.status, reading.problem) == (Status.FAILED, "patients_differ")


def test_a_case_waits_for_an_appliance_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mammosono.appliance.node.reading.FIRST_PAUSE_S", 0.2)
    files = exam(tmp_path / "in")
    away = {"url": "http://127.0.0.1:1"}
    with node(tmp_path, box=away, pair={"quiet_s": 1}) as started, at_work(started):
        send(started.port, files)
        until(lambda: started.service.store.readings())
    with working(FakeReader(), tmp_path) as started:
        (reading,) = read(started)
    assert reading.status is Status.READ
    assert reading.version == 1


def test_tls_lets_in_who_shows_a_certificate_of_the_ca_and_nobody_else(
    tmp_path: Path, certificates: dict[str, Path]
) -> None:
    tls = {"client_ca": str(certificates["ca"])}
    with node(tmp_path, tls=tls, connections_per_address=16) as started:
        trusted = ["+cf", str(started.state / "tls" / "certificate.pem")]
        own = [str(certificates["key"]), str(certificates["certificate"])]
        stranger = [str(certificates["other_key"]), str(certificates["other"])]
        for profile in ("--profile-bcp195", "--profile-bcp195-nd"):
            assert echo(started.port, "+tls", *own, *trusted, profile)
        assert not echo(started.port, "--anonymous-tls", *trusted)
        assert not echo(started.port, "+tls", *stranger, *trusted)
        assert not echo(started.port)
        silent = [connected(started.port) for _ in range(3)]
        assert echo(started.port, "+tls", *own, *trusted, timeout=5)
        for peer in silent:
            peer.close()
        file = saved(images.ultrasound(), tmp_path / "in", "u")
        assert send(started.port, [file], "+tls", *own, *trusted) == ["0x0000"]
        assert len(started.held) == 1


def test_tls_speaks_no_older_version_and_no_cipher_without_forward_secrecy(
    tmp_path: Path, certificates: dict[str, Path]
) -> None:
    with node(tmp_path, tls={"client_ca": str(certificates["ca"])}) as started:
        where = ["-connect", f"127.0.0.1:{started.port}", "-brief"]
        own = ["-cert", str(certificates["certificate"]), "-key", str(certificates["key"])]

        def handshake(*options: str) -> str:
            return run("openssl", "s_client", *where, *own, *options, timeout=20).stderr

        assert "CONNECTION ESTABLISHED" in handshake("-tls1_2", "-cipher", "ECDHE+AESGCM")
        assert "CONNECTION ESTABLISHED" not in handshake("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        assert "CONNECTION ESTABLISHED" not in handshake("-tls1_2", "-cipher", "AES256-SHA")


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, Path]:
    """A CA, a client's certificate of it, and a stranger's."""
    folder = tmp_path / "pki"
    folder.mkdir()
    names = {name: folder / f"{name}.pem" for name in
             ("ca", "ca_key", "key", "certificate", "other_key", "other")}  # fmt: skip

    def own(key: Path, certificate: Path, name: str) -> None:
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
            "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate))  # fmt: skip

    own(names["ca_key"], names["ca"], "Hospital CA")
    own(names["other_key"], names["other"], "Stranger")
    request = folder / "request.pem"
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=MG1",
        "-keyout", str(names["key"]), "-out", str(request))  # fmt: skip
    run("openssl", "x509", "-req", "-days", "30", "-in", str(request), "-CA", str(names["ca"]),
        "-CAkey", str(names["ca_key"]), "-CAcreateserial", "-out",
        str(names["certificate"]))  # fmt: skip
    return names


def identifying(files: list[Path]) -> list[bytes]:
    """All that names somebody in these files, as bytes."""
    from pydicom import dcmread

    words = {secret.encode() for secret in SECRETS}
    for file in files:
        ds: Dataset = dcmread(file)
        words |= {
            str(ds[keyword].value).encode()
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID",
                            "AccessionNumber")
        }  # fmt: skip
    return sorted(words)


def files_with(folder: Path, words: list[bytes]) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(word in path.read_bytes() for word in words)
    )


def test_nobody_is_named_outside_the_held_files_nor_anywhere_after_forget(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = exam(tmp_path / "in")
    words = identifying(files)
    bad = images.ultrasound(5, patient="PATIENT-77", StudyInstanceUID="")
    with (
        caplog.at_level(logging.DEBUG),
        running(FakeReader(), state=tmp_path / "box") as appliance,
        node(tmp_path, **tables(appliance)) as started,
    ):
        with at_work(started):
            send(started.port, [*files, saved(bad, tmp_path / "in", "bad")])
            (reading,) = read(started)
            until(lambda: (started.state / "node" / "metrics.prom").exists())
            held = files_with(started.state, words)
            assert held
            assert all(name.startswith("node/held/") for name in held), held
            assert not any(word.decode() in caplog.text for word in words)
            write_config(started.state, str(appliance.base_url))
            monkeypatch.setenv("MAMMOSONO_STATE", str(started.state))
            wrong = CliRunner().invoke(
                app, ["node", "forget", "--patient-id", "PATIENT-77", "--issuer", "ELSE"]
            )
            assert wrong.exit_code == 2
            done = CliRunner().invoke(
                app, ["node", "forget", "--patient-id", "patient 77", "--issuer", "hospital"]
            )
            assert done.exit_code == 0, done.output
            assert "4 images, 1 readings" in done.output
            until(lambda: not started.service._pairing.patients)
        assert files_with(started.state, words) == []
        assert reading.case.encode() not in (started.state / "node" / "node.db").read_bytes()
        assert appliance.get(f"/v1/studies/{reading.study_id}").status_code == 404
        log = (started.state / audit.FILE).read_text()
    assert AuditLog(started.state / audit.FILE).verify().events == 3
    assert "DICOM Study Deleted" in log
    assert "DICOM Instances Transferred" in log
    assert not any(word.decode() in log for word in words)


def forget(started: Node, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config(started.state, url)
    monkeypatch.setenv("MAMMOSONO_STATE", str(started.state))
    arguments = ["node", "forget", "--patient-id", "PATIENT-77", "--issuer", "HOSPITAL"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output


def test_a_patient_forgotten_while_her_objects_are_written_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = exam(tmp_path / "in")
    outbox = Outbox(tmp_path / "state" / FOLDER)
    writing, go_on = threading.Event(), threading.Event()
    taken_back: list[int] = []

    def write(reading: StoredReading, before: object) -> Written:
        writing.set()
        assert go_on.wait(30)
        outbox.put(reading.case, "pacs", [orthanc.capture(1)])
        return Written("key")

    def take_back(case: str) -> None:
        taken_back.append(outbox.forget(case))

    with (
        running(FakeReader()) as appliance,
        node(tmp_path, write=write, take_back=take_back, **tables(appliance)) as started,
        at_work(started),
    ):
        send(started.port, files)
        assert writing.wait(30)
        forget(started, str(appliance.base_url), monkeypatch)
        go_on.set()
        until(lambda: taken_back)
    assert outbox.entries() == []
    assert not any((outbox.folder / "objects").iterdir())
    outbox.close()


def test_a_patient_forgotten_while_she_is_read_has_no_reading_anywhere(tmp_path: Path) -> None:
    reader = FakeReader()
    reader.gate.clear()
    with (
        running(reader) as appliance,
        node(tmp_path, **tables(appliance)) as started,
        at_work(started),
    ):
        send(started.port, exam(tmp_path / "in"))
        until(lambda: reader.threads)
        (reading,) = started.service.store.readings()
        started.service.store.forget(reading.patient)  # and the appliance is not told
        reader.gate.set()
        study = f"/v1/studies/{reading.study_id}"
        until(lambda: appliance.get(study).status_code == 404)
        assert started.service.store.readings() == []


def test_a_patient_is_forgotten_while_a_sender_is_connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it sends afterwards is kept as new."""
    files = exam(tmp_path / "in")
    with (
        running(FakeReader()) as appliance,
        node(tmp_path, **tables(appliance)) as started,
        at_work(started),
    ):
        entity = AE("MG1")
        first, *others = map(dcmread, files)
        for ds in (first, others[-1]):
            entity.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
        association = entity.associate("127.0.0.1", started.port, ae_title="MAMMOSONO")
        assert association.send_c_store(first).Status == 0
        forget(started, str(appliance.base_url), monkeypatch)
        assert not started.held
        statuses = [association.send_c_store(ds).Status for ds in others]
        association.release()
        assert statuses == [0, 0, 0]
        (reading,) = read(started)
        assert len(reading.images) == len(started.held) == 3


def test_an_exam_that_comes_twice_under_other_uids_is_one_case(tmp_path: Path) -> None:
    """As of a PACS that numbers anew what it forwards: all of it is read, and no pair is split."""
    files = exam(tmp_path / "in")
    again = []
    for number, file in enumerate(files):
        ds = dcmread(file)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = images.uid("again", number)
        ds.SeriesInstanceUID = images.uid("again", ds.Modality)
        ds.StudyInstanceUID = images.uid("again study", ds.Modality)
        again.append(saved(ds, tmp_path / "again", f"i{number}"))
    with working(FakeReader(), tmp_path) as started:
        send(started.port, [*files, *again])
        (reading,) = read(started)
        assert len(reading.images) == 8
        assert (reading.left_out, reading.no_negative) == ((), ())


def test_women_of_one_id_under_two_issuers_sent_at_once_are_two_cases(tmp_path: Path) -> None:
    given = [exam(tmp_path / name, IssuerOfPatientID=name) for name in ("ONE", "TWO")]
    with working(FakeReader(), tmp_path) as started:
        senders = [threading.Thread(target=send, args=(started.port, files)) for files in given]
        for thread in senders:
            thread.start()
        for thread in senders:
            thread.join()
        found = read(started, 2)
        issuers = [
            {dcmread(file, stop_before_pixels=True).IssuerOfPatientID for _, file in each.images}
            for each in found
        ]
        assert sorted(map(sorted, issuers)) == [["ONE"], ["TWO"]]
        assert [len(each.images) for each in found] == [4, 4]


def write_config(state: Path, url: str) -> None:
    file = state / "dicom.toml"
    file.write_text(f'[box]\nurl = "{url}"\n[[sender]]\nae_title = "MG1"\naddress = "127.0.0.1"\n')
    file.chmod(0o600)


def test_list_and_show_say_how_cases_stand_without_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = exam(tmp_path / "in")
    alone = saved(images.mammogram(patient="P9"), tmp_path / "in", "alone")
    with working(FakeReader(), tmp_path) as started:
        send(started.port, [*files, alone])
        (reading,) = read(started)
        monkeypatch.setenv("MAMMOSONO_STATE", str(started.state))
        write_config(started.state, "http://127.0.0.1:1")
        listed = CliRunner().invoke(app, ["node", "list", "--json"])
        rows = json.loads(listed.output)["cases"]
        assert [(row["images"], row["state"]) for row in rows] == [
            ("2 MG, 2 US", "read"),
            ("1 MG", "waits for its partner"),
        ]
        table = CliRunner().invoke(app, ["node", "list"]).output
        assert reading.case[:8] in table
        shown = CliRunner().invoke(app, ["node", "show", reading.case[:8]]).output
        assert "verdict: positive" in shown
        unknown = CliRunner().invoke(app, ["node", "show", "zzz"])
        assert unknown.exit_code == 2
        for secret in SECRETS:
            assert secret not in listed.output + table + shown


def test_without_the_extra_run_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mammosono.appliance.commands.node.find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["node", "run"])
    assert done.exit_code == 2
    assert "pip install 'mammosono[dicom]'" in done.output


def test_two_nodes_on_one_state_folder_are_one_too_many(tmp_path: Path) -> None:
    with node(tmp_path), pytest.raises(Exception, match="Another node"), node(tmp_path):
        pass


def test_a_node_without_a_sender_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"add \[\[sender\]\]"), node(tmp_path, sender=[]):
        pass


def test_refusals_of_one_peer_are_one_audit_event_a_minute(tmp_path: Path) -> None:
    with node(tmp_path) as started:
        for _ in range(5):
            assert not echo(started.port, calling="ELSE")
        log = (started.state / audit.FILE).read_text()
        assert log.count("Node Authentication") == 1
        assert started.count("associations_total", outcome="title_unknown") == 5
        assert SENDER["ae_title"] not in log


def test_a_result_is_limited_by_what_was_not_read() -> None:
    document = {
        "verdict": "negative",
        "decided_by": ["MG", "US"],
        "warnings": ["One."],
        "reasons": ["one", "image_indeterminate"],
    }
    assert limited(document, ()) is document
    after = limited(document, ("further_exam",))
    assert (after["verdict"], after["decided_by"]) == ("indeterminate", [])
    assert after["reasons"] == ["one", "further_exam", "image_indeterminate"]
    assert len(after["warnings"]) == 2
    positive = limited({**document, "verdict": "positive"}, ("further_exam",))
    assert (positive["verdict"], positive["decided_by"]) == ("positive", ["MG", "US"])
