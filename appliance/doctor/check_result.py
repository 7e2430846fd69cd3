"""Result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """note: neither right nor wrong, as on a host that is not a Jetson."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """said: the observation, one sentence. remedy: steps, a line each; a fail has one."""

    topic: str
    state: State
    said: str
    remedy: str = ""


def ok(topic: str, said: str) -> CheckResult:
    return CheckResult(topic, State.OK, said)


def note(topic: str, said: str, remedy: str = "") -> CheckResult:
    return CheckResult(topic, State.NOTE, said, remedy)


def warn(topic: str, said: str, remedy: str) -> CheckResult:
    return CheckResult(topic, State.WARN, said, remedy)


def fail(topic: str, said: str, remedy: str) -> CheckResult:
    return CheckResult(topic, State.FAIL, said, remedy)


def failed(topic: str, error: Exception) -> CheckResult:
    """Our errors say what is wrong and, after a semicolon, what to do."""
    said, _, remedy = str(error).partition("; ")
    return fail(topic, said, remedy or "mend what fails above; else see: journalctl -u mammosono")


def not_a_jetson(topic: str) -> CheckResult:
    return note(topic, "not a Jetson")
