"""kill -9 of the sender at random moments: python kills.py [ROUNDS], by default 100."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orthanc
from counterparts import until

from mammosono.appliance.node.outbox import Outbox, State

CHILD = Path(__file__).with_name("sender_child.py")


@dataclass(frozen=True)
class Found:
    """acknowledged: numbers that a put returned for. committed: rows that are. in_pacs: instances.
    left_over: files of the outbox that no row has. log: what the processes wrote."""

    acknowledged: set[int]
    committed: int
    in_pacs: int
    left_over: int
    log: str


def rounds(
    folder: Path, pacs: orthanc.Orthanc, outbox: Outbox, *, kills: int, each: int, seed: int
) -> Found:
    """Kill a sender so often while it puts and sends; one more ends the work. outbox: of this
    process, which takes the PACS's answers. each: objects that a round adds."""
    chance, acknowledged, before = random.Random(seed), set[int](), pacs.instances()
    log = folder / "log"
    for number in range(1, kills + 2):
        count = each * min(number, kills)
        with log.open("ab") as lines:
            child = subprocess.Popen(
                [sys.executable, str(CHILD), str(outbox.folder), str(pacs.port), str(count)],
                stdout=subprocess.PIPE,
                stderr=lines,
                text=True,
                cwd=CHILD.parent,
            )
        began = threading.Event()
        saying = threading.Thread(target=_listen, args=(child, acknowledged, began))
        saying.start()
        if number <= kills:
            assert began.wait(60)
            time.sleep(chance.uniform(0, 1.5))
            child.kill()
        else:
            until(partial(_done, outbox, count), 120)
            child.terminate()
        child.wait()
        saying.join()
        assert child.stdout is not None
        child.stdout.close()
    files = {file.stem for file in (outbox.folder / "objects").iterdir()}
    entries = outbox.entries()
    return Found(
        acknowledged,
        sum(entry.state is State.COMMITTED for entry in entries),
        pacs.instances() - before,
        len(files - {entry.object for entry in entries}),
        log.read_text(),
    )


def _listen(child: subprocess.Popen[str], acknowledged: set[int], began: threading.Event) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if line.endswith("\n"):
            acknowledged.add(int(line))
            began.set()


def _done(outbox: Outbox, count: int) -> bool:
    entries = outbox.entries()
    return len(entries) == count and all(entry.state is State.COMMITTED for entry in entries)


def main(kills: int) -> None:
    from conftest import listening

    with tempfile.TemporaryDirectory() as name, listening() as answers:
        folder = Path(name)
        outbox = answers.outbox = Outbox(folder / "outbox")
        with orthanc.orthanc(folder / "pacs", box_port=answers.port) as pacs:
            found = rounds(folder, pacs, outbox, kills=kills, each=10, seed=int(time.time()))
        outbox.close()
    objects = kills * 10
    sys.stdout.write(
        f"{kills} kills, {objects} objects: {len(found.acknowledged)} put, {found.committed} "
        f"committed, {found.in_pacs} in Orthanc, {found.left_over} files left over\n"
    )
    assert (found.committed, found.in_pacs, found.left_over) == (objects, objects, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
