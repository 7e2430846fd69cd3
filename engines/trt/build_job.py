"""Build job: starts the process of each step, passes its events on, ends it."""

import json
import os
import signal
import subprocess
import sys
from typing import IO, Any, Callable, Dict, Iterator, NamedTuple, Optional, Sequence

from mammosono.engines.bundle import Bundle
from mammosono.engines.errors import EngineUnavailable
from mammosono.engines.python_launch import command
from mammosono.engines.trt.builder import SMALLER
from mammosono.engines.trt.publish import BUILDING

LOG = "build.log"

BuildEvent = Dict[str, Any]


class Job(NamedTuple):
    """What is to be built, the log file, and the callback for events."""

    bundle: Bundle
    folder: str
    precision: str
    workspace_mb: int
    log: IO[bytes]
    tell: Callable[..., None]

    @property
    def staging(self) -> str:
        return os.path.join(self.folder, BUILDING)


class Died(EngineUnavailable):
    """A process of the build ended without a word."""


def events(job: Job, options: Sequence[str], what: str) -> Iterator[BuildEvent]:
    """Events of one process of the build. Raises EngineUnavailable if it fails or dies."""
    arguments = [job.bundle.folder, "--plans", job.folder]
    arguments += ["--workspace-mb", str(job.workspace_mb)] + list(options)
    process = subprocess.Popen(
        command(sys.executable, "mammosono.engines.trt.build", arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=job.log,
        cwd="/",
    )
    failure = ""
    try:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                event = parse_event(line)
                if event is None:
                    job.log.write(line)  # of a library that takes stdout for its own
                elif event["event"] == "error":
                    failure = event["message"]
                else:
                    yield event
        status = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if failure:
        raise EngineUnavailable(failure)
    if status:
        raise Died(_ended(what, status))


def parse_event(line: bytes) -> Optional[BuildEvent]:
    """The event on a line of output; None if the line is something else."""
    try:
        event = json.loads(line.decode("utf-8"))
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def _ended(what: str, status: int) -> str:
    if status == -signal.SIGKILL:
        return "%s was killed, as the system does when memory runs out; %s" % (what, SMALLER)
    how = "by signal %d" % -status if status < 0 else "with status %d" % status
    return "%s ended %s; see %s" % (what, how, LOG)
