"""Exams that a PACS has are fetched by command: of one patient, or of some days, and no others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import images
import orthanc
import pytest
from counterparts import Pacs, dimse, pacs_that, until
from pydicom import Dataset
from typer.testing import CliRunner

from mammosono.appliance.cli import app
from mammosono.appliance.node import query, sender
from mammosono.appliance.node.association import Rejected
from mammosono.appliance.node.destinations import Dimse
from mammosono.appliance.node.outbox import Outbox, State
from mammosono.appliance.node.query import Moved, QueryFailed, find

BOX_PORT = orthanc.free_port()


def archive(pacs: orthanc.Orthanc, folder: Path, objects: list[Dataset]) -> None:
    box = Outbox(folder)
    box.put("archive", "pacs", objects)
    sender.deliver(box, dimse(pacs.port, commitment=False))
    assert {entry.state for entry in box.entries()} == {State.SENT}
    box.close()


def exam(patient: str, date: str, **more: str) -> list[Dataset]:
    study = f"{patient}-{date}"
    return [
        images.mammogram("L", "CC", patient=patient, study=f"mg-{study}", date=date, **more),
        images.ultrasound(patient=patient, study=f"us-{study}", date=date, **more),
    ]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[orthanc.Orthanc]:
    """An Orthanc with three exams, in the study of one of which there is a picture of ours."""
    if why := orthanc.missing():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("full")
    with orthanc.orthanc(folder / "pacs", box_port=BOX_PORT) as pacs:
        picture = orthanc.capture(1)
        picture.PatientID, picture.StudyDate = "P1", "20261101"
        picture.StudyInstanceUID = exam("P1", "20261101")[0].StudyInstanceUID
        archive(
            pacs,
            folder / "outbox",
            [*exam("P1", "20261101"), picture, *exam("P2", "20261105"), *exam("P1x", "20261110")],
        )
        yield pacs


def way(port: int) -> Dimse:
    found = dimse(port).way
    assert isinstance(found, Dimse)
    return found


def dates(found: list[query.Series]) -> list[tuple[str, str]]:
    return sorted((each.date, each.modality) for each in found)


def test_a_patient_is_found_by_the_whole_of_her_id(full: orthanc.Orthanc) -> None:
    found = find(way(full.port), patient_id="P1")
    assert dates(found) == [("20261101", "MG"), ("20261101", "US")]
    assert find(way(full.port), patient_id="P") == []


def test_an_issuer_keeps_out_who_has_the_same_id_elsewhere(full: orthanc.Orthanc) -> None:
    assert len(find(way(full.port), patient_id="P1", issuer="HOSPITAL")) == 2
    stated = Dataset()
    stated.StudyInstanceUID, stated.PatientID = "1.2", "P1"
    stated.IssuerOfPatientID = "ELSEWHERE"
    assert not query._is_of(stated, "P1", "HOSPITAL")


def test_a_range_of_days_is_found(full: orthanc.Orthanc) -> None:
    found = find(way(full.port), dates="20261104-20261130")
    assert dates(found) == [
        *(("20261105", "MG"), ("20261105", "US"), ("20261110", "MG"), ("20261110", "US"))
    ]
    assert dates(find(way(full.port), dates="20261105")) == [
        ("20261105", "MG"),
        ("20261105", "US"),
    ]


@pytest.mark.parametrize(
    "asked",
    [{}, {"patient_id": "  "}, {"patient_id": "P*"}, {"patient_id": "?"}, {"dates": "2026"},
     {"patient_id": "P\\Q"}],
)  # fmt: skip
def test_never_is_all_of_a_pacs_asked_for(asked: dict[str, str]) -> None:
    with pytest.raises(QueryFailed):
        find(way(1), **asked)


def test_a_pacs_that_sends_nothing_on_request_is_told() -> None:
    series = query.Series("1.2", "1.2.3", "MG", "")
    with pacs_that(Pacs()) as pacs, pytest.raises(Rejected, match="C-MOVE"):
        list(query.fetch(way(pacs.port), [series]))


def test_a_pacs_that_does_not_know_where_we_are_says_what_to_enter(full: orthanc.Orthanc) -> None:
    (mammograms, _) = find(way(full.port), patient_id="P1")
    stranger = way(full.port)
    with pytest.raises(QueryFailed, match="enter ELSEWHERE with our address and port"):
        list(query.fetch(replace(stranger, calling="ELSEWHERE"), [mammograms]))


def test_images_that_came_and_did_not_are_added_up() -> None:
    assert Moved(3, 1) + Moved(2, 0) == Moved(5, 1)


def test_fetched_exams_are_taken_by_the_node_as_if_just_made(
    full: orthanc.Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("MAMMOSONO_STATE", str(state))
    file = state / "dicom.toml"
    file.write_text(
        f"port = {BOX_PORT}\n"
        '[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\n'
        f"port = {full.port}\n"
    )
    file.chmod(0o600)
    node = subprocess.Popen(
        [Path(sys.executable).with_name("mammosono"), "node", "run"],
        env={**os.environ, "MAMMOSONO_STATE": str(state)},
        stderr=subprocess.PIPE,
    )
    try:
        orthanc.wait_for_port(BOX_PORT, 60)
        (mine,) = full.post("/tools/lookup", exam("P2", "20261105")[0].SOPInstanceUID)
        with pytest.raises(httpx.HTTPStatusError):  # on its own it sends nothing
            full.post("/modalities/box/store", mine["ID"])
        arguments = ["node", "fetch", "--from", "pacs", "--patient-id", "P2"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert result.output.endswith("2 images came.\n")

        def taken() -> bool:
            listed = CliRunner().invoke(app, ["node", "list", "--json"])
            cases = json.loads(listed.output)["cases"]
            return [each["images"] for each in cases] == ["1 MG, 1 US"]

        until(taken)
        with pytest.raises(httpx.HTTPStatusError):
            full.post("/modalities/box/store", mine["ID"])
        missing = CliRunner().invoke(app, [*arguments[:-1], "P9"])
        assert missing.output == "The PACS has no such exam.\n"
        unknown = CliRunner().invoke(app, ["node", "fetch", "--from", "x", "--patient-id", "P2"])
        assert "there are: pacs" in unknown.stderr
    finally:
        node.send_signal(signal.SIGTERM)
        _, said = node.communicate(timeout=60)
    assert b"Muster" not in said
