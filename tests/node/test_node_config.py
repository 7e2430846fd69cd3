"""dicom.toml: what is wrong with it is said with the key and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mammosono.appliance.node.config import ConfigError, load, parse

SENDER = {"ae_title": "MG1", "address": "10.0.0.5"}
TLS = {"client_ca": "pacs-ca.pem"}


def test_the_shortest_file_names_a_sender_and_listens_on_this_machine_alone() -> None:
    config = parse({"sender": [SENDER]}, Path("/x"))
    assert (config.ae_title, config.listen, config.port) == ("MAMMOSONO", "127.0.0.1", 11112)
    assert config.rules.window_days == 60
    assert config.rules.max_images == 24
    assert config.destinations == ()


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "dicom.toml"
    file.write_text(
        """
        ae_title = "READER1"
        listen = "10.0.0.2"
        port = 104
        [tls]
        client_ca = "ca.pem"
        [[sender]]
        ae_title = "MG1"
        address = "10.0.0.5"
        issuer = "HOSPITAL-A"
        [[sender]]
        ae_title = "US1"
        address = "fe80::1"
        [pair]
        by = "breast"
        quiet_s = 90
        report_alone = true
        [keep]
        held_days = 70
        [accept]
        implants = false
        [box]
        url = "https://reader:8000"
        token_file = "token"
        [[destination]]
        name = "pacs"
        ae_title = "PACS"
        host = "10.0.0.9"
        """
    )
    file.chmod(0o600)
    config = load(file)
    assert config.rules.by == "breast"
    assert config.rules.quiet_s == 90
    assert (config.rules.held_days, config.admission.implants) == (70, False)
    assert [each.ae_title for each in config.sender] == ["MG1", "US1"]
    assert config.path("ca.pem") == tmp_path / "ca.pem"
    (destination,) = config.destinations
    assert destination.way.calling == "READER1"  # type: ignore[union-attr]


PACS = {"name": "pacs", "ae_title": "PACS", "host": "10.0.0.9"}


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"ae_title": "SEVENTEEN LETTERS"}, ("ae_title", "1 to 16")),
        ({"ae_title": "A\\B"}, ("ae_title", "1 to 16")),
        ({"sender": [{**SENDER, "ae_title": "SEVENTEEN LETTERS"}]}, ("sender.ae_title", "1 to 16")),
        ({"port": 70_000}, ("port", "65535")),
        ({"port": "104"}, ("port", "integer")),
        ({"listen": "pacs"}, ("listen", "10.0.0.5")),
        ({"listen": "10.0.0.2"}, ("[tls]", "plain_network = true")),
        ({"sender": [{"ae_title": "MG1"}]}, ("sender.address", "missing")),
        ({"sender": [{**SENDER, "issuers": "A"}]}, ("sender.issuers", "no meaning")),
        ({"sender": [SENDER, SENDER]}, ("sender", "leave one")),
        ({"pair": {"by": "side"}}, ("pair.by", "'patient' or 'breast'")),
        ({"pair": {"window_days": 90}}, ("keep.held_days", "pair.window_days")),
        ({"pair": {"max_images": 25}}, ("pair.max_images", "24")),
        ({"pair": {"quiet": 60}}, ("pair.quiet", "no meaning")),
        ({"tls": {}}, ("tls.client_ca", "missing")),
        ({"tls": {**TLS, "mode": "given"}}, ("tls", "key and certificate")),
        ({"destination": [{"name": "pacs"}]}, ("destination", "host")),
        ({"destination": [PACS, PACS]}, ("destination.name", "pacs is there twice")),
        ({"destination": [{**PACS, "ae_title": "SEVENTEEN LETTERS"}]}, ("ae_title of pacs",)),
        ({"destination": [{**PACS, "name": "../pacs"}]}, ("destination.name", "1 to 32")),
        ({"destination": [{**PACS, "name": "pacs\n"}]}, ("destination.name", "1 to 32")),
        ({"destination": [{**PACS, "name": "p\u00e4cs"}]}, ("destination.name", "1 to 32")),
        ({"destination": [{**PACS, "name": ""}]}, ("destination.name", "1 to 32")),
        ({"destination": PACS}, ("destination", "[[destination]]")),
        ({"folder": "x"}, ("folder", "no meaning")),
        ({"destinations": []}, ("destinations", "no meaning")),
    ],
)
def test_what_is_wrong_is_said_with_the_key_and_the_remedy(
    tables: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"sender": [SENDER], **tables}, Path())
    said = str(caught.value)
    assert all(word in said for word in words), said
    assert "\n" not in said


def test_a_network_that_is_trusted_needs_no_tls_if_that_is_written_down() -> None:
    assert parse({"listen": "10.0.0.2", "plain_network": True}, Path()).tls is None
    assert parse({"listen": "10.0.0.2", "tls": TLS}, Path()).tls is not None


def test_a_file_that_others_may_read_that_is_missing_or_no_toml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "dicom.toml"
    with pytest.raises(ConfigError, match=r"there is no .*dicom.toml"):
        load(file)
    file.write_text("port = 104\n")
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load(file)
    file.chmod(0o600)
    assert load(file).port == 104
    file.write_text("port = = 104\n")
    with pytest.raises(ConfigError, match="no TOML"):
        load(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="no TOML"):
        load(file)
