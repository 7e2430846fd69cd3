"""SECURITY.md promises what tests hold: each that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
THREATS = DOCUMENT[DOCUMENT.index("## Threats") : DOCUMENT.index("## What is left")]


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", DOCUMENT))
    defined = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)
    }
    assert named <= defined, named - defined


def test_every_threat_names_a_test() -> None:
    rows = [
        row
        for row in re.findall(r"^\|.*\|$", THREATS, re.MULTILINE)
        if not row.startswith(("| Who", "|---"))
    ]
    assert len(rows) > 20
    for row in rows:
        who, how, stopped_by, tests = row.strip("|").split(" | ")
        assert who.strip()
        assert how
        assert stopped_by
        assert "`test_" in tests, row


def test_the_service_asks_nobody_on_the_network() -> None:
    clients = r"^\s*(?:import|from) (httpx|http\.client|urllib\.request|requests|smtplib|ftplib)\b"
    for part in ("http", "intake", "output", "pipeline", "security", "studies", "telemetry"):
        for file in (ROOT / "appliance" / part).rglob("*.py"):
            assert not re.search(clients, file.read_text("utf-8"), re.MULTILINE), file.name
