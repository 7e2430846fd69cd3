from __future__ import annotations

import pytest
from pydantic import ValidationError

from mammosono.appliance.settings import Settings


def test_every_setting_has_a_default_and_says_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        assert not field.is_required(), name
        assert field.description, name


def test_by_default_the_appliance_listens_to_itself_alone() -> None:
    assert Settings().host == "127.0.0.1"


def test_the_environment_sets_what_it_names_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MAMMOSONO_PORT", "9000")
    monkeypatch.setenv("MAMMOSONO_THREADS", "2")
    monkeypatch.setenv("MAMMOSONO_OF_A_LATER_VERSION", "1")
    assert Settings() == Settings(port=9000, threads=2)
    assert Settings().queue_length == Settings.model_fields["queue_length"].default


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "70000"), ("PORT", "http"), ("QUEUE_LENGTH", "0"), ("MAX_BODY_BYTES", "-1")],
)
def test_a_value_that_does_not_fit_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"MAMMOSONO_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_settings_do_not_change_after_start() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]
