"""`python -m mutants`, run in tests/: what `make mutants` does."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.table import Table

from mutants.catalogue import MUTANTS
from mutants.trial import Copy, mutated


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose promise or file has this text")
    parser.add_argument("--from", type=int, default=1, dest="first", help="number of the first")
    parser.add_argument("--to", type=int, default=len(MUTANTS), help="number of the last")
    options = parser.parse_args()
    chosen = [
        (number, mutant)
        for number, mutant in enumerate(MUTANTS, 1)
        if options.first <= number <= options.to
        and (options.only in mutant.promise or options.only in mutant.file)
    ]
    for _, mutant in chosen:
        mutated(mutant)
    console = Console()
    table = Table("", "promise taken out", "file", "tests", "seconds", title="Mutants")
    survivors = 0
    with Copy() as copy, console.status("As it is") as status:
        sound = copy.run((name for _, mutant in chosen for name in mutant.tests), 3600)
        not_passed = {name: how for name, how in sound.tests.items() if how != "passed"}
        for number, mutant in chosen:
            status.update(f"{number} of {len(MUTANTS)}: {mutant.promise}")
            blind = [name for name in mutant.tests if name in not_passed]
            outcome = copy.try_out(mutant)
            survived = sorted({*outcome.survived_by, *blind})
            survivors += bool(survived)
            told = "hung" if outcome.hung else "killed"
            if survived:
                told = f"SURVIVED {', '.join(survived)}"
            row = (str(number), mutant.promise, mutant.file, told, f"{outcome.seconds:.0f}")
            table.add_row(*row)
            console.print(" | ".join(row))
    console.print(table)
    for name, how in not_passed.items():
        console.print(f"{name} {how} without any mutant: it can hold nothing here")
    console.print(f"{len(chosen) - survivors} of {len(chosen)} mutants were noticed.")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
