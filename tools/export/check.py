"""Everything about a bundle's graphs that can be known without a Jetson: `check-graphs`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.appliance.values import Modality, SourceImage
from mammosono.tools.data.index import Record
from mammosono.tools.export import checks
from mammosono.tools.export.parity_tensors import CASES, phantom_image
from mammosono.tools.export.subject import Check, Subject

SCHEMA = 1
KINDS = (
    checks.tensorrt_rules,
    checks.mixed_graph_rules,
    checks.fp16_range,
    checks.fp16_reading,
    checks.stored_tensors,
    checks.tensorrt_rtx,
)


def shipped() -> list[Path]:
    """The folders of every bundle that ships."""
    return sorted(manifest.parent for manifest in SHIPPED.parent.glob("*/manifest.json"))


def phantoms() -> list[SourceImage]:
    return [phantom_image(case) for case in CASES]


def some_images(records: Sequence[Record], count: int) -> list[SourceImage]:
    """As many images, spread over the index and as far as there are both, of both modalities.

    Raises ValueError without records, IntakeError or OSError if an image cannot be read.
    """
    if not records:
        raise ValueError("the index names no image to try the graphs on")
    chosen: list[Record] = []
    for k, modality in enumerate(Modality):
        ours = [record for record in records if record.modality is modality]
        wanted = min(len(ours), (count + k) // 2)
        chosen += [ours[len(ours) * n // wanted] for n in range(wanted)]
    return [read_image(record.image.read_bytes(), record.modality) for record in chosen]


def check_graphs(
    folders: Sequence[Path],
    images: Sequence[SourceImage],
    on_check: Callable[[int, int], None] = lambda done, of: None,
) -> list[Check]:
    """Every check on every bundle.

    Raises BundleError, EngineUnavailable, ModelUnavailable if a bundle cannot be looked at.
    """
    done: list[Check] = []
    for k, folder in enumerate(folders):
        subject = Subject.open(folder, images)
        for n, kind in enumerate(KINDS, start=1):
            done += kind(subject)
            on_check(k * len(KINDS) + n, len(folders) * len(KINDS))
    return done


def passed(found: Sequence[Check]) -> bool:
    return all(check.state != "fail" for check in found)


def as_dict(found: Sequence[Check]) -> dict[str, Any]:
    """Plain values for JSON with stable keys."""
    return {"schema": SCHEMA, "ok": passed(found), "checks": [asdict(check) for check in found]}


def as_rich(found: Sequence[Check]) -> Table:
    table = Table("bundle", "stage", "check", "", "", box=box.SIMPLE_HEAD)
    styles = {"ok": "green", "fail": "bold red", "skipped": "yellow"}
    for check in found:
        state = Text("FAIL" if check.state == "fail" else check.state, styles[check.state])
        # As Text: a node's name may hold what rich would take for markup.
        table.add_row(check.bundle, check.stage, check.what, state, Text("\n".join(check.said)))
    return table
