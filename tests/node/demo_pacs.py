"""A phantom exam through the whole round: python demo_pacs.py [--once].

Orthanc as PACS, the appliance and its DICOM node are started with ports and folders of their own,
all of them gone afterwards; a mammogram and, of another day, an ultrasound are sent to the PACS and
to the node; what the node sends back is listed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import images
import orthanc
from counterparts import until
from pydicom import Dataset

from mammosono.appliance.node import sender
from mammosono.appliance.node.destinations import parse
from mammosono.appliance.node.outbox import FOLDER, Outbox, State
from mammosono.appliance.phantoms.demo import demo_phantom
from mammosono.appliance.values import Modality

COMMAND = Path(sys.executable).with_name("mammosono")
QUIET_S = 3
"""An exam is whole after so long without an image; 60 seconds where modalities send."""


def main(*, once: bool) -> int:
    if why := orthanc.missing():
        say(why)
        return 1
    with tempfile.TemporaryDirectory(prefix="mammosono-pacs-") as name, at_work(Path(name)) as at:
        say(f"Orthanc runs: {at.pacs.url}/app/explorer.html, DICOM port {at.pacs.port}")
        say("The appliance and its DICOM node run; a phantom exam is sent to both.")
        send(Path(name, "to-pacs"), at.pacs.port, "PACS", phantom_exam())
        send(Path(name, "to-node"), at.box_port, "MAMMOSONO", phantom_exam())
        began, outbox = time.monotonic(), Outbox(Path(name, "state") / FOLDER)
        until(lambda: is_done(outbox), 300)
        seconds = time.monotonic() - began
        outbox.close()
        say(f"{seconds:.0f} s later, {QUIET_S} of them quiet time, the PACS has committed to:")
        show(at.pacs)
        if not once:
            webbrowser.open(f"{at.pacs.url}/app/explorer.html")
            say("Ctrl-C ends it, and removes all of it.")
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    time.sleep(1)
    return 0


@dataclass(frozen=True)
class AtWork:
    """box_port: of the node's listener."""

    pacs: orthanc.Orthanc
    box_port: int


@contextlib.contextmanager
def at_work(folder: Path) -> Iterator[AtWork]:
    """Orthanc, the appliance and its node."""
    box_port, web_port = orthanc.free_port(), orthanc.free_port()
    with orthanc.orthanc(folder / "pacs", box_port=box_port) as pacs:
        configure(folder / "state", box_port, web_port, pacs.port)
        with (
            started(folder, "serve", MAMMOSONO_PORT=str(web_port)),
            started(folder, "node", "run"),
        ):
            until(lambda: answers(f"http://127.0.0.1:{web_port}/readyz"), 120)
            orthanc.wait_for_port(box_port)
            yield AtWork(pacs, box_port)


def phantom_exam() -> list[Dataset]:
    """A mammogram and, days later, an ultrasound of one invented patient."""
    who = {"patient": "DEMO", "name": "Phantom^Demo"}
    mammogram, ultrasound = (demo_phantom(each).pixels for each in (Modality.MG, Modality.US))
    return [
        images.mammogram("L", "MLO", pixels=mammogram, **who),
        images.ultrasound(pixels=ultrasound, **who),
    ]


def configure(state: Path, box_port: int, web_port: int, pacs_port: int) -> None:
    state.mkdir(mode=0o700)
    file = state / "dicom.toml"
    file.write_text(
        f"port = {box_port}\n"
        f'[box]\nurl = "http://127.0.0.1:{web_port}"\n'
        f"[pair]\nquiet_s = {QUIET_S}\n"
        '[[sender]]\nae_title = "MODALITY"\naddress = "127.0.0.1"\n'
        '[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\n'
        f"port = {pacs_port}\n"
    )
    file.chmod(0o600)


@contextlib.contextmanager
def started(folder: Path, *arguments: str, **environment: str) -> Iterator[None]:
    with (folder / f"{arguments[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            [COMMAND, *arguments],
            env={**os.environ, "MAMMOSONO_STATE": str(folder / "state"), **environment},
            stdout=log,
            stderr=log,
        )
    try:
        yield
    except BaseException:
        say((folder / f"{arguments[0]}.log").read_text()[-2000:])
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def send(folder: Path, port: int, called: str, objects: list[Dataset]) -> None:
    """As a modality does."""
    outbox = Outbox(folder)
    outbox.put("exam", "to", objects)
    table = {"name": "to", "ae_title": called, "host": "127.0.0.1", "port": port}
    sender.deliver(outbox, parse({**table, "commitment": False}, calling="MODALITY"))
    assert all(entry.state is State.SENT for entry in outbox.entries())
    outbox.close()


def is_done(outbox: Outbox) -> bool:
    entries = outbox.entries()
    refused = [entry.reason for entry in entries if entry.state is State.REFUSED]
    assert not refused, refused
    return bool(entries) and all(entry.state is State.COMMITTED for entry in entries)


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url).status_code == 200
    return False


def show(pacs: orthanc.Orthanc) -> None:
    """What the PACS has, a line a series, and what stands on the pictures."""
    for study in pacs.get("/studies?expand"):
        say(f"Study of {study['MainDicomTags'].get('StudyDate')}:")
        for name in study["Series"]:
            series = pacs.get(f"/series/{name}")
            tags, instances = series["MainDicomTags"], series["Instances"]
            what = tags.get("SeriesDescription", "as it was sent")
            say(f"  {tags['Modality']}  {len(instances)}  {what}")
            if tags["Modality"] == "OT":
                for each in instances:
                    said = pacs.get(f"/instances/{each}/simplified-tags").get("ImageComments", "")
                    say(f"         {said}")
                    say(f"         {pacs.url}/instances/{each}/preview")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(once="--once" in sys.argv[1:]))
