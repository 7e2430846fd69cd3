"""A reader process without a reader: it does what the study's name says.

"die" and "hang" are what they are; "die while drawing" does so after the result; "garbage" answers
with no JSON; "refuse" refuses; anything else is read. `python fake_reading.py [unavailable|mute]`
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

MODEL = {
    "name": "fake",
    "version": "1",
    "sha256": "0" * 64,
    "runtime": "fake",
    "operating_points": {"MG": 0.5, "US": 0.5},
}


def say(**answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def obey(order: dict) -> None:
    name = order.get("read")
    if name is None:
        say(pong=order["ping"])
    elif name == "die":
        os.kill(os.getpid(), 9)
    elif name == "hang":
        time.sleep(3600)
    elif name == "garbage":
        sys.stdout.write("Loading weights: 100%\n")
        sys.stdout.flush()
    elif name == "refuse":
        say(refused={"status": 422, "code": "corrupt_image", "title": "t", "detail": "d"})
    else:
        say(done={"id": name, "timings_ms": {"total": 1.0}}, verdict="negative")
        if name == "die while drawing":
            os.kill(os.getpid(), 9)
        Path(order["pictures"], "mask_0.png").write_bytes(b"mask")
        say(drawn=name)


def main() -> None:
    orders = (json.loads(line) for line in sys.stdin)
    assert "open" in next(orders)
    if sys.argv[1:] == ["unavailable"]:
        say(unavailable="trunk.onnx: its sha256 is not the manifest's")
        return
    if sys.argv[1:] == ["mute"]:
        time.sleep(3600)
    say(ready=MODEL)
    for order in orders:
        obey(order)


if __name__ == "__main__":
    main()
