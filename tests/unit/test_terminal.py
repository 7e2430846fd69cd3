"""A reading as text."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import readings
from rich.console import Console

from mammosono.appliance.output.terminal import print_reading
from mammosono.appliance.output.wording import INTENDED_USE
from mammosono.appliance.values import Laterality, Modality, Origin, Verdict


def printed(reading, *, terminal=False):
    out = io.StringIO()
    print_reading(Console(file=out, width=80, force_terminal=terminal), "feed", reading)
    return out.getvalue()


def test_the_fused_verdict_comes_first_and_every_image_has_its_line():
    lines = printed(readings.pair()).splitlines()
    assert lines[0].split() == ["fused", "POSITIVE", "The", "mammogram", "is", "positive."]
    assert [line.split()[1] for line in lines if line.startswith(("MG", "US"))] == [
        "POSITIVE",
        "NEGATIVE",
    ]
    assert lines[-1] == INTENDED_USE


def test_findings_and_warnings_stand_below_their_image():
    lines = printed(readings.pair()).splitlines()
    (at,) = [n for n, line in enumerate(lines) if line.startswith("US")]
    assert lines[at + 1].split()[:3] == ["1", "benign", "0.123"]
    assert lines[at + 2].strip() == "! The pixel size is not known."


def test_an_image_is_called_by_side_and_view_and_who_said_so_and_its_file():
    film = readings.image(0, Modality.MG, Verdict.NEGATIVE, size=(70, 70), score=0.1)
    side = {"laterality": Laterality.RIGHT, "laterality_from": Origin.FILE_NAME}
    film = replace(film, **side, view="MLO", view_from=Origin.FILE_NAME, name="R\x1bMLO.png")
    other = readings.image(1, Modality.US, Verdict.NEGATIVE, size=(70, 70), score=0.1)
    lines = printed(readings.reading(film, other)).splitlines()
    assert any("(R MLO, by file name, R?MLO.png, 70 x 70 px)" in line for line in lines)
    assert any("(image 1, 70 x 70 px)" in line for line in lines)


def test_warnings_on_the_study_stand_below_its_verdict():
    doubted = replace(readings.pair(), warnings=("Check that all are of one patient.",))
    assert printed(doubted).splitlines()[1].strip() == "! Check that all are of one patient."


def test_an_image_without_findings_says_so():
    clear = readings.image(0, Modality.US, Verdict.NEGATIVE, size=(70, 70), score=0.01)
    assert "No finding." in printed(readings.reading(clear))


def test_colours_are_for_terminals_only(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[" not in printed(readings.pair())
    assert "\x1b[" in printed(readings.pair(), terminal=True)


@pytest.mark.parametrize("warning", ["[bold]not markup[/bold]", "a very long warning " * 20])
def test_warnings_are_printed_as_they_are_on_one_line(warning):
    image = readings.image(
        0, Modality.MG, Verdict.NEGATIVE, size=(70, 70), score=0.1, warnings=(warning,)
    )
    assert f"! {warning.rstrip()}" in printed(readings.reading(image))
