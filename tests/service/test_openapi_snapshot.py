"""The HTTP interface does not change by accident: what clients see is committed and compared."""

from __future__ import annotations

import json

import pytest
from openapi_snapshot import FILE, described

pytestmark = pytest.mark.slow


def test_the_interface_is_the_committed_one() -> None:
    committed, now = json.loads(FILE.read_text(encoding="utf-8")), json.loads(described())
    changed = [
        f"{part}: {name}"
        for part in ("paths", "components")
        for name in _names(committed[part]) | _names(now[part])
        if _at(committed[part], name) != _at(now[part], name)
    ]
    assert committed == now, (
        f"the HTTP interface changed ({', '.join(sorted(changed)) or 'its head'}); "
        "if clients can bear it: python tests/openapi_snapshot.py"
    )


def test_the_file_is_written_as_the_command_writes_it() -> None:
    assert FILE.read_text(encoding="utf-8") == described()


def _names(part: dict[str, dict[str, object]]) -> set[tuple[str, str]]:
    return {(group, name) for group, members in part.items() for name in members}


def _at(part: dict[str, dict[str, object]], name: tuple[str, str]) -> object:
    return part.get(name[0], {}).get(name[1])
