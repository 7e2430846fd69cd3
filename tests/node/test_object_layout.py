"""What the objects hold changes only together with the format version, on which their UIDs hang: a
PACS that has one under a UID keeps it, and never sees what would be under it now."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from exams import exam

from mammosono.appliance.node import uids
from mammosono.appliance.values import Verdict

LAYOUTS = {1: "fc551653e33be5b8"}
"""By format version. Where this test fails, raise `uids.FORMAT` and write a line here."""


def test_a_changed_layout_is_a_new_format(tmp_path: Path) -> None:
    held = []
    for verdict in Verdict:
        one = exam(tmp_path, verdict)
        one.document["software"] = "mammosono"
        for ds in one.write():
            if ds.Modality == "OT":  # the font, and the height of its lines, are OpenCV's
                del ds.PixelData, ds.Rows
            held.append(ds.to_json_dict())
    digest = hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:16]
    assert digest == LAYOUTS[uids.FORMAT]
