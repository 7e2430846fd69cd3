"""Kill -9 of the node at random moments of a round with storescu.

`python tests/node/node_kills.py 100`: a hundred rounds; the tests do a few. In each, a woman's exam
is sent, the node is killed somewhere between the first byte and the result, started again, and what
was not acknowledged is sent again, as a modality does.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import images
from node_bench import LOCAL, NODE, PYTHON, echo, run, saved, until
from service_bench import FakeReader, running

from mammosono.appliance.node.store import NodeStore, Status, StoredReading

PROGRAM = "from mammosono.appliance.cli import main; main()"
LONGEST_S = 4.0
"""From the first image to the last moment of a kill: the quiet time is 1 s, and the reading
follows."""


@dataclass
class Outcome:
    """acknowledged_before_kill: images. problems: what should not have been."""

    rounds: int = 0
    acknowledged_before_kill: int = 0
    problems: list[str] = field(default_factory=list)


class Child:
    """`mammosono node run` as a process of its own."""

    def __init__(self, state: Path, url: str, port: int) -> None:
        self.state, self.port = state, port
        state.mkdir(mode=0o700)
        file = state / "dicom.toml"
        file.write_text(
            f'port = {port}\n[box]\nurl = "{url}"\n[pair]\nquiet_s = 1\nmax_images = 4\n'
            "[keep]\nmin_free_bytes = 0\n"
            f'[[sender]]\nae_title = "MG1"\naddress = "{LOCAL}"\n'
        )
        file.chmod(0o600)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.state.parent / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [PYTHON, "-c", PROGRAM, "node", "run"],
                env={**os.environ, "MAMMOSONO_STATE": str(self.state)},
                stdout=log,
                stderr=log,
            )
        until(lambda: echo(self.port), 60)

    def end(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def store(self) -> NodeStore:
        return NodeStore(self.state / "node")


def acknowledged(port: int, file: Path) -> bool:
    """Whether the file, sent in an association of its own, was answered with success."""
    try:
        done = run("storescu", "-R", "-to", "5", "-ta", "10", "-td", "10", "-aet", "MG1",
                   "-aec", NODE, LOCAL, str(port), str(file), timeout=30)  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def kill_rounds(folder: Path, rounds: int, seed: int, port: int) -> Outcome:
    chance = random.Random(seed)
    outcome = Outcome()
    with running(FakeReader()) as appliance:
        child = Child(folder / "state", str(appliance.base_url), port)
        child.start()
        try:
            for number in range(rounds):
                _round(folder, child, number, chance, outcome)
                outcome.rounds += 1
            if child.end(signal.SIGTERM) != 0:
                outcome.problems.append("SIGTERM did not end it in order")
        finally:
            if child.process is not None and child.process.poll() is None:
                child.end()
    return outcome


def _round(
    folder: Path, child: Child, number: int, chance: random.Random, outcome: Outcome
) -> None:
    who = {"patient": f"P{seed_of(number)}"}
    exam = [images.mammogram(side, "CC", seed=n, **who) for n, side in enumerate("LR", 1)]
    exam += [images.ultrasound(still, **who) for still in (1, 2)]  # type: ignore[misc]
    files = [saved(ds, folder / f"in{number}", f"i{n}") for n, ds in enumerate(exam)]
    chance.shuffle(files)
    done: list[Path] = []

    def deliver() -> None:
        done.extend(file for file in files if acknowledged(child.port, file))

    sending = threading.Thread(target=deliver)
    sending.start()
    time.sleep(chance.uniform(0, LONGEST_S))
    child.end()
    sending.join()
    outcome.acknowledged_before_kill += len(done)
    before = len(done)
    with contextlib.closing(child.store()) as store:
        held = len(list((child.state / "node" / "held").glob("*/*.dcm")))
        rows = len(store.instances())
    if min(held, rows) < 4 * number + before:
        outcome.problems.append(f"round {number}: {before} acknowledged, {held} files, {rows} rows")
    child.start()
    if any((child.state / "node" / "incoming").iterdir()):
        outcome.problems.append(f"round {number}: a file is left in incoming")
    for file in files:
        if file not in done:
            until(lambda file=file: acknowledged(child.port, file), 60)  # type: ignore[misc]
    _check(child, number, outcome)


def seed_of(number: int) -> str:
    return f"{number:04}"


def _check(child: Child, number: int, outcome: Outcome) -> None:
    """The last version of the newest case holds all four images, and none was read twice."""
    with contextlib.closing(child.store()) as store:

        def last() -> StoredReading | None:
            by_case: dict[str, StoredReading] = {}
            for each in store.readings():
                by_case[each.case] = each
            whole = [each for each in by_case.values() if len(each.images) == 4]
            return whole[-1] if len(whole) == number + 1 else None

        try:
            until(lambda: (found := last()) is not None and found.status is Status.READ, 40)
            until(lambda: all(each.status is Status.READ for each in store.readings()), 40)
        except AssertionError:
            said = [(each.version, len(each.images), each.status.value, each.problem)
                    for each in store.readings()]  # fmt: skip
            outcome.problems.append(f"round {number}: not read: {said[-6:]}")
            return
        contents = [(each.case, each.content) for each in store.readings()]
        if len(set(contents)) != len(contents):
            outcome.problems.append(f"round {number}: one set was read twice")


def main() -> None:
    from orthanc import free_port

    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill_rounds(Path(folder), rounds, seed, free_port())
    lines = [
        f"{outcome.rounds} kills; {outcome.acknowledged_before_kill} images acknowledged before "
        f"them, of {4 * outcome.rounds}",
        *(outcome.problems or ["nothing lost, nothing read twice, nothing left over"]),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(1 if outcome.problems else 0)


if __name__ == "__main__":
    main()
