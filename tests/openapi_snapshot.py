"""`python tests/openapi_snapshot.py` renews docs/openapi.json, the HTTP interface as committed."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from mammosono.appliance.http.app import create_app
from mammosono.appliance.settings import Settings

FILE = Path(__file__).resolve().parents[1] / "docs" / "openapi.json"


def described() -> str:
    """The document as it is now, as the file has it."""
    with tempfile.TemporaryDirectory() as state:
        document = create_app(Settings(state=Path(state))).openapi()
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(described(), encoding="utf-8")
