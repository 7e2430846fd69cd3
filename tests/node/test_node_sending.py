"""The commands that send, and `node run` with a PACS that answers to its listener."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orthanc
import pytest
from counterparts import states, until
from typer.testing import CliRunner

from mammosono.appliance.cli import app
from mammosono.appliance.doctor import dicom_node
from mammosono.appliance.doctor.check_result import State as Found
from mammosono.appliance.doctor.host import Host
from mammosono.appliance.node import outbox as outboxes
from mammosono.appliance.node.outbox import Outbox, State
from mammosono.appliance.settings import Settings

CASE, OTHER = "ab" + "0" * 62, "cd" + "1" * 62


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv("MAMMOSONO_STATE", str(folder))
    return folder


@pytest.fixture
def box(state: Path) -> Iterator[Outbox]:
    opened = Outbox(state / outboxes.FOLDER)
    yield opened
    opened.close()


def configure(state: Path, text: str) -> None:
    file = state / "dicom.toml"
    file.write_text(text)
    file.chmod(0o600)


def destination(port: int, name: str = "pacs") -> str:
    table = f'[[destination]]\nname = "{name}"\nae_title = "PACS"\n'
    return table + f'host = "127.0.0.1"\nport = {port}\n'


def ran(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["node", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def refusal(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["node", *arguments])
    assert result.exit_code == 2, result.output
    return result.stderr


def test_the_outbox_is_listed_by_case_and_destination_with_reasons(box: Outbox) -> None:
    assert ran("outbox") == "The outbox is empty.\n"
    box.put(CASE, "pacs", [orthanc.capture(1), orthanc.capture(2)])
    sent, refused = box.due("pacs")
    box.stored(sent, confirmed_later=False)
    box.refused(refused, "the destination takes no Segmentation Storage as it is written")
    box.put(OTHER, "archive", [orthanc.capture(1)])
    (first, second) = json.loads(ran("outbox", "--json"))["cases"]
    assert first["objects"] == {"sent": 1, "refused": 1}
    assert first["reason"].startswith("the destination takes no Segmentation")
    assert (second["case"], second["destination"]) == (OTHER, "archive")
    assert "1 sent, 1 refused" in ran("outbox")


def test_a_case_is_sent_again_by_the_beginning_of_its_key(state: Path, box: Outbox) -> None:
    configure(state, destination(104) + destination(105, "archive"))
    box.put(CASE, "pacs", [orthanc.capture(1)])
    box.put(OTHER, "pacs", [orthanc.capture(2)])
    for entry in box.due("pacs"):
        box.stored(entry, confirmed_later=False)
    assert ran("send", "ab") == "1 objects wait to be sent.\n"
    assert ran("send", "ab") == "All of it waits to be sent already.\n"
    assert ran("send", "cd", "--to", "archive") == "1 objects wait to be sent.\n"
    assert states(box, "archive") == [State.WAITING]
    assert "no case begins so" in refusal("send", "ff")
    assert "several cases begin so" in refusal("send", "")
    assert "there are: pacs, archive" in refusal("send", "ab", "--to", "elsewhere")


def test_check_ends_with_1_where_something_fails(state: Path) -> None:
    configure(state, destination(orthanc.free_port()))
    result = CliRunner().invoke(app, ["node", "check"])
    assert result.exit_code == 1
    assert "nobody listens" in result.output
    document = json.loads(CliRunner().invoke(app, ["node", "check", "--json"]).output)
    assert document["state"] == "fail"


def test_check_of_nothing_says_that_nothing_is_sent(state: Path) -> None:
    configure(state, "")
    assert "none is configured: nothing is sent" in ran("check")


def test_conformance_prints_the_statement() -> None:
    assert ran("conformance").startswith("# DICOM conformance statement\n")


def test_without_the_extra_every_command_says_what_to_install(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mammosono.appliance.commands import node

    configure(state, "")
    monkeypatch.setattr(node, "find_spec", lambda _: None)
    for command in ("check", "conformance"):
        assert "pip install 'mammosono[dicom]'" in refusal(command)


def test_doctor_says_what_waits_and_what_was_refused(
    state: Path, box: Outbox, tmp_path: Path
) -> None:
    line = dicom_node.outbox(Settings())
    assert (line.state, line.observation) == (
        Found.OK,
        "nothing waits for long; never sent, never committed",
    )
    box.put(CASE, "pacs", [orthanc.capture(1)])
    assert dicom_node.outbox(Settings()).state is Found.OK
    box.refused(*box.due("pacs"), "no")
    line = dicom_node.outbox(Settings())
    assert line.state is Found.WARN
    assert "1 objects were not taken by pacs" in line.observation
    assert "mammosono node send CASE" in line.remedy


def test_doctor_says_what_waits_for_hours_and_why(state: Path) -> None:
    now = 1000.0
    box = Outbox(state / outboxes.FOLDER, wall=lambda: now, monotonic=lambda: now)
    box.put(CASE, "pacs", [orthanc.capture(1)])
    now += 3 * 3600
    box.unreachable("pacs", "nobody listens at 10.0.0.9 port 104; start the PACS")
    box.tick()
    box.close()
    line = dicom_node.outbox(Settings())
    assert line.state is Found.WARN
    assert "pacs: objects wait for " in line.observation
    assert "nobody listens" in line.remedy


def test_doctor_looks_at_the_certificates_that_dicom_toml_names(
    state: Path, tmp_path: Path
) -> None:
    host = Host(root=tmp_path)
    assert dicom_node.certificates(Settings(), host).state is Found.NOTE
    signer = orthanc.Authority.made(state)
    for name, days, expected in (
        ("good", (-1, 90), Found.OK),
        ("soon", (-1, 9), Found.WARN),
        ("old", (-9, -1), Found.FAIL),
    ):
        signer.issue(state, name, days=days)
        keys = f'tls = true\nca = "signer.pem"\ncertificate = "{name}.pem"\nkey = "{name}.key"\n'
        configure(state, destination(104) + keys)
        line = dicom_node.certificates(Settings(), host)
        assert line.state is expected, line
    configure(state, "nonsense = 1")
    assert dicom_node.certificates(Settings(), host).state is Found.FAIL


def test_run_sends_and_takes_the_answers_of_the_pacs(
    state: Path, box: Outbox, tmp_path: Path
) -> None:
    if why := orthanc.missing():
        pytest.skip(why)
    port = orthanc.free_port()
    box.put(CASE, "pacs", [orthanc.capture(number) for number in range(3)])
    with orthanc.orthanc(tmp_path / "pacs", box_port=port) as pacs:
        configure(state, f"port = {port}\n{destination(pacs.port)}")
        node = subprocess.Popen(
            [Path(sys.executable).with_name("mammosono"), "node", "run"],
            env={**os.environ, "MAMMOSONO_STATE": str(state)},
            stderr=subprocess.PIPE,
        )
        try:
            until(lambda: states(box) == [State.COMMITTED] * 3)
            check = ran("check")
            assert "fail" not in check
            assert "asked, and its answer came" in check
            count = pacs.instances()
            assert ran("send", CASE[:8]) == "3 objects wait to be sent.\n"
            until(lambda: states(box) == [State.COMMITTED] * 3)
            assert pacs.instances() == count == 3
        finally:
            node.send_signal(signal.SIGTERM)
            _, said = node.communicate(timeout=60)
    assert node.returncode == 0
    log = (state / "audit.jsonl").read_text()
    assert log.count("DICOM Instances Transferred") == 2
    assert "Vogelweide" not in log
    assert b"Vogelweide" not in said
