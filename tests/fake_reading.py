"""A reader process without a reader: it does what the study's name says.

"die" and "hang" are what they are; "slow" is read after two seconds; "die while drawing" does so
after the result; "garbage" answers with no JSON, those of RUBBISH with JSON that is none of ours;
"refuse" refuses; anything else is
read. `python fake_reading.py [unavailable|mute|other version]`
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


DONE = {"id": "s", "timings_ms": {"total": 1.0}}
RUBBISH = {
    "a list": {"done": [1], "verdict": "negative"},
    "nothing": {},
    "no verdict": {"done": DONE | {"id": "no verdict"}},
    "odd verdict": {"done": DONE | {"id": "odd verdict"}, "verdict": ["negative"]},
    "two verdicts": {
        "done": DONE | {"id": "two verdicts", "verdict": "positive"},
        "verdict": "negative",
    },
    "no number": {
        "done": {"id": "no number", "timings_ms": {"total": "fast"}},
        "verdict": "negative",
    },
    "NaN": {"done": DONE | {"id": "NaN", "score": float("nan")}, "verdict": "negative"},
    "of another": {"done": DONE, "verdict": "negative"},
    "odd refusal": {"refused": "no"},
    "refused with 200": {"refused": {"status": 200, "code": "c", "title": "t", "detail": "d"}},
}
"""Answers that are JSON, and no answers, by the study to which they are given."""


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
    elif name == "slow":
        time.sleep(2)
        say(done={"id": name, "timings_ms": {"total": 1.0}}, verdict="negative")
        say(drawn=name)
    elif name == "garbage":
        sys.stdout.write("Loading weights: 100%\n")
        sys.stdout.flush()
    elif name in RUBBISH:
        say(**RUBBISH[name])
    elif name == "refuse":
        say(refused={"status": 422, "code": "corrupt_image", "title": "t", "detail": "d"})
    else:
        say(done={"id": name, "timings_ms": {"total": 1.0}}, verdict="negative")
        if name == "die while drawing":
            os.kill(os.getpid(), 9)
        if order["result"] is None:
            say(drawn=None)
        else:
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
    say(ready={"of": "tomorrow"} if sys.argv[1:] == ["other version"] else MODEL)
    for order in orders:
        obey(order)


if __name__ == "__main__":
    main()
