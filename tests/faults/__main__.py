"""`python -m faults --rounds 200`, run in tests/: what `make faults` does."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from faults.fire import Outcome, fire
from faults.pairs import phantom_pairs


def main() -> int:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder, console.status("Under fire") as status:
        outcome = fire(
            Path(folder),
            phantom_pairs(4),
            options.rounds,
            options.seed,
            tell=lambda n, name: status.update(f"round {n} of {options.rounds}: {name} killed"),
        )
    console.print(table(outcome))
    held = not outcome.lost and not outcome.changed and outcome.integrity == "ok"
    console.print(
        "Every acknowledged study was settled, once." if held else "A promise was broken."
    )
    return 0 if held else 1


def table(outcome: Outcome) -> Table:
    table = Table(title=f"{outcome.rounds} kills in {outcome.seconds:.0f} s", show_header=False)
    for name, value in (
        ("killed", _told(outcome.killed)),
        ("answers to posts", _told(outcome.answers)),
        ("studies acknowledged", outcome.acknowledged),
        ("of these", _told(outcome.settled)),
        ("reasons of the failed", _told(outcome.reasons) or "-"),
        ("lost", len(outcome.lost)),
        ("whose result changed", len(outcome.changed)),
        ("orphan files", outcome.orphans),
        ("integrity of the database", outcome.integrity),
    ):
        table.add_row(name, str(value))
    return table


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
