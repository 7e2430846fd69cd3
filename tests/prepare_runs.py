"""A whole run of `prepare` without its command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mammosono.appliance.values import Modality
from mammosono.tools.prepare.readers import Layout
from mammosono.tools.prepare.readers.detect import offer
from mammosono.tools.prepare.run import PreparedSet, Tally, prepare


@dataclass(frozen=True)
class Run:
    index: Path
    prepared: PreparedSet
    progress: list[tuple[str, int, int]]

    @property
    def tally(self) -> Tally:
        return self.prepared.tally


def prepared(
    out: Path,
    *sources: Path,
    layout: Layout = Layout.AUTO,
    seed: int = 0,
    keep_split: bool = False,
    modality: Modality | None = None,
) -> Run:
    progress: list[tuple[str, int, int]] = []
    offers = [(source.name, offer(source, layout, modality)) for source in sources]
    done = prepare(
        offers, out, seed=seed, keep_split=keep_split,
        on_progress=lambda *what: progress.append(what), on_remark=lambda kind, remark: None,
    )  # fmt: skip
    return Run(out / "index.csv", done, progress)


def reasons(run: Run, kind: str = "skipped") -> dict[str, int]:
    return run.tally.counts(kind)
