"""A process that puts objects and sends them, to be killed: FOLDER PORT COUNT.

It says a number once the object of that number is put.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path

import orthanc
from counterparts import dimse

from mammosono.appliance.node import sender
from mammosono.appliance.node.outbox import Outbox


def main(folder: Path, port: int, count: int) -> None:
    logging.basicConfig(level=logging.DEBUG)
    outbox, stop = Outbox(folder), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    arguments = (outbox, [dimse(port)], stop)
    sending = threading.Thread(target=sender.run, args=arguments)
    sending.start()
    for number in range(count):
        outbox.put("case", "pacs", [awkward(number)])
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
    sending.join()


def awkward(number: int) -> object:
    """A library would warn of this identity, and repeat it."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = orthanc.capture(number, study="kills")
        made.PatientID = (
            "Neidhart-of-Reuental-whose-number-is-far-too-long-for-the-standard-" + "7" * 9
        )
        made.PatientBirthDate = "Reuental"
        made.StudyID = "Reuental-is-too-long-for-this"
    return made


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
