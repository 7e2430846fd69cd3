"""The short form of `make fuzz`: damaged files kill, hang and swell nothing."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from fuzz import campaign
from fuzz.campaign import attack
from fuzz.mutate import damaged
from fuzz.posts import post
from fuzz.requests import ask, documents, settings
from fuzz.seeds import WHOLE
from fuzz.worker import talk

pytestmark = pytest.mark.slow


def test_a_number_is_a_file_for_ever_and_most_files_are_damaged() -> None:
    files = [damaged(number, WHOLE) for number in range(200)]
    assert files == [damaged(number, WHOLE) for number in range(200)]
    assert sum(file not in WHOLE for file in files) > 190


def test_damaged_files_are_read_or_refused_by_the_readers_decoders() -> None:
    outcome = attack(500)
    assert outcome.held, outcome
    assert outcome.files == 500
    assert set(outcome.outcomes) >= {"read", "corrupt_image", "corrupt_dicom"}
    assert outcome.peak_mib < 400


def test_damaged_files_and_requests_are_answered_by_an_appliance(tmp_path: Path) -> None:
    posted = post(tmp_path, 40)
    assert posted.held, posted
    assert posted.count == 40
    assert len(posted.readers) == 1
    assert len(posted.answers) > 3


def test_damaged_requests_are_answered_and_let_nobody_in(tmp_path: Path) -> None:
    asked = ask(tmp_path, 200)
    assert asked.held, asked
    assert asked.count == 200
    assert len(asked.answers) > 5


def test_damaged_token_files_let_nobody_in(tmp_path: Path) -> None:
    assert documents(400, 0, tmp_path) == {}


def test_settings_that_mean_nothing_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(400, 0, monkeypatch.setenv, monkeypatch.delenv) == {}


def test_damaged_messages_to_the_worker_are_answered_and_the_next_client_is_served(
    tmp_path: Path,
) -> None:
    answers, wrong = talk(400, 0, tmp_path / "worker")
    assert wrong == {}
    assert {"kind 3", "kind 4", "cut"} <= set(answers)


def _fragile(numbers: range, tell: Connection, _: Path) -> None:
    """A decoder for which file 2 is the end, file 4 lasts for ever and file 5 is read wrongly."""
    for number in numbers:
        if number == 2:
            os.abort()
        if number == 4:
            time.sleep(600)
        tell.send(("wrong: upside down" if number == 5 else "read", 1.0, 50.0))


def test_the_campaign_notices_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "decode_all", _fragile)
    monkeypatch.setattr(campaign, "DEADLINE_S", 3.0)
    outcome = attack(8)
    assert not outcome.held
    assert outcome.files == 8
    assert outcome.crashed == {2: "SIGABRT"}
    assert outcome.hung == [4]
    assert outcome.wrong == {5: "wrong: upside down"}
    assert outcome.outcomes["read"] == 5
