"""The load run for people and for machines."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from mammosono.tools.benchmarks.load.figures import Load

PERCENTILES = (50, 95, 99)


def as_rich(load: Load) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("clients", "pairs", "pairs/min", *(f"p{q} s" for q in PERCENTILES)):
        table.add_column(name, justify="right")
    table.add_column("rejected", justify="right")
    table.add_column("errors", justify="right")
    for level in load.levels:
        table.add_row(
            str(level.clients),
            str(len(level.latencies_s)),
            f"{level.pairs_per_minute:.0f}",
            *(f"{level.percentile(q):.2f}" for q in PERCENTILES),
            f"{level.rejected_share:.0%}",
            str(level.errors),
        )
    lines: list[RenderableType] = [
        f"/healthz: {load.health_per_second:.0f} answers a second",
        table,
    ]
    if load.overhead is not None:
        service, bare = (np.median(ms) for ms in (load.overhead.service_ms, load.overhead.bare_ms))
        lines.append(
            f"A pair from post to result {service:.0f} ms, by the bare reader {bare:.0f} ms: "
            f"the service adds {load.overhead.share:+.1%} "
            f"(medians of {len(load.overhead.service_ms)}, in turns)."
        )
    return Group(*lines)


def as_dict(load: Load) -> dict[str, Any]:
    return {
        "schema": 1,
        "health_per_second": load.health_per_second,
        "levels": [
            {
                "clients": level.clients,
                "seconds": level.seconds,
                "pairs": len(level.latencies_s),
                "pairs_per_minute": level.pairs_per_minute,
                **{f"p{q}_s": level.percentile(q) for q in PERCENTILES if level.latencies_s},
                "rejected_share": level.rejected_share,
                "errors": level.errors,
            }
            for level in load.levels
        ],
        "overhead": None
        if load.overhead is None
        else {
            "service_ms": list(load.overhead.service_ms),
            "bare_ms": list(load.overhead.bare_ms),
            "share": load.overhead.share,
        },
    }
