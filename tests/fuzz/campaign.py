"""Many damaged files through the decoders, in a process that may crash, hang or grow."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from files import PATIENT

from fuzz.decoder import decode_all

DEADLINE_S = 20.0
"""For one file of a few kilobytes, on a machine that has other things to do as well."""

SAMPLE_EVERY = 500


@dataclass
class Outcome:
    """outcomes: how often a picture was read, and each refusal's code.

    crashed, hung, wrong: numbers of files, with the signal or what was wrong.
    rss_mib: (files so far, MiB) of the decoding process, one list for each that there was.
    """

    files: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    crashed: dict[int, str] = field(default_factory=dict)
    hung: list[int] = field(default_factory=list)
    wrong: dict[int, str] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, -1)
    rss_mib: list[list[tuple[int, float]]] = field(default_factory=list)
    peak_mib: float = 0.0
    identity_told: bool = False

    @property
    def held(self) -> bool:
        return not (self.crashed or self.hung or self.wrong or self.identity_told)

    @property
    def growth(self) -> float:
        """MiB per 1000 files: least squares over the second half of the longest life."""
        points = max(self.rss_mib, key=len, default=[])
        points = points[len(points) // 2 :]
        if len(points) < 2:
            return 0.0
        middle, mean = (sum(values) / len(points) for values in zip(*points, strict=True))
        above = sum((x - middle) * (y - mean) for x, y in points)
        return 1000 * above / sum((x - middle) ** 2 for x, _ in points)


def attack(count: int, first: int = 0, tell: Callable[[Outcome], None] = lambda _: None) -> Outcome:
    """Decode the damaged files `first` to `first + count - 1`; go on behind one that kills."""
    outcome, started = Outcome(), time.monotonic()
    with tempfile.NamedTemporaryFile() as log:
        while outcome.files < count:
            _life(range(first + outcome.files, first + count), outcome, Path(log.name), tell)
        outcome.identity_told = PATIENT.encode() in log.read()
    outcome.seconds = time.monotonic() - started
    return outcome


def _life(numbers: range, outcome: Outcome, log: Path, tell: Callable[[Outcome], None]) -> None:
    """One process, until it has done `numbers` or a file was its end."""
    context = multiprocessing.get_context("spawn")
    ears, mouth = context.Pipe(duplex=False)
    process = context.Process(target=decode_all, args=(numbers, mouth, log), daemon=True)
    process.start()
    mouth.close()
    outcome.rss_mib.append([])
    patience = 6 * DEADLINE_S  # for the first, the libraries are loaded
    try:
        for number in numbers:
            if not ears.poll(patience):
                outcome.hung.append(number)
                return
            _note(number, *ears.recv(), outcome)
            patience = DEADLINE_S
            tell(outcome)
    except EOFError:
        process.join()
        outcome.crashed[number] = _how(process.exitcode or 0)
    finally:
        outcome.files = len(outcome.crashed) + len(outcome.hung) + outcome.outcomes.total()
        process.kill()
        process.join()


def _note(number: int, said: str, ms: float, rss_mib: float, outcome: Outcome) -> None:
    if said.startswith("wrong: "):
        outcome.wrong[number] = said
    outcome.outcomes[said] += 1
    outcome.slowest = max(outcome.slowest, (ms, number))
    outcome.peak_mib = max(outcome.peak_mib, rss_mib)
    if outcome.outcomes.total() % SAMPLE_EVERY == 0:
        outcome.rss_mib[-1].append((outcome.outcomes.total(), rss_mib))


def _how(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit {status}"
