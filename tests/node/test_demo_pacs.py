"""`make demo-pacs` as it is started, without the browser."""

from __future__ import annotations

import demo_pacs
import orthanc
import pytest

pytestmark = pytest.mark.slow


def test_the_demo_shows_what_came_back(capsys: pytest.CaptureFixture[str]) -> None:
    if why := orthanc.missing():
        pytest.skip(why)
    assert demo_pacs.main(once=True) == 0
    said = capsys.readouterr().out
    assert "Study of 20261101" in said
    assert "Study of 20261105" in said
    assert said.count("(AI, research)") == 6


def test_without_orthanc_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orthanc.shutil, "which", lambda _: None)
    assert demo_pacs.main(once=True) == 1
    assert "apt-get install" in capsys.readouterr().out
