"""Tokens: what is kept of them, who else may change them, how they are lost."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from mammosono.appliance.errors import StorageFailed
from mammosono.appliance.security.roles import Principal, Role
from mammosono.appliance.security.tokens import TokenRefused, Tokens

WORKSTATION = [Role.WORKSTATION]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "tokens.json"


def test_a_token_is_found_by_its_secret_alone(file: Path) -> None:
    tokens = Tokens(file)
    secret = tokens.add("ward-3", [Role.READER, Role.WORKSTATION])
    found = tokens.find(secret)
    assert found is not None
    assert (found.name, found.roles) == ("ward-3", {Role.READER, Role.WORKSTATION})
    for other in ("", secret[:-1], secret + "x", found.sha256, "ward-3", "\udcff", "é"):
        assert tokens.find(other) is None


def test_a_secret_has_256_bits_and_none_is_like_another(file: Path) -> None:
    tokens = Tokens(file)
    secrets = {tokens.add(f"t{n}", WORKSTATION) for n in range(8)}
    assert len(secrets) == 8
    assert all(len(secret) == 43 for secret in secrets)  # 32 bytes in base64


def test_the_file_holds_the_hash_and_is_nobody_else_s(file: Path) -> None:
    secret = Tokens(file).add("ward-3", WORKSTATION)
    text = file.read_text()
    assert secret not in text
    assert hashlib.sha256(secret.encode()).hexdigest() in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_every_token_is_compared_in_constant_time(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(file)
    first, *_ = [tokens.add(name, WORKSTATION) for name in "abc"]
    compared = []

    def compare(left: str, right: str) -> bool:
        compared.append(left)
        return left == right

    monkeypatch.setattr("hmac.compare_digest", compare)
    assert tokens.find(first) is not None
    assert len(compared) == 3  # the first fits, and the others are looked at all the same


def test_what_another_process_changes_holds_from_the_next_call_on(file: Path) -> None:
    service, command = Tokens(file), Tokens(file)
    assert not service.in_use
    secret = command.add("ward-3", WORKSTATION)
    assert service.in_use
    assert service.find(secret) is not None
    command.revoke("ward-3")
    assert service.find(secret) is None


def test_with_the_last_token_revoked_or_the_file_gone_nobody_gets_in(file: Path) -> None:
    tokens = Tokens(file)
    secret = tokens.add("ward-3", WORKSTATION)
    kept = file.read_bytes()
    tokens.revoke("ward-3")
    assert tokens.in_use
    assert tokens.all() == ()
    file.unlink()
    assert tokens.in_use
    file.write_bytes(kept)
    assert tokens.find(secret) is not None


@pytest.mark.parametrize("name", ["", "local", "-a", "a b", "a/b", "a\n", "é", "x" * 65])
def test_a_name_that_could_be_mistaken_is_refused(file: Path, name: str) -> None:
    with pytest.raises(TokenRefused):
        Tokens(file).add(name, WORKSTATION)
    assert not file.exists()


def test_a_name_is_given_once_until_it_is_revoked(file: Path) -> None:
    tokens = Tokens(file)
    first = tokens.add("ward-3", WORKSTATION)
    with pytest.raises(TokenRefused, match="exists"):
        tokens.add("ward-3", WORKSTATION)
    tokens.revoke("ward-3")
    with pytest.raises(TokenRefused, match="no token"):
        tokens.revoke("ward-3")
    assert tokens.add("ward-3", WORKSTATION) != first


ENTRY = (
    '{"tokens": [{"name": "%s", "roles": [], "created": "2026-01-01T00:00:00+00:00", '
    '"sha256": "%s"}]}'
)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"tokens": [{"name": "x"}]}',
        '{"tokens": 3}',
        "\udcff",
        "[" * 100_000,
        ENTRY % ("x", "\u00e9" * 64),
        ENTRY % ("x", "ab"),
        ENTRY % ("\\ud800", "ab" * 32),
        ENTRY % ("local\\n", "ab" * 32),
    ],
)
def test_a_file_that_cannot_be_read_lets_nobody_in(file: Path, content: str) -> None:
    file.parent.mkdir()
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    for ask in (lambda: Tokens(file).in_use, lambda: Tokens(file).find("x")):
        with pytest.raises(StorageFailed):
            ask()


def test_a_power_cut_while_a_token_is_added_leaves_the_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(file)
    secret = tokens.add("ward-3", WORKSTATION)

    def cut(*_: object) -> None:
        raise OSError("power")

    with monkeypatch.context() as power:
        power.setattr("os.fsync", cut)
        with pytest.raises(OSError, match="power"):
            tokens.add("ward-4", WORKSTATION)
    assert [token.name for token in Tokens(file).all()] == ["ward-3"]
    assert Tokens(file).find(secret) is not None
    tokens.add("ward-4", WORKSTATION)


def test_only_a_reader_sees_and_only_a_technician_deletes_what_is_another_s() -> None:
    for role in Role:
        who = Principal("me", frozenset({role}))
        assert (who.sees is None) == (role is Role.READER)
        assert (who.deletes is None) == (role is Role.TECHNICIAN)
    everything = Principal("me", frozenset(Role))
    assert (everything.sees, everything.deletes) == (None, None)
