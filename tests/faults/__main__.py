"""`python -m faults --rounds 200`, run in tests/: what `make faults` does."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from faults.endurance import endure
from faults.fire import Outcome, fire
from faults.pairs import phantom_pairs


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends with it
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="kills")
    parser.add_argument("--pairs", type=int, default=1000, help="read without a pause")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-age", type=float, help="seconds: with retention under fire")
    options = parser.parse_args()
    console = Console()
    held = True
    if options.rounds:
        held = _under_fire(console, options.rounds, options.seed, options.max_age)
    if options.pairs:
        _without_a_pause(console, options.pairs)
    return 0 if held else 1


def _under_fire(console: Console, rounds: int, seed: int, max_age_s: float | None) -> bool:
    with tempfile.TemporaryDirectory() as folder, console.status("Under fire") as status:
        outcome = fire(
            Path(folder),
            phantom_pairs(4),
            rounds,
            seed,
            max_age_s=max_age_s,
            tell=lambda n, name: status.update(f"round {n} of {rounds}: {name} killed"),
        )
    console.print(table(outcome))
    console.print(
        "Every acknowledged study was settled, once, with its own images."
        if outcome.held
        else f"A promise was broken: {[*outcome.lost, *outcome.changed, *outcome.foreign]}"
    )
    return outcome.held


def _without_a_pause(console: Console, count: int) -> None:
    with tempfile.TemporaryDirectory() as folder, console.status("Reading") as status:
        outcome = endure(
            Path(folder),
            phantom_pairs(4),
            count,
            tell=lambda n: status.update(f"{n} of {count} pairs read"),
        )
    table = Table(title=f"{outcome.read} pairs in {outcome.seconds:.0f} s", show_header=False)
    table.add_row("answers to posts", _told(outcome.answers))
    for name, samples in outcome.rss_mib.items():
        first, last = samples[0][1], samples[-1][1]
        slope = outcome.slope(name)
        table.add_row(
            f"memory of {name}", f"{first:.0f} to {last:.0f} MiB, {slope:+.1f} MiB per 1000 pairs"
        )
    console.print(table)


def table(outcome: Outcome) -> Table:
    table = Table(title=f"{outcome.rounds} kills in {outcome.seconds:.0f} s", show_header=False)
    for name, value in (
        ("killed", _told(outcome.killed)),
        ("beside that", _told(outcome.blows) + (outcome.not_filled and f"; {outcome.not_filled}")),
        ("answers to posts", _told(outcome.answers)),
        ("deleted by clients, then re-used", outcome.deleted),
        ("removed by retention", outcome.retired),
        ("studies acknowledged", outcome.acknowledged),
        ("settled, with those whose answer was lost", _told(outcome.settled)),
        ("reasons of the failed", _told(outcome.reasons) or "-"),
        ("failed at most", outcome.most_failed),
        ("lost", len(outcome.lost)),
        ("compared with their first answer", outcome.compared),
        ("whose result changed", len(outcome.changed)),
        ("of other images", len(outcome.foreign)),
        ("orphan files", outcome.orphans),
        ("integrity of the database", outcome.integrity),
    ):
        table.add_row(name, str(value))
    return table


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
