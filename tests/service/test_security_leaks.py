"""Whose images they are is written down nowhere."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import files
import pytest
from service_bench import FakeReader, png, running, scan, until

from mammosono.appliance.security import audit, tokens
from mammosono.appliance.security.audit import verify
from mammosono.appliance.security.roles import Role
from mammosono.appliance.security.tokens import Tokens

PATIENT = "Zzyzx^Marked"
PATIENT_ID = "MRN-5551212"
FILE = "zzyzx-marked-file.dcm"
STUDY = "zzyzx-marked-study"
MARKS = [mark.encode() for mark in ("Zzyzx", "zzyzx", "5551212", "marked", "Marked")]


def dicom(modality: str) -> bytes:
    return files.dicom(
        scan(0), modality=modality, PatientName=PATIENT, PatientID=PATIENT_ID, StudyID="5551212"
    )


@dataclass
class Lived:
    """What an appliance left behind that took, refused, showed and deleted the marked study."""

    state: Path
    secret: str
    log: str
    answers: list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    state = tmp_path_factory.mktemp("state")
    secret = Tokens(state / tokens.FILE).add("all", list(Role))
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Lines(logging.DEBUG)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    # What the test's own client logs is not of the appliance.
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).propagate = False
    try:
        answers = live(state, secret)
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        for noisy in ("httpx", "httpcore"):
            logging.getLogger(noisy).propagate = True
    return Lived(state, secret, "\n".join(lines), answers)


def live(state: Path, secret: str) -> list[tuple[str, bytes]]:
    answers: list[tuple[str, bytes]] = []
    with running(FakeReader(), state=state) as client:
        client.headers["Authorization"] = f"Bearer {secret}"

        def ask(method: str, path: str, **more: object) -> int:
            answer = client.request(method, path, **more)  # type: ignore[arg-type]
            told = b"".join(k + b": " + v + b"\n" for k, v in answer.headers.raw)
            answers.append((f"{method} {path}", told + answer.content))
            return answer.status_code

        def post(data: bytes, study_id: str, part: str = "mammogram") -> int:
            form = {"files": [(part, (FILE, data))], "data": {"study_id": study_id}}
            return ask("POST", "/v1/studies", **form)

        mammogram = dicom("MG")
        assert post(mammogram, STUDY) == 200
        assert post(mammogram, STUDY) == 200
        assert post(png(3), STUDY) == 409
        assert post(dicom("US"), f"{STUDY}-2") == 422  # of the other modality
        assert post(mammogram[:900], f"{STUDY}-3") == 422
        assert post(b"Zzyzx^Marked", f"{STUDY}-4") == 415
        assert post(png(), f"{STUDY}/5") == 422  # no study id
        assert post(png(), f"{STUDY}-6", part=PATIENT) == 422
        for kind in ("original", "denoised", "overlay", "mask"):
            path = f"/v1/studies/{STUDY}/images/0/{kind}.png"
            until(lambda path=path: client.get(path).status_code == 200)
            ask("GET", path)
        ask("GET", f"/v1/studies/{STUDY}")
        ask("GET", f"/v1/studies?search={PATIENT}&status={PATIENT}")
        ask("GET", f"/{PATIENT}")
        ask("GET", f"/v1/studies/{PATIENT}")
        ask("GET", "/metrics")
        ask("GET", "/readyz")
        ask("DELETE", f"/v1/studies/{STUDY}-2")
        client.headers["Authorization"] = f"Bearer {PATIENT}"
        ask("GET", "/v1/studies")
    return answers


def found_in(data: bytes) -> list[bytes]:
    return [mark for mark in MARKS if mark in data]


def test_no_log_line_tells_whose_it_is(lived: Lived) -> None:
    assert "was read" in lived.log
    assert "was refused" in lived.log
    assert found_in(lived.log.encode()) == []
    assert lived.secret not in lived.log


def test_no_file_but_the_posted_ones_and_the_list_of_ids_tells_it(lived: Lived) -> None:
    looked_at = []
    for path in lived.state.rglob("*"):
        inside = path.relative_to(lived.state)
        assert found_in(str(inside).encode()) == []
        if not path.is_file() or inside.parts[:2] == ("spool", "uploads"):
            continue
        data = path.read_bytes()
        if path.name.startswith("studies.db"):
            # The client's own key is kept, or nobody could ask for the study by it; and the file's
            # name, to be shown to who may see the study.
            data = data.replace(STUDY.encode(), b"").replace(FILE.encode(), b"")
        assert found_in(data) == [], inside
        assert lived.secret.encode() not in data
        looked_at.append(path.name)
    assert {"audit.jsonl", "tokens.json", "studies.db", "original_0.png"} <= set(looked_at)


def test_no_answer_tells_it_but_the_id_to_who_asked_by_it(lived: Lived) -> None:
    """And the file's name, in the result."""
    for asked, answer in lived.answers:
        told = answer.replace(STUDY.encode(), b"")
        if asked in ("POST /v1/studies", f"GET /v1/studies/{STUDY}"):
            told = told.replace(f'"name":"{FILE}"'.encode(), b"")
            told = told.replace(f'"name": "{FILE}"'.encode(), b"")
        assert found_in(told) == [], asked
    assert any(FILE.encode() in answer for _, answer in lived.answers)
    metrics = dict(lived.answers)["GET /metrics"]
    assert b"mammosono_" in metrics
    assert found_in(metrics) == []


def test_the_audit_log_tells_all_that_was_done_and_is_unbroken(lived: Lived) -> None:
    file = lived.state / audit.FILE
    assert verify(file).torn is False
    told = [
        (event["EventID"]["originalText"], event["EventActionCode"], event["EventOutcomeIndicator"])
        for event in (
            json.loads(line)["EventIdentification"] for line in file.read_text().splitlines()
        )
    ]
    assert told[0] == told[-1] == ("Application Activity", "E", "0")
    assert told.count(("DICOM Instances Transferred", "C", "0")) == 5
    assert told.count(("DICOM Instances Accessed", "U", "0")) == 1
    assert told.count(("DICOM Instances Accessed", "U", "4")) == 3
    assert told.count(("DICOM Instances Accessed", "R", "0")) == 1  # one sitting, one view
    assert told.count(("DICOM Study Deleted", "D", "0")) == 1
    assert told.count(("User Authentication", "E", "4")) == 1
