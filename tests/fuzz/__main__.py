"""`python -m fuzz --count 100000`, run in tests/: what `make fuzz` does."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fuzz.campaign import Outcome, attack
from fuzz.posts import Posted, post
from fuzz.requests import Asked, ask, documents, settings
from fuzz.worker import talk


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="files to decode")
    parser.add_argument("--posts", type=int, default=1000, help="files to post to an appliance")
    parser.add_argument("--requests", type=int, default=5000, help="requests, by raw sockets")
    parser.add_argument("--documents", type=int, default=5000, help="token files, and settings")
    parser.add_argument("--messages", type=int, default=5000, help="to the engine's worker")
    parser.add_argument("--first", type=int, default=0, help="number of the first of each")
    options = parser.parse_args()
    console, held = Console(), True
    if options.count:
        with console.status("Decoding") as status:
            outcome = attack(
                options.count,
                options.first,
                tell=lambda o: status.update(f"{o.outcomes.total()} of {options.count} decoded"),
            )
        console.print(decoded(outcome))
        held = outcome.held
    if options.posts:
        with tempfile.TemporaryDirectory() as folder, console.status("Posting") as status:
            posted = post(
                Path(folder),
                options.posts,
                options.first,
                tell=lambda p: status.update(f"{p.count} of {options.posts} posted"),
            )
        console.print(answered(posted))
        held = held and posted.held
    if options.requests:
        with tempfile.TemporaryDirectory() as folder, console.status("Asking") as status:
            asked = ask(
                Path(folder),
                options.requests,
                options.first,
                tell=lambda a: status.update(f"{a.count} of {options.requests} asked"),
            )
        console.print(_table(f"{asked.count} damaged requests in {asked.seconds:.0f} s", asked))
        held = held and asked.held
    if options.documents:
        numbers = (options.documents, options.first)
        with tempfile.TemporaryDirectory() as folder:
            wrong = documents(*numbers, Path(folder))
        console.print(f"{options.documents} damaged token files: {_told(wrong)} let anybody in")
        refused = settings(*numbers, os.environ.__setitem__, os.environ.__delitem__)
        console.print(f"{options.documents} damaged settings: {_told(refused)} went wrong")
        held = held and not wrong and not refused
    if options.messages:
        quiet = contextlib.redirect_stderr(io.StringIO())  # the worker says what it refuses
        with quiet, tempfile.TemporaryDirectory() as folder:
            answers, wrong = talk(options.messages, options.first, Path(folder, "worker"))
        console.print(
            f"{options.messages} damaged messages: {_told(answers)}; wrong {_told(wrong)}"
        )
        held = held and not wrong
    told = "Everything was read, answered or refused." if held else "A promise was broken."
    console.print(told)
    return 0 if held else 1


def decoded(outcome: Outcome) -> Table:
    table = Table(
        title=f"{outcome.files} damaged files in {outcome.seconds:.0f} s", show_header=False
    )
    milliseconds, number = outcome.slowest
    for name, value in (
        ("outcomes", _told(outcome.outcomes)),
        ("crashed the decoder", _told(outcome.crashed)),
        ("hung", ", ".join(map(str, outcome.hung)) or "none"),
        ("wrong", _told(outcome.wrong)),
        ("patient's name told", "yes" if outcome.identity_told else "no"),
        ("slowest", f"{milliseconds:.0f} ms, file {number}"),
        ("memory", f"at most {outcome.peak_mib:.0f} MiB between files"),
        ("growth", f"{outcome.growth:+.2f} MiB per 1000 files"),
    ):
        table.add_row(name, value)
    return table


def _table(title: str, asked: Asked) -> Table:
    table = Table(title=title, show_header=False)
    table.add_row("answers", _told(asked.answers))
    table.add_row("wrong", _told(asked.wrong))
    table.add_row("both services lived", "yes" if asked.lived else "no")
    return table


def answered(posted: Posted) -> Table:
    table = Table(title=f"{posted.count} posts in {posted.seconds:.0f} s", show_header=False)
    for name, value in (
        ("answers", _told(posted.answers)),
        ("wrong", _told(posted.wrong)),
        ("the service lived", "yes" if posted.web_lived else "no"),
        ("reader processes", str(len(posted.readers))),
        ("patient's name told", "yes" if posted.identity_told else "no"),
    ):
        table.add_row(name, value)
    for process, samples in posted.rss_mib.items():
        first, last = samples[0][1], samples[-1][1]
        table.add_row(f"memory of {process}", f"{first:.0f} to {last:.0f} MiB")
    return table


def _told(counts: Counter[str] | dict[int, str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


if __name__ == "__main__":
    sys.exit(main())
