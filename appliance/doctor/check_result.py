"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """note: neither right nor wrong, as on a machine that is not a Jetson."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Line:
    """said: what was seen, one sentence. remedy: what to do about it, by lines; a fail has one."""

    topic: str
    state: State
    said: str
    remedy: str = ""


def ok(topic: str, said: str) -> Line:
    return Line(topic, State.OK, said)


def note(topic: str, said: str, remedy: str = "") -> Line:
    return Line(topic, State.NOTE, said, remedy)


def warn(topic: str, said: str, remedy: str) -> Line:
    return Line(topic, State.WARN, said, remedy)


def fail(topic: str, said: str, remedy: str) -> Line:
    return Line(topic, State.FAIL, said, remedy)


def failed(topic: str, error: Exception) -> Line:
    """Our errors say what is wrong and, after a semicolon, what to do."""
    said, _, remedy = str(error).partition("; ")
    return fail(topic, said, remedy or "mend what fails above; else see: journalctl -u mammosono")


def not_a_jetson(topic: str) -> Line:
    return note(topic, "not a Jetson")
