"""`mammosono token` and `mammosono audit`: what is printed, what is written, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from mammosono.appliance.cli import app
from mammosono.appliance.security import audit, tokens
from mammosono.appliance.security.tokens import Tokens


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAMMOSONO_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def refused(*arguments: str) -> str:
    """The one line on standard error of a command that ends with 2."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_a_token_is_printed_once_and_known_from_then_on(state: Path) -> None:
    result = run("token", "add", "ward-3", "--role", "workstation", "--role", "reader")
    assert result.exit_code == 0
    found = Tokens(state / tokens.FILE).find(result.stdout.strip())
    assert found is not None
    assert sorted(found.roles) == ["reader", "workstation"]
    listed = run("token", "list").stdout
    assert "ward-3" in listed
    assert "reader, workstation" in listed
    assert result.stdout.strip() not in listed


def test_json_holds_the_same(state: Path) -> None:
    made = json.loads(run("token", "add", "tech", "-r", "technician", "--json").stdout)
    assert (made["name"], made["roles"]) == ("tech", ["technician"])
    assert Tokens(state / tokens.FILE).find(made["token"]) is not None
    (listed,) = json.loads(run("token", "list", "--json").stdout)["tokens"]
    assert (listed["name"], listed["roles"]) == ("tech", ["technician"])
    assert set(listed) == {"name", "roles", "created"}


def test_a_revoked_token_is_gone_and_what_the_last_one_means_is_said() -> None:
    for name in ("a", "b"):
        run("token", "add", name, "--role", "reader")
    assert run("token", "revoke", "a").stdout == "Revoked.\n"
    assert "nobody gets in" in run("token", "revoke", "b").stdout
    assert run("token", "list").stdout == "No tokens.\n"


def test_tokens_are_forgotten_by_one_command_alone(state: Path) -> None:
    run("token", "add", "a", "--role", "reader")
    assert Tokens(state / tokens.FILE).in_use
    (state / tokens.FILE).unlink()
    assert Tokens(state / tokens.FILE).in_use
    assert "token forget" in refused("token", "list")
    assert "next start" in run("token", "forget").stdout
    assert not Tokens(state / tokens.FILE).in_use
    assert run("token", "list").stdout == "No tokens.\n"
    assert "tokens forgotten" in (state / audit.FILE).read_text()
    assert run("audit", "verify").exit_code == 0


def test_what_cannot_be_done_is_told_in_one_line(state: Path) -> None:
    run("token", "add", "a", "--role", "reader")
    assert "revoke it first" in refused("token", "add", "a", "--role", "reader")
    assert "as name" in refused("token", "add", "local", "--role", "reader")
    assert "no token of this name" in refused("token", "revoke", "b")
    assert run("token", "add", "b", "--role", "king").exit_code == 2
    assert run("token", "add", "b").exit_code == 2
    (state / tokens.FILE).write_text("{")
    assert "storage_failed" in refused("token", "list")


def test_a_state_folder_that_cannot_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MAMMOSONO_STATE", str(tmp_path / "file" / "state"))
    assert "storage_failed" in refused("token", "add", "a", "--role", "reader")


def test_the_audit_log_tells_of_each_token_and_is_verified(state: Path) -> None:
    assert "no_audit_log" in refused("audit", "verify")
    secret = run("token", "add", "ward-3", "--role", "workstation").stdout.strip()
    run("token", "revoke", "ward-3")
    written = (state / audit.FILE).read_text()
    told = [
        event["ParticipantObjectIdentification"][0]["ParticipantObjectDetail"]["value"]
        for event in map(json.loads, written.splitlines())
    ]
    assert told == ["token added: workstation", "token revoked"]
    assert secret not in written
    verified = json.loads(run("audit", "verify", "--json").stdout)
    assert verified["events"] == 2
    result = run("audit", "verify", "--holds", verified["head"])
    assert (result.exit_code, verified["head"] in result.stdout) == (0, True)
    assert "broken_chain" in refused("audit", "verify", "--holds", "0" * 63 + "1")


def test_an_audit_log_that_was_changed_ends_with_2(state: Path) -> None:
    for name in "abc":
        run("token", "add", name, "--role", "reader")
    file = state / audit.FILE
    file.write_text(file.read_text().replace('"b"', '"x"'))
    assert "line 3 does not follow" in refused("audit", "verify")


def test_a_torn_last_line_is_told_and_no_fault(state: Path) -> None:
    run("token", "add", "a", "--role", "reader")
    file = state / audit.FILE
    file.write_text(file.read_text() + '{"previous": ')
    result = run("audit", "verify")
    assert (result.exit_code, "cut short" in result.stdout) == (0, True)


def test_the_service_does_not_start_where_the_network_would_find_it_unprotected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "mammosono token add" in refused("serve", "--host", "0.0.0.0")
    run("token", "add", "tech", "--role", "technician")
    monkeypatch.setenv("MAMMOSONO_TLS", "off")
    assert "MAMMOSONO_EXPOSE=without-tls" in refused("serve", "--host", "0.0.0.0")
