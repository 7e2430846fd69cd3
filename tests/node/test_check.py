"""`mammosono node check`: a line for each thing that can be wrong, with the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orthanc
import pytest
from conftest import Answers
from counterparts import Pacs, dimse, pacs_that, stow
from pydicom.uid import SecondaryCaptureImageStorage

from mammosono.appliance.doctor.check_result import CheckResult, State
from mammosono.appliance.node import check as checks
from mammosono.appliance.node.check import check
from mammosono.appliance.node.contexts import STORAGE_COMMITMENT, STUDY_ROOT_FIND
from mammosono.appliance.node.destinations import Destination
from mammosono.appliance.node.outbox import Outbox


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ANSWER_S", 5.0)


def lines(
    destination: Destination, outbox: Outbox, port: int, state: State | None = None
) -> dict[str, CheckResult]:
    """By the topic's last word; only those of the state, if one is given."""
    found = check([destination], outbox, ("127.0.0.1", port))
    return {
        each.topic.rpartition(": ")[2]: each
        for each in found
        if state is None or each.state is state
    }


def words(results: Sequence[CheckResult]) -> str:
    return "\n".join(f"{each.state.value} {each.observation} {each.remedy}" for each in results)


def test_of_a_pacs_that_is_right_every_line_is_ok_and_nothing_is_stored_there(
    pacs: orthanc.Orthanc, outbox: Outbox, answers: Answers
) -> None:
    count = pacs.instances()
    found = lines(dimse(pacs.port), outbox, answers.port)
    assert list(found) == [
        *("our listener", "connection", "echo", "sc", "sr", "pr", "commitment", "query")
    ]
    assert {each.state for each in found.values()} == {State.OK}, words([*found.values()])
    assert found["commitment"].observation == "asked, and its answer came"
    assert pacs.instances() == count


def test_an_answer_that_does_not_come_says_what_to_enter_at_the_pacs(
    pacs: orthanc.Orthanc, outbox: Outbox, answers: Answers
) -> None:
    answers.outbox = None
    line = lines(dimse(pacs.port), outbox, answers.port)["commitment"]
    assert line.state is State.WARN
    assert f"enter MAMMOSONO there with this machine's address and port {answers.port}" in (
        line.remedy
    )


def test_what_a_destination_does_not_take_or_do_is_a_line_each(
    outbox: Outbox, answers: Answers
) -> None:
    without = (STORAGE_COMMITMENT, STUDY_ROOT_FIND)
    with pacs_that(Pacs(), without=without) as pacs:
        found = lines(dimse(pacs.port, objects=["sc", "sr"]), outbox, answers.port)
    assert found["sc"].state is State.OK
    assert found["sr"].state is State.FAIL
    assert 'or take "sr" out of its objects' in found["sr"].remedy
    assert found["commitment"].state is State.WARN
    assert found["query"].state is State.NOTE
    with pacs_that(Pacs(), without=(*without, SecondaryCaptureImageStorage)) as pacs:
        found = lines(dimse(pacs.port, objects=["sc"], commitment=False), outbox, answers.port)
    assert found["sc"].state is State.FAIL


def test_what_keeps_us_from_a_destination_is_said_with_the_remedy(
    pacs: orthanc.Orthanc, outbox: Outbox, answers: Answers
) -> None:
    for destination, observation, remedy in (
        (dimse(orthanc.free_port()), "nobody listens", "start the PACS"),
        (dimse(1, host="pacs.invalid"), "name pacs.invalid is not known", "give the address"),
        (dimse(pacs.port, ae_title="OTHER"), "does not go by the AE title", "correct ae_title"),
        (dimse(pacs.port, tls=True), "does not speak TLS", "take tls = true out"),
        (
            dimse(int(pacs.url.rpartition(":")[2])),
            "answers no association request",
            "is the PACS's DICOM port",
        ),
        (stow(f"http://127.0.0.1:{orthanc.free_port()}"), "nobody listens", "start the PACS"),
        (stow(f"{pacs.url}/elsewhere"), "there is no STOW-RS", "correct stow"),
    ):
        (line,) = lines(destination, outbox, answers.port, State.FAIL).values()
        assert observation in line.observation, line
        assert remedy in line.remedy, line


def test_a_listener_that_is_not_there_is_told(pacs: orthanc.Orthanc, outbox: Outbox) -> None:
    line = lines(dimse(pacs.port), outbox, orthanc.free_port())["our listener"]
    assert line.state is State.WARN
    assert line.remedy == "start it: mammosono node run"


def test_stow_is_checked_by_a_query(
    pacs: orthanc.Orthanc, outbox: Outbox, answers: Answers
) -> None:
    found = lines(stow(pacs.dicom_web), outbox, answers.port)
    assert found["service"].state is State.OK
    assert found["connection"].state is State.OK


def test_without_destinations_it_says_that_nothing_is_sent(
    outbox: Outbox, answers: Answers
) -> None:
    _, line = check([], outbox, ("127.0.0.1", answers.port))
    assert (line.state, line.observation) == (State.NOTE, "none is configured: nothing is sent")


@pytest.mark.parametrize(
    ("theirs", "ours", "state", "said"),
    [
        ((-1, 90), (-1, 90), State.OK, "its certificate holds until"),
        ((-30, -1), (-1, 90), State.FAIL, "its certificate expired on"),
        ((5, 90), (-1, 90), State.FAIL, "its certificate is not valid before"),
        ((-1, 5), (-1, 90), State.WARN, "its certificate ends on"),
        ((-1, 90), (-1, 5), State.WARN, "our certificate ends on"),
        ((-1, 90), (-30, -1), State.FAIL, "our certificate has expired"),
    ],
)
def test_certificates_are_looked_at_before_they_end(
    tmp_path: Path,
    outbox: Outbox,
    answers: Answers,
    theirs: tuple[int, int],
    ours: tuple[int, int],
    state: State,
    said: str,
) -> None:
    signer = orthanc.Authority.made(tmp_path)
    pacs_pair = signer.issue(tmp_path, "pacs", days=theirs)
    own = signer.issue(tmp_path, "box", days=ours)
    destination = dimse(
        1,
        tls=True,
        tls_name="localhost",
        commitment=False,
        ca=str(signer.certificate),
        certificate=str(own.certificate),
        key=str(own.key),
    )
    options = orthanc.tls_options(pacs_pair, signer)
    with orthanc.storescp(tmp_path / "in", *options) as receiver:
        way = replace(destination.way, port=receiver.port)
        found = list(check([replace(destination, way=way)], outbox, ("127.0.0.1", answers.port)))
    assert [each for each in found if each.state is state and said in each.observation], words(
        found
    )
